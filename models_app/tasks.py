"""Background work with the database."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from models_app import weights
from models_app.log_archive import folders_tidy
from models_app.models import GuardianAct, Launch
from models_app.schedules import turns_forget


@shared_task
def housekeeping() -> int:
    """Delete launches that ended longer ago than SPARKWEB_LAUNCH_KEEP_DAYS, 500 at a time, and old turns.

    With them go the acts of memory guardians. Returns how many rows.
    """
    before = timezone.now() - timedelta(days=settings.LAUNCH_EVENTS_KEEP_DAYS)
    GuardianAct.objects.filter(at__lt=before).delete()
    old = Launch.objects.filter(live=False, ended_at__lt=before).values_list("pk", flat=True)[:500]
    deleted = Launch.objects.filter(pk__in=list(old)).delete()[0]
    folders_tidy()
    return deleted + turns_forget()


@shared_task
def weights_refresh() -> int:
    """Ask online nodes what lies in their caches of the defined models; about how many."""
    return weights.weights_refresh()
