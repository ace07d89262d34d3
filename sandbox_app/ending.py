"""The one way a run ends: its row and the audit entry `ended` in one transaction, exactly once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from sandbox_app.audit import audit_append
from sandbox_app.dispatch import queue_lock
from sandbox_app.models import AuditKind, Outcome, RunState, ToolRun
from sandbox_app.run_frames import run_publish

REASON_MOST = 2000


@transaction.atomic
def run_end(
    run: ToolRun,
    outcome: Outcome,
    reason: str = "",
    artifacts: Sequence[dict[str, Any]] = (),
    **figures: Any,
) -> bool:
    """End a live run; False if it had ended. `figures` are further fields of its row.

    `artifacts` are name, size and digest of what its node says that it left.
    """
    queue_lock()  # before the row, as whoever cancels or approves does
    now = timezone.now()
    changes = {
        **figures,
        "state": RunState.ENDED,
        "live": False,
        "outcome": outcome,
        "reason": reason[:REASON_MOST],
        "ended_at": now,
    }
    if not ToolRun.objects.filter(pk=run.pk, live=True, generation=run.generation).update(**changes):
        return False
    for name, value in changes.items():
        setattr(run, name, value)
    audit_append(
        AuditKind.ENDED,
        run_uid=run.uid,
        tool_name=run.tool_name,
        user_label=run.user_label,
        outcome=outcome,
        body=ended_body(run, artifacts),
    )
    run_publish(run)
    return True


def ended_body(run: ToolRun, artifacts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the audit keeps of an end: how, under which limits, by which image, digests of what came out."""
    return {
        "node": run.node_name,
        "reason": run.reason,
        "exit_code": run.exit_code,
        "signal": run.signal,
        "container": run.container_id,
        "image": run.image_digest,
        "limits": run.limits,
        "egress": run.egress,
        "stdout_bytes": run.stdout_bytes,
        "stderr_bytes": run.stderr_bytes,
        "stdout_sha256": _digest(run.stdout),
        "stderr_sha256": _digest(run.stderr),
        "truncated": run.truncated,
        "artifacts": list(artifacts),
        "duration_ms": run.duration_ms,
        "cpu_ms": run.cpu_ms,
        "memory_peak_bytes": run.memory_peak_bytes,
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
