"""Background work with the database. Celery looks for tasks here."""

from __future__ import annotations

from transcripts_app.export.tasks import export_make, exports_prune

__all__ = ["export_make", "exports_prune"]
