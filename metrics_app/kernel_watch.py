"""The agent's watch on the kernel's log: a section of the report, and facts. No Django."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from sparkweb.adapters.kernel_log import KernelEvent, KernelLog

log = structlog.get_logger(__name__)

SHOWN = 20
# A driver in trouble writes a line a millisecond; what one kind may tell in a minute.
FACTS_PER_MINUTE = 10


class FactAdd(Protocol):
    """What this needs of the journal."""

    def add(self, verb: str, data: dict[str, Any]) -> int: ...


class KernelWatch:
    """Called once a second by the report; `section` never waits."""

    def __init__(self, journal: FactAdd, kernel: KernelLog, clock: Callable[[], float] = time.time) -> None:
        self._journal = journal
        self._kernel = kernel
        self._clock = clock
        self._recent: deque[dict[str, Any]] = deque(maxlen=SHOWN)
        self._counts: Counter[str] = Counter()
        self._told: deque[tuple[str, float]] = deque(maxlen=200)

    def section(self) -> dict[str, Any]:
        """The report's `kernel`: status, message, the last events, and counts by kind since the start."""
        for event in self._kernel.read():
            self._take(event)
        return {
            "status": self._kernel.status,
            "message": self._kernel.message or None,
            "events": list(self._recent),
            "counts": dict(self._counts),
        }

    def close(self) -> None:
        self._kernel.close()

    def _take(self, event: KernelEvent) -> None:
        now = self._clock()
        entry = event.to_json() | {"at": now}
        self._recent.append(entry)
        self._counts[f"xid {event.code}" if event.kind == "xid" else event.kind] += 1
        recent = sum(kind == event.kind and now - at < 60 for kind, at in self._told)
        if recent < FACTS_PER_MINUTE:
            self._told.append((event.kind, now))
            try:
                self._journal.add("kernel_event", entry)
            except Exception:
                log.exception("a line of the kernel's log was not told")
