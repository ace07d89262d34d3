"""Tools, and runs of them in every state, for the screenshots."""

from __future__ import annotations

import struct
import zlib
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from metrics_app.models import Node
from sandbox_app.artifact_store import artifact_path
from sandbox_app.models import Artifact, ManagedService, Outcome, RunState, Tool, ToolRun
from sandbox_app.registry import tools_load
from sandbox_app.toolfile import policy_of
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


def run_pages_seed(now: datetime, user: User) -> dict[str, str]:
    """Addresses of runs whose pages have something to show, by the name of their screenshot."""
    code = Tool.objects.get(name="code_execution")
    policy = vars(policy_of(code.definition, {})) | {"egress": []}
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nprint('\x1b[32mdone\x1b[0m')"
    done = run_make(
        code, now - timedelta(minutes=2), user, state=RunState.ENDED, outcome=Outcome.EXIT, live=False,
        arguments={"code": plot, "language": "python", "api_key": "[masked]"}, policy=policy, warm=True,
        stdout="\x1b[32mdone\x1b[0m\n" + "".join(f"row {n:3} of a long table\n" for n in range(30)),
        stderr="UserWarning: \u202etxt.exe is no name\n", stdout_bytes=748, stderr_bytes=42, exit_code=3,
        reason="It ended with exit code 3.", result={"rows": 30, "mean": 2.5}, cpu_ms=18.2,
        sent_at=now - timedelta(minutes=2), ended_at=now - timedelta(minutes=1, seconds=59),
        memory_peak_bytes=48 * 2**20, container_id="c0ffee" * 10, image_digest="sha256:" + "ab" * 32,
        limits={"memory_bytes": 512 * 2**20, "pids": 128, "network": "none", "capabilities": []},
    )  # fmt: skip
    data = png_make(320, 180)
    for kind, name, media_type in (("image", "plot.png", "image/png"), ("file", "table.csv", "text/csv")):
        artifact = Artifact.objects.create(
            run=done, kind=kind, name=name, media_type=media_type, size_bytes=len(data), sha256="0" * 64
        )
        artifact_path(artifact).parent.mkdir(parents=True, exist_ok=True)
        artifact_path(artifact).write_bytes(data)
    waits = run_make(
        code, now, user, state=RunState.APPROVAL, arguments={"code": "import os\nos.listdir()"}, policy=policy
    )
    return {"tool-run": f"/tools/runs/{done.uid}/", "tool-run-waits": f"/tools/runs/{waits.uid}/"}


def png_make(width: int, height: int) -> bytes:
    """A picture with a slope of grey in it."""
    rows = b"".join(b"\0" + bytes((x + y) % 256 for x in range(width)) for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
