"""What browsers are told of a run when its state changes: by the live socket, to those who may see it."""

from __future__ import annotations

from django.db import transaction

from sandbox_app.models import RunState, ToolRun
from sparkweb import live
from sparkweb.accounts.models import Role


def run_publish(run: ToolRun) -> None:
    """Tell on commit that a run changed: its user, admins, and operators while it waits for approval."""
    frame = {
        "type": "tool_run",
        "run": run.uid,
        "tool": run.tool_name,
        "session": run.session.uid if run.session else None,
        "state": run.state,
        "outcome": run.outcome,
    }
    role = Role.OPERATOR if run.state == RunState.APPROVAL else Role.ADMIN
    only = (run.user_id or 0, str(role))
    transaction.on_commit(lambda: live.publish(f"tool_run:{run.uid}", frame, only))
