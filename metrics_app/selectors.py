"""Newest report and last quarter of an hour of each node, from Redis."""

from __future__ import annotations

from typing import Any

import orjson
from django.conf import settings

from metrics_app.models import Node
from metrics_app.series import history_columns
from sparkweb.shared_streams import shared_streams
from sparkweb.streams import Entry, StreamsDown

HISTORY_SECONDS = 900
NOT_SHOWN = ("launches", "counters")


def snapshot_key(name: str) -> str:
    return f"snapshot:{name}"


def live_stream(name: str) -> str:
    return f"live:{name}"


def node_snapshot(name: str) -> dict[str, Any] | None:
    """Return the newest report of a node with the time it was received, or None.

    Keys: report, received_at (seconds, control's clock), boot, seq.
    None when no report came within the hour, or Redis does not answer.
    """
    return node_snapshots([name])[name]


def node_snapshots(names: list[str]) -> dict[str, dict[str, Any] | None]:
    """Return the newest report of each named node in one round trip."""
    try:
        values = shared_streams().fetch([snapshot_key(name) for name in names])
    except StreamsDown:
        values = [None] * len(names)
    return {name: orjson.loads(raw) if raw else None for name, raw in zip(names, values, strict=True)}


def node_history(name: str) -> dict[str, Any]:
    """Return the last 15 minutes of a node as columns, oldest first; empty when Redis does not answer.

    Shape: {"t": [seconds], "columns": {series: [number or None]}}.
    """
    try:
        items = shared_streams().read({live_stream(name): "0"}, count=2 * HISTORY_SECONDS)
    except StreamsDown:
        items = []
    points = [item.data for item in items if isinstance(item, Entry) and item.data]
    return history_columns([(point["t"], point["v"]) for point in points[-HISTORY_SECONDS:]])


def report_shown(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report without what pages have no use for each second."""
    return {key: value for key, value in report.items() if key not in NOT_SHOWN}


def local_node() -> Node | None:
    """Return the node on this machine, or the first one there is."""
    return Node.objects.filter(name=settings.NODE_NAME).first() or Node.objects.first()
