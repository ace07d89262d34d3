"""How much memory this node has for the sandbox right now."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
FRESH_SECONDS = 0.5


class Room:
    """Reads MemAvailable, at most twice a second; unified memory is part of it."""

    def __init__(
        self, reserve_bytes: int, meminfo: Path = MEMINFO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reserve_bytes = reserve_bytes
        self._meminfo = meminfo
        self._clock = clock
        self._read_at = float("-inf")
        self._available_bytes: int | None = None

    def available_bytes(self) -> int | None:
        """MemAvailable in bytes; None where the kernel does not say."""
        now = self._clock()
        if now - self._read_at > FRESH_SECONDS:
            self._read_at, self._available_bytes = now, _available(self._meminfo)
        return self._available_bytes

    def is_short(self, more_bytes: int = 0) -> bool:
        """Whether the reserve would be touched by `more_bytes`."""
        available = self.available_bytes()
        return available is not None and available - more_bytes < self._reserve_bytes

    def missing_words(self, more_bytes: int) -> str:
        """Why there is no room, as a sentence."""
        available = self.available_bytes() or 0
        return (
            f"The node has {available / 2**20:.0f} MiB of memory available, of which "
            f"{self._reserve_bytes / 2**20:.0f} MiB stay free; "
            f"the tool may need {more_bytes / 2**20:.0f} MiB."
        )


def _available(meminfo: Path) -> int | None:
    try:
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None
