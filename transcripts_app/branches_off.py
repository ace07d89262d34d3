"""Which records of a thread lie off its active path."""

from __future__ import annotations

from transcripts_app.thread import Thread


def off_path_of(_thread: Thread) -> frozenset[int]:
    """Return the records that rewinding left behind."""
    return frozenset()
