"""Background work of exports; transcripts_app/tasks.py brings it to Celery."""

from __future__ import annotations

from celery import shared_task

from transcripts_app.export import jobs


@shared_task(name="transcripts_app.tasks.export_make")
def export_make(uid: str) -> None:
    """Make one export that was asked for."""
    jobs.export_run_apart(uid)


@shared_task(name="transcripts_app.tasks.exports_prune")
def exports_prune() -> int:
    """Take expired exports away."""
    return jobs.exports_prune()
