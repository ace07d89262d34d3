"""Rows and a played node that fill the pages of sessions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from metrics_app.models import Node
from sandbox_app import session_files
from sandbox_app.models import ToolRun, ToolSession
from sandbox_app.session_files import EXCHANGE
from sandbox_app.session_wire import Answer
from sparkweb.accounts.models import User

MIB = 2**20
UID = "7d0c1f6e-53a2-4c0e-9a57-0f2f3c1b9d10"


def sessions_seed(now: datetime, owner: User) -> ToolSession:
    """One at work, one that is nearly full, one in memory, one that ends, one that has ended."""
    node = Node.objects.get(name="spark-1")

    def make(label: str, hours: float, **fields: Any) -> ToolSession:
        began = now - timedelta(hours=hours)
        return ToolSession.objects.create(
            owner=owner, label=label, node=node, node_name=node.name, created_at=began,
            **{"used_at": now - timedelta(minutes=4), "expires_at": began + timedelta(hours=72), **fields},
        )  # fmt: skip

    minutes_ago = {minutes: (now - timedelta(minutes=minutes)).isoformat() for minutes in (4, 50)}
    first = make(
        "Sales figures", 5, uid=UID, workspace="ext4", used_bytes=61 * MIB,
        containers={"bash_command": {"began_at": minutes_ago[50], "count": 1},
                    "code_execution": {"began_at": minutes_ago[4], "count": 2}},
    )  # fmt: skip
    make("", 30, workspace="ext4", used_bytes=247 * MIB, used_at=now - timedelta(hours=3),
         containers={"code_execution": {"began_at": minutes_ago[50], "count": 1}})  # fmt: skip
    note = "Files are kept in memory: the agent does not run as root"
    make("Chat: holiday plans", 1, workspace="tmpfs", workspace_note=note,
         containers={"code_execution": {"began_at": minutes_ago[50], "count": 1}})  # fmt: skip
    make("Old experiment", 71, state="ending", end_reason="ended by admin", workspace="ext4")
    make("", 90, state="ended", ended_at=now - timedelta(hours=2), end_reason="nobody used it for 24 hours")
    runs = (("ok", 41.0), ("exit", 230.0), ("ok", 18.4), ("memory", 1212.0))
    for number, (outcome, took) in enumerate(runs):
        ToolRun.objects.create(
            tool_name="code_execution", session=first, user=owner, user_label=str(owner), via="page",
            node=node, node_name=node.name, live=False, state="ended", outcome=outcome, duration_ms=took,
            created_at=now - timedelta(minutes=4 + 9 * number),
        )  # fmt: skip
    return first


ENTRIES = [
    ("plots", "folder", None, True), ("raw data", "folder", None, True),
    ("a name that is rather long, as programs make them when nobody tells them not to, 2026-11.csv", "file",
     48_120_400, True),
    ("report.pdf", "file", 812_344, True), ("sales.sqlite3", "file", 9_437_184, True),
    ("shortcut", "link", None, False),
]  # fmt: skip


def files_played(now: datetime) -> None:
    """Answer questions about files, as the node would."""

    def send(node_name: str, task: str, **told: Any) -> bool:
        if task != "sandbox.session_files":
            return False
        names = ("name", "kind", "size_bytes", "reachable")
        entries = [
            {**dict(zip(names, entry, strict=True)), "modified_at": now.timestamp() - 400 * number}
            for number, entry in enumerate(ENTRIES)
        ]
        data = {"path": told["arguments"]["path"], "entries": entries, "more": False, "workspace": "ext4"}
        return EXCHANGE.answer(node_name, Answer(told["request"], True, data))

    session_files.commands.send = send
