"""The streams client that all Django-side code of one process shares."""

from __future__ import annotations

from functools import cache

from django.conf import settings

from sparkweb.streams import Streams


@cache
def shared_streams() -> Streams:
    """Return this process's client of the Redis in settings."""
    return Streams(settings.REDIS_URL)
