"""Lines of note of nodes' kernel logs: marks on charts, and events of alert rules."""

from __future__ import annotations

from typing import Any

from metrics_app.alerts.services import event_raise
from metrics_app.models import Node, NodeEventKind
from metrics_app.node_events import event_note

KINDS = {
    "xid": (NodeEventKind.XID, "gpu_xid"),
    "no_memory": (NodeEventKind.NO_MEMORY, "gpu_no_memory"),
    "oom_kill": (NodeEventKind.OOM_KILL, "oom_kill"),
}
TEXT_LIMIT = 240


def kernel_event(node_name: str, data: dict[str, Any]) -> None:
    """Fact of a node: one line of its kernel's log."""
    kind, event = KINDS.get(str(data.get("kind")), (None, ""))
    if kind is None or not Node.objects.filter(name=node_name).exists():
        return
    text = str(data.get("text") or "").replace("\0", "")[:TEXT_LIMIT]
    code = data.get("code")
    message = f"{node_name}: {text}"
    event_note(node_name, kind, message)
    subject = str(code) if isinstance(code, int) else ""
    url = f"/nodes/{node_name}/history/?range=3600"
    event_raise(event=event, node_name=node_name, subject=subject, message=message, url=url)
