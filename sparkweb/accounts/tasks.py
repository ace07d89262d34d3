"""Background jobs about access, and settings that processes take over while they run."""

from __future__ import annotations

from celery import shared_task
from django.contrib.sessions.models import Session
from django.utils import timezone

from sparkweb import logs


@shared_task(name="sparkweb.accounts.tasks.sessions_clear")
def sessions_clear() -> int:
    """Delete sessions that have ended. Returns how many."""
    return Session.objects.filter(expire_date__lt=timezone.now()).delete()[0]


@shared_task(name="sparkweb.accounts.tasks.log_level_apply")
def log_level_apply(level: str) -> None:
    """Change how much control logs, until it restarts."""
    logs.level_set(level)
