"""Runs that began a moment ago go first: what only tidies up or fills pools waits for them, briefly."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# A run that takes longer is no matter of milliseconds.
COUNTS_SECONDS = 0.1
MOST_SECONDS = 0.25


class Rush:
    """Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._runs: dict[int, float] = {}
        self._numbers = itertools.count()

    @contextmanager
    def run(self) -> Iterator[None]:
        """Somebody waits for what is done here."""
        number = next(self._numbers)
        with self._lock:
            self._runs[number] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._runs[number]
                self._lock.notify_all()

    def wait(self) -> None:
        """Return when nobody is in a hurry, at the latest after MOST_SECONDS."""
        until = time.monotonic() + MOST_SECONDS
        with self._lock:
            while (now := time.monotonic()) < until:
                fresh = [at for at in self._runs.values() if now - at < COUNTS_SECONDS]
                if not fresh:
                    return
                self._lock.wait(min(until, min(fresh) + COUNTS_SECONDS) - now + 0.001)
