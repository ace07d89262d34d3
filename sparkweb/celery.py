"""The Celery application of control and web. The agent has its own (sparkweb/agent.py)."""

from __future__ import annotations

import os

from celery import Celery

from sparkweb import config
from sparkweb.celery_common import celery_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkweb.settings")


app = Celery("sparkweb")
app.conf.update(celery_settings(config.REDIS_URL))
app.conf.update(
    task_default_queue="control.work",
    beat_schedule_filename=str(config.DATA_DIR / "run" / "beat-schedule"),
    task_routes={"*.events.*": {"queue": "control.events"}},
    beat_schedule={
        "housekeeping": {"task": "models_app.tasks.housekeeping", "schedule": 3600.0},
        "sandbox": {"task": "sandbox_app.tasks.runs_prune", "schedule": 3600.0},
        "outbox": {"task": "sparkweb.outbox.tasks.housekeeping", "schedule": 3600.0},
        "history": {"task": "metrics_app.tasks.history_prune", "schedule": 300.0},
        "weights": {"task": "models_app.tasks.weights_refresh", "schedule": 60.0},
        "audit_head": {"task": "sandbox_app.tasks.audit_head_copy", "schedule": 60.0},
        "audit_daily": {"task": "sandbox_app.tasks.audit_daily", "schedule": 86400.0},
        "audit_housekeeping": {"task": "sandbox_app.tasks.audit_housekeeping", "schedule": 3600.0},
        "usage": {"task": "chat_app.tasks.usage_housekeeping", "schedule": 3600.0},
        "transcript_exports": {"task": "transcripts_app.tasks.exports_prune", "schedule": 1800.0},
        "sessions": {"task": "sparkweb.accounts.tasks.sessions_clear", "schedule": 86400.0},
    },
)
app.autodiscover_tasks(
    [
        "sparkweb.accounts",
        "sparkweb.outbox",
        "models_app",
        "metrics_app",
        "sandbox_app",
        "chat_app",
        "transcripts_app",
    ]
)
