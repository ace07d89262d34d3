"""Tools, and runs of them in every state, for the screenshots."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from metrics_app.models import Node
from sandbox_app.models import ManagedService, Outcome, RunState, Tool, ToolRun
from sandbox_app.registry import tools_load
from sparkweb.accounts.models import User

PORT_TAKEN = "Port 8080 on 127.0.0.1 is in use by container open-webui. Stop that, or choose another port."
REFUSED = """\
---
name: weather
description: What the weather is
runner: run.py
privileged: true
sandbox: {memory: lots, network: true}
---
"""


def tools_seed(now: datetime, admin: User) -> None:
    """Shipped tools, one that is refused, one that is gone, one that is disabled; runs of the last days."""
    folder = settings.TOOLS_DIR / "weather"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "TOOL.md").write_text(REFUSED)
    (folder / "run.py").write_text("print('sun')\n")
    tools_load()
    Tool.objects.filter(name="bash_command").update(enabled=False, overrides={"enabled": False})
    Tool.objects.filter(name="data_storage").update(approval=True, overrides={"approval": True})
    Tool.objects.create(name="old_tool", description="Was here once", folder="/srv/tools/old", missing=True)
    code, fetch = (Tool.objects.get(name=name) for name in ("code_execution", "web_fetch"))
    ended: list[tuple[Tool, str, float]] = [
        (code, Outcome.OK, 1), (code, Outcome.MEMORY, 3), (code, Outcome.OK, 4), (code, Outcome.WALL, 30),
        (code, Outcome.CANCELLED, 200), (fetch, Outcome.OK, 2),
    ]  # fmt: skip
    for tool, outcome, minutes in ended:
        run_make(
            tool, now - timedelta(minutes=minutes), admin, state=RunState.ENDED, outcome=outcome, live=False
        )
    run_make(code, now - timedelta(seconds=5), admin, state=RunState.RUNNING)
    services_seed(admin, now)


def services_seed(admin: User, now: datetime) -> None:
    """SearXNG: well on the first node, refused by Docker on the second, never started on others."""
    seen: list[dict[str, Any]] = [
        {"state": "running", "health": "ok", "image": "docker.io/searxng/searxng:latest"},
        {"state": "failed", "message": PORT_TAKEN},
    ]
    for node, fields in zip(Node.objects.order_by("name"), seen, strict=False):
        ManagedService.objects.create(
            name="searxng",
            node=node,
            requested_by=admin,
            changed_at=now - timedelta(hours=3),
            seen_generation=1,
            **fields,
        )


def run_make(tool: Tool, at: datetime, user: User, **fields: Any) -> ToolRun:
    """One run of a tool."""
    return ToolRun.objects.create(
        tool=tool,
        tool_name=tool.name,
        tool_digest=tool.digest,
        user=user,
        user_label=user.username,
        via="page",
        node=Node.objects.first(),
        node_name="spark-1",
        created_at=at,
        started_at=at,
        duration_ms=21.5,
        **fields,
    )
