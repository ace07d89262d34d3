"""One run as its page shows it: what bounded it, and what happened when."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox_app.models import RunState, ToolRun
from sparkweb.templatetags.sparkweb import bytes_text, duration

# What an owner reads of a policy, in order: name, field, how it is written.
LIMITS = (
    ("Time", "timeout_seconds", "seconds"),
    ("CPU time", "cpu_seconds", "seconds"),
    ("CPU", "cpu_percent", "percent"),
    ("Memory", "memory_bytes", "bytes"),
    ("Temporary files", "tmp_bytes", "bytes"),
    ("Largest file", "file_bytes", "bytes"),
    ("Output kept", "output_bytes", "bytes"),
    ("Processes", "pids", ""),
    ("Open files", "files_open", ""),
    ("Image", "image", ""),
    ("Runtime", "runtime", ""),
)


@dataclass(frozen=True)
class Moment:
    """One line of a timeline."""

    at: datetime
    message: str
    tone: str = ""


def limit_lines(run: ToolRun) -> list[tuple[str, str]]:
    """The policy in words."""
    policy = run.policy
    lines = [(name, _written(policy[key], how)) for name, key, how in LIMITS if policy.get(key)]
    if run.runner == "host":
        hosts = policy.get("egress") or []
        return [
            ("Time", duration(policy.get("timeout_seconds"))),
            ("May reach", ", ".join(hosts) or "nothing"),
        ]
    return [*lines, ("Network", "none")]


def _written(value: Any, how: str) -> str:
    if how == "bytes":
        return bytes_text(value)
    if how == "seconds":
        return duration(value)
    return f"{value} %" if how == "percent" else str(value)


def timeline(run: ToolRun) -> list[Moment]:
    """What happened to a run, newest first."""
    moments = [Moment(run.created_at, f"Asked for by {run.user_label}, via {run.via}")]
    if run.state == RunState.APPROVAL:
        moments.append(Moment(run.created_at, "Waits for somebody's yes", "warn"))
    if run.approved_by is not None:
        moments.append(Moment(run.queued_at, f"Approved by {run.approved_by}"))
    if run.state == RunState.QUEUED:
        moments.append(Moment(run.queued_at, "Waits for its turn", "busy"))
    if run.sent_at:
        moments.append(Moment(run.sent_at, f"Handed to {run.node_name}", "busy"))
    if run.started_at:
        words = "Running, in a container that waited" if run.warm else "Running"
        moments.append(Moment(run.started_at, words, "busy"))
    if run.ended_at:
        tone = "good" if run.ok else "warn" if run.outcome in ("cancelled", "denied") else "bad"
        moments.append(Moment(run.ended_at, run.get_outcome_display(), tone))
    return list(reversed(moments))


def input_lines(run: ToolRun) -> list[tuple[str, str]]:
    """Each argument with its name: texts as they are, the rest as JSON."""
    arguments = run.arguments if isinstance(run.arguments, dict) else {}
    return [
        (name, value if isinstance(value, str) else json_text(value)) for name, value in arguments.items()
    ]


def json_text(value: Any) -> str:
    """JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False)
