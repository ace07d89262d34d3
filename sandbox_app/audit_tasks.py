"""Background work of the tool audit; sandbox_app/tasks.py brings it to Celery."""

from __future__ import annotations

from datetime import timedelta

import structlog
from celery import shared_task
from django.conf import settings
from django.utils import timezone

from sandbox_app import audit_checks, audit_heads, audit_prune
from sparkweb.accounts.actor import SYSTEM

log = structlog.get_logger(__name__)


@shared_task(name="sandbox_app.tasks.audit_head_copy")
def audit_head_copy() -> bool:
    """Copy the chain's head to the log, the data folder and all nodes."""
    return audit_heads.head_copy()


@shared_task(name="sandbox_app.tasks.audit_check")
def audit_check(check_id: int) -> None:
    """Do one verification that was asked for."""
    audit_checks.check_run_apart(check_id)


@shared_task(name="sandbox_app.tasks.audit_daily")
def audit_daily() -> None:
    """Verify the chain once a day."""
    audit_checks.check_request(SYSTEM)


@shared_task(name="sandbox_app.tasks.audit_housekeeping")
def audit_housekeeping() -> int:
    """Prune what is older than SPARKWEB_AUDIT_KEEP_DAYS. Returns how many entries."""
    if not settings.AUDIT_KEEP_DAYS:
        return 0
    try:
        return audit_prune.audit_prune(timezone.now() - timedelta(days=settings.AUDIT_KEEP_DAYS))
    except audit_prune.AuditBroken as error:
        log.error("the tool audit was not pruned", reason=str(error))
        return 0
