"""Background work with the database. Celery looks for tasks here."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from chat_app.usage import usage_prune


@shared_task
def usage_housekeeping() -> int:
    """Delete entries of the ledger older than SPARKWEB_USAGE_KEEP_DAYS. Returns how many."""
    return usage_prune(timezone.now() - timedelta(days=settings.USAGE_KEEP_DAYS))
