"""Background work with the database. Celery looks for tasks here."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from sandbox_app import audit_tasks  # noqa: F401 - its tasks are found here
from sandbox_app.artifact_store import artifact_drop, artifacts_fit, folders_tidy
from sandbox_app.models import Artifact, SelfTest, ToolRun
from sandbox_app.selftest.services import selftest_run
from sandbox_app.sessions import sessions_prune

AT_ONCE = 500


@shared_task
def runs_prune() -> int:
    """Delete files older than SPARKWEB_ARTIFACT_KEEP_DAYS, runs and sessions than SPARKWEB_RUN_KEEP_DAYS.

    500 of each at a time. Returns how many. The audit keeps its entries of them.
    """
    now = timezone.now()
    files = Artifact.objects.filter(created_at__lt=now - timedelta(days=settings.ARTIFACT_KEEP_DAYS))
    old_files = list(files.select_related("run").order_by("pk")[:AT_ONCE])
    for artifact in old_files:
        artifact_drop(artifact)
    runs = ToolRun.objects.filter(live=False, ended_at__lt=now - timedelta(days=settings.RUN_KEEP_DAYS))
    old_runs = list(runs.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    ToolRun.objects.filter(pk__in=old_runs).delete()
    sessions = sessions_prune(now - timedelta(days=settings.RUN_KEEP_DAYS), AT_ONCE)
    dropped = artifacts_fit()
    folders_tidy()
    return len(old_files) + len(old_runs) + sessions + dropped


@shared_task
def selftest_carry_out(uid: str) -> None:
    """Carry out a self-test that was asked for; minutes."""
    test = SelfTest.objects.select_related("node", "requested_by").filter(uid=uid, state="running").first()
    if test is not None and not test.rows:
        selftest_run(test)
