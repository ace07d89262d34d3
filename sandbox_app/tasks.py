"""Background work of this app. Celery looks for tasks here."""

from __future__ import annotations

from sandbox_app import audit_tasks  # noqa: F401 - its tasks are found here
