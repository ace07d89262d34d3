"""Newest report and last quarter of an hour of each node, from Redis."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
import redis
from django.conf import settings

from metrics_app.models import Node
from metrics_app.series import history_columns

HISTORY_SECONDS = 900


def snapshot_key(name: str) -> str:
    return f"sparkweb:snapshot:{name}"


def live_stream(name: str) -> str:
    return f"sparkweb:live:{name}"


@cache
def redis_client() -> redis.Redis:
    """The process's connection pool; 1 s to connect, 2 s to answer."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=2)


def node_snapshot(name: str) -> dict[str, Any] | None:
    """Return the newest report of a node with the time it was received, or None.

    Keys: report, received_at (seconds, control's clock), boot, seq.
    None when no report came within the hour, or Redis does not answer.
    """
    return node_snapshots([name])[name]


def node_snapshots(names: list[str]) -> dict[str, dict[str, Any] | None]:
    """Return the newest report of each named node in one round trip."""
    if not names:
        return {}
    try:
        values: list[Any] = list(redis_client().mget([snapshot_key(name) for name in names]))  # type: ignore[arg-type]
    except redis.RedisError:
        values = [None] * len(names)
    return {name: orjson.loads(raw) if raw else None for name, raw in zip(names, values, strict=True)}


def node_history(name: str) -> dict[str, Any]:
    """Return the last 15 minutes of a node as columns, oldest first; empty when Redis does not answer.

    Shape: {"t": [seconds], "columns": {series: [number or None]}}.
    """
    try:
        entries: list[Any] = redis_client().xrange(live_stream(name))  # type: ignore[assignment]
    except redis.RedisError:
        entries = []
    points = [orjson.loads(fields[b"d"]) for _, fields in entries]
    return history_columns([(point["t"], point["v"]) for point in points[-HISTORY_SECONDS:]])


def local_node() -> Node | None:
    """Return the node on this machine, or the first one there is."""
    return Node.objects.filter(name=settings.NODE_NAME).first() or Node.objects.first()
