"""Background work with the figures of nodes."""

from __future__ import annotations

from celery import shared_task

from metrics_app.alerts.services import alerts_prune
from metrics_app.fabric.services import fabric_prune
from metrics_app.history import store
from metrics_app.node_events import events_prune


@shared_task
def history_prune() -> int:
    """Delete chunks, events, alerts and fabric tests whose time is over. Returns how many rows."""
    return store.prune() + events_prune() + alerts_prune() + fabric_prune()
