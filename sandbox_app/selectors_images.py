"""Where the image that tools run in is, for pages and the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metrics_app.models import Node, NodeStatus
from metrics_app.selectors import node_snapshots
from sandbox_app.models_images import ImageBuild


@dataclass(frozen=True)
class NodeImage:
    """The image on one node: `status` ok, missing or unknown; `build` is the newest, None without one."""

    node: Node
    image: str
    status: str
    digest: str | None
    build: ImageBuild | None


def node_images() -> list[NodeImage]:
    """Each node, by name; what a silent node said last does not count."""
    nodes = list(Node.objects.order_by("name"))
    snapshots = node_snapshots([node.name for node in nodes])
    return [_node_image(node, snapshots.get(node.name)) for node in nodes]


def _node_image(node: Node, snapshot: dict[str, Any] | None) -> NodeImage:
    section = ((snapshot or {}).get("report") or {}).get("sandbox")
    told = section.get("image") if isinstance(section, dict) else None
    told = told if isinstance(told, dict) and node.status == NodeStatus.ONLINE else {}
    status = told.get("status") if told.get("status") in ("ok", "missing") else "unknown"
    newest = ImageBuild.objects.filter(node_name=node.name).select_related("requested_by").first()
    return NodeImage(node, str(told.get("name") or ""), str(status), told.get("digest"), newest)
