"""Memory figures by descriptors that are open already, into buffers that exist already."""

from __future__ import annotations

import os
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
PRESSURE = Path("/proc/pressure/memory")
BUFFER_BYTES = 8192


class Meminfo:
    """MemAvailable and MemTotal. Raises OSError when the file cannot be opened."""

    def __init__(self, path: Path = MEMINFO) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._buffer = bytearray(BUFFER_BYTES)

    def available_bytes(self) -> int | None:
        """None where the kernel does not say (before Linux 3.14), or the file is half written."""
        return self._kilobytes(b"MemAvailable:")

    def total_bytes(self) -> int | None:
        return self._kilobytes(b"MemTotal:")

    def _kilobytes(self, key: bytes) -> int | None:
        length = os.preadv(self._fd, [self._buffer], 0)
        begin = self._buffer.find(key, 0, length)
        end = self._buffer.find(b"kB", begin, length)
        if begin < 0 or end < 0:
            return None
        try:
            return int(self._buffer[begin + len(key) : end]) * 1024
        except ValueError:
            return None


class Pressure:
    """Share of the last ten seconds in which every task waited for memory.

    None where the kernel has no pressure figures: before 4.20, built without, or
    turned off. Source: Linux, Documentation/accounting/psi.rst.
    """

    def __init__(self, path: Path = PRESSURE) -> None:
        self._buffer = bytearray(BUFFER_BYTES)
        self._fd = -1
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.full_percent()
        except OSError:
            self._fd = -1

    @property
    def is_known(self) -> bool:
        return self._fd >= 0

    def full_percent(self) -> float | None:
        if self._fd < 0:
            return None
        length = os.preadv(self._fd, [self._buffer], 0)
        line = self._buffer.find(b"full", 0, length)
        begin = self._buffer.find(b"avg10=", line, length)
        end = self._buffer.find(b" ", begin, length)
        if line < 0 or begin < 0 or end < 0:
            return None
        return float(self._buffer[begin + 6 : end])
