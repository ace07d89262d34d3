"""What pages and the API show of alerts."""

from __future__ import annotations

from typing import Any

import orjson
from django.db.models import QuerySet
from django.utils import timezone

from metrics_app.alerts.engine import PENDING_KEY
from metrics_app.alerts.words import figure_words, series_words
from metrics_app.history.figures import key_metric
from metrics_app.models_alerts import Alert, AlertState, Silence
from sparkweb.shared_streams import shared_streams
from sparkweb.streams import StreamsDown


def alerts_firing() -> QuerySet[Alert]:
    """Return what fires now, newest first."""
    return Alert.objects.filter(state=AlertState.FIRING).select_related("rule", "acknowledged_by")


def alerts_pending() -> list[dict[str, Any]]:
    """Return what is pending: rule, node, series in words, value in words. Empty while Redis is away."""
    try:
        (raw,) = shared_streams().fetch([PENDING_KEY])
    except StreamsDown:
        raw = None
    rows = orjson.loads(raw) if raw else []
    return [row | {"what": series_words(row["series"]), "figure": _figure(row)} for row in rows]


def _figure(row: dict[str, Any]) -> str:
    metric = key_metric(row["series"])
    return figure_words(row["value"], metric.unit) if metric and row["value"] is not None else ""


def silences_now() -> QuerySet[Silence]:
    """Return the silences that hold now, the one that ends first first."""
    return (
        Silence.objects.filter(ends_at__gt=timezone.now())
        .select_related("rule", "created_by")
        .order_by("ends_at")
    )


def firing_count() -> int:
    return Alert.objects.filter(state=AlertState.FIRING).count()
