"""How much a scan may look at: caches may lie on slow network disks and hold a million files."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 60.0
ENTRIES = 200_000


class ScanStopped(Exception):
    """The scan looked at enough; what it found so far is told as a part."""


class Budget:
    """Time (monotonic seconds) and entries of one scan."""

    def __init__(
        self,
        seconds: float = SECONDS,
        entries: int = ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._ends_at = clock() + seconds
        self._most = entries
        self._left = entries

    def spend(self) -> None:
        """Count one entry. Raises ScanStopped."""
        self._left -= 1
        if self._left < 0:
            raise ScanStopped(f"Stopped after {self._most:,} files; what is below is not all.")
        if self._clock() > self._ends_at:
            raise ScanStopped(
                f"Stopped after {self._seconds:.0f} s: the disk is slow. What is below is not all."
            )
