"""A week of the tool audit and some runs, for screenshots."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from sandbox_app.audit import audit_append, mask
from sandbox_app.audit_checks import check_run
from sandbox_app.audit_heads import head_copy
from sandbox_app.models import Outcome, RunState, ToolRun
from sandbox_app.models_audit import AuditCheck, AuditKind
from sparkweb.accounts.models import User

CODE = "import pandas as pd\nframe = pd.read_csv('sales.csv')\nprint(frame.groupby('region')['net'].sum())\n"
SUMS = "region\nnorth    10433.10\neast      8120.00\nsouth     7754.55\nwest      9001.20\nName: net\n"
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("code_execution", {"code": CODE, "language": "python"}),
    ("bash_command", {"command": "grep -c ERROR app.log", "api_key": "sk-proj-abcdef0123456789abcdef"}),
    ("web_fetch", {"url": "https://en.wikipedia.org/wiki/Kibibyte", "extract": "text"}),
    ("file_analysis", {"path": "report.json", "operation": "extract", "query": "$.items[*].price"}),
    ("web_search", {"query": "GB10 unified memory bandwidth", "max_results": 5}),
]
ENDS = [Outcome.OK] * 9 + [Outcome.EXIT, Outcome.WALL, Outcome.MEMORY]
LIMITS = {"memory_bytes": 268435456, "memory_swap_bytes": 268435456, "pids": 64, "network": "none",
          "read_only": True, "capabilities": [], "seccomp": "ours", "no_new_privileges": True}  # fmt: skip


def audit_seed(now: datetime, admin: User, calls: int = 160) -> ToolRun:
    """Make runs and their entries over a week, and a verification. Returns a run that repeats another."""
    chooser = random.Random(4)
    label = (admin.username, "ann", "ann (key sw_3fK1x…)", "ben")
    for number in range(calls):
        at = now - timedelta(days=7) * (calls - number) / calls
        tool, arguments = chooser.choices(CALLS, (6, 4, 3, 2, 2))[0]
        _call(chooser, at, tool, arguments, chooser.choice(label), admin)
    first = ToolRun.objects.filter(tool_name="code_execution").latest("pk")
    first.stdout = (
        "region\nnorth    10433.10\neast      8120.00\nsouth     7754.55\nwest      9001.20\nName: net\n"
    )
    first.limits, first.image_digest = LIMITS, "sha256:" + "4e1c" * 16
    first.outcome, first.reason, first.exit_code = Outcome.OK, "", 0
    first.save()
    again = ToolRun.objects.create(
        tool_name="code_execution", tool_digest=first.tool_digest, user=admin, user_label="admin", via="page",
        node_name="spark-1", state=RunState.ENDED, live=False, outcome=Outcome.OK, replay_of=first,
        exit_code=0,
        arguments=first.arguments, arguments_digest=first.arguments_digest, duration_ms=41.0,
        limits=LIMITS | {"memory_bytes": 536870912}, image_digest="sha256:" + "77ab" * 16,
        stdout=SUMS.replace("8120.00", "8120.01").replace("Name:", "centre     310.00\nName:"),
    )  # fmt: skip
    ToolRun.objects.create(
        tool_name="bash_command", tool_digest="d" * 64, user=admin, user_label="admin", via="chat", live=True,
        node_name="spark-1", state=RunState.RUNNING, arguments={"command": "find / -name '*.gguf'"},
    )  # fmt: skip
    head_copy()
    check_run(AuditCheck.objects.create(requested_by="admin"))
    return again


def _call(
    chooser: random.Random, at: datetime, tool: str, arguments: dict[str, Any], label: str, admin: User
) -> None:
    outcome, lasted = chooser.choice(ENDS), chooser.uniform(12, 900)
    reason = {Outcome.WALL: "30 s were over", Outcome.MEMORY: "It was killed at its limit of 256 MiB",
              Outcome.EXIT: "exit code 1"}.get(outcome, "")  # fmt: skip
    run = ToolRun.objects.create(
        tool_name=tool, tool_digest="d" * 64, user=admin, user_label=label, address="192.168.1.20",
        via=chooser.choice(("api", "page", "mcp", "chat")), node_name="spark-1", state=RunState.ENDED,
        live=False, outcome=outcome, reason=reason, arguments=mask(arguments),
        arguments_digest="a" * 64, created_at=at,
        ended_at=at, duration_ms=lasted, stdout="42\n",
    )  # fmt: skip
    known = {"run_uid": run.uid, "tool_name": tool, "user_label": label}
    with mock.patch("sandbox_app.audit.timezone.now", return_value=at):
        audit_append(
            AuditKind.STARTED, **known,
            body={"via": run.via, "address": run.address, "tool_digest": run.tool_digest, "node": "spark-1",
                  "arguments": run.arguments, "arguments_sha256": run.arguments_digest},
        )  # fmt: skip
        audit_append(
            AuditKind.ENDED, outcome=outcome, **known,
            body={"exit_code": int(outcome != Outcome.OK), "reason": reason, "limits": LIMITS,
                  "image": "sha256:" + "4e1c" * 16, "duration_ms": round(lasted, 1),
                  "stdout_sha256": "b" * 64, "cpu_ms": 9.5, "memory_peak_bytes": 43_118_592,
                  "node": "spark-1",
                  "egress": [{"url": arguments["url"], "address": "185.15.59.224", "verdict": "allowed"}]
                  if "url" in arguments else []},
        )  # fmt: skip
