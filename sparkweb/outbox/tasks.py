"""Background work of the outbox."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from sparkweb.outbox.services import notices_forget


@shared_task(name="sparkweb.outbox.tasks.housekeeping")
def housekeeping() -> int:
    """Forget old notices; how many."""
    return notices_forget(timezone.now())
