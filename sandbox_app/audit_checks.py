"""Verifications as rows: asked for on a page or daily, done in a process of its own, told as they go."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from metrics_app.alerts.services import event_clear, event_raise
from sandbox_app.audit_heads import AUDIT_URL
from sandbox_app.audit_verify import Verdict, chain_verify
from sandbox_app.exceptions import ToolRefused
from sandbox_app.models_audit import AuditCheck, CheckState
from sparkweb.accounts.actor import SYSTEM, Actor, audit

log = structlog.get_logger(__name__)

SILENT_AFTER = timedelta(seconds=90)
TOLD_EVERY_SECONDS = 0.5
LONGEST_SECONDS = 3_600
CHECKS_KEPT = 200


def check_latest() -> AuditCheck | None:
    """Return the newest verification; one that was not heard of for 90 s did not end."""
    check = AuditCheck.objects.first()
    if check is not None and check.live and timezone.now() - check.told_at > SILENT_AFTER:
        _check_fail(check, "It was interrupted: control stopped, or has too much to do")
    return check


def check_request(actor: Actor) -> tuple[AuditCheck, bool]:
    """Have the chain verified. Returns the verification, and whether it is new: one at a time is enough.

    Raises ToolRefused when control cannot be told.
    """
    with transaction.atomic():
        running = check_latest()
        if running is not None and running.live:
            return running, False
        check = AuditCheck.objects.create(requested_by=actor.label)
        old = AuditCheck.objects.values_list("pk", flat=True)[CHECKS_KEPT:]
        AuditCheck.objects.filter(pk__in=list(old)).delete()
        if actor is not SYSTEM:
            audit(actor, "tool_audit_verify", check.pk)
    from sandbox_app.audit_tasks import audit_check

    try:
        audit_check.apply_async((check.pk,), retry=False)
    except OperationalError:
        _check_fail(check, "Redis does not answer, so nobody could be asked")
        raise ToolRefused("Redis does not answer; the audit was not verified", "redis_down") from None
    return check, True


def check_run_apart(check_id: int) -> None:
    """Do a verification in a child process: it keeps a processor busy, and control has other things to do."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "verify_audit", "--check", str(check_id)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)[:200]
    else:
        reason = (ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"])[-1][:200]
    check = AuditCheck.objects.filter(pk=check_id).first()
    if check is not None and check.live:
        _check_fail(check, f"It broke off: {reason}")


def check_run(check: AuditCheck) -> Verdict:
    """Verify now, tell how far it is, store what was found, and raise or end the alert."""
    AuditCheck.objects.filter(pk=check.pk).update(state=CheckState.RUNNING, told_at=timezone.now())
    told = time.monotonic()

    def progress(rows: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= TOLD_EVERY_SECONDS:
            told = time.monotonic()
            AuditCheck.objects.filter(pk=check.pk).update(rows=rows, total=total, told_at=timezone.now())

    verdict = chain_verify(progress)
    now = timezone.now()
    AuditCheck.objects.filter(pk=check.pk).update(
        state=CheckState.GOOD if verdict.ok else CheckState.BAD,
        rows=verdict.rows,
        total=verdict.rows,
        verdict=verdict.to_json(),
        told_at=now,
        ended_at=now,
    )
    verdict_tell(verdict)
    return verdict


def verdict_tell(verdict: Verdict) -> None:
    """Log what was found, and raise or end the alert about it."""
    where = {"event": "audit_broken", "node_name": settings.NODE_NAME, "subject": "chain"}
    if verdict.ok:
        log.info("audit verified", rows=verdict.rows, last=verdict.last, seconds=verdict.seconds)
        event_clear(**where, message=verdict.sentence)
        return
    log.error("the tool audit does not hold", fault=verdict.sentence)
    event_raise(**where, message=f"The tool audit does not hold: {verdict.sentence}", url=AUDIT_URL)


def _check_fail(check: AuditCheck, reason: str) -> None:
    check.state, check.reason, check.ended_at = CheckState.FAILED, reason[:300], timezone.now()
    AuditCheck.objects.filter(pk=check.pk, state__in=(CheckState.WAITING, CheckState.RUNNING)).update(
        state=check.state, reason=check.reason, ended_at=check.ended_at
    )
