"""What the kernel says of want: stalls for processor, memory and disk, and pages moved to and from swap."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sparkweb.adapters.host_devices import OpenFile, Rates

RESOURCES = ("cpu", "memory", "io")
SWAP_KEYS = ("swap_in_bytes_per_second", "swap_out_bytes_per_second")


class Pressure:
    """Reads /proc/pressure and the swap counters of /proc/vmstat; absent files are `unsupported`."""

    def __init__(self, root: Path) -> None:
        proc = root / "proc"
        self._files = {name: _opened(proc / "pressure" / name) for name in RESOURCES}
        self._vmstat = _opened(proc / "vmstat")
        self._rates = Rates()
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")

    def read(self, now: float, why: dict[str, str]) -> dict[str, Any]:
        """Return `pressure` and the swap rates of the report.

        Pressure is the share of the last 10 s, in percent, in which some or all
        runnable tasks waited for a resource (kernel: accounting/psi.rst).
        """
        found = {name: _averages(file) for name, file in self._files.items()}
        told = any(value is not None for value in found.values())
        if not told:
            why["pressure"] = "unsupported"
        return {"pressure": found if told else None, **self._swap(now, why)}

    def close(self) -> None:
        for file in (*self._files.values(), self._vmstat):
            if file is not None:
                file.close()

    def _swap(self, now: float, why: dict[str, str]) -> dict[str, int | None]:
        counters = vmstat_parse(self._vmstat.read()) if self._vmstat else {}
        pages = counters.get(b"pswpin"), counters.get(b"pswpout")
        if pages[0] is None or pages[1] is None:
            why.update(dict.fromkeys(SWAP_KEYS, "unsupported"))
            return dict.fromkeys(SWAP_KEYS)
        moved = (pages[0] * self._page_bytes, pages[1] * self._page_bytes)
        rates = dict(zip(SWAP_KEYS, self._rates.per_second("swap", now, moved), strict=True))
        why.update({name: "stale" for name, value in rates.items() if value is None})
        return rates


def pressure_parse(text: bytes) -> dict[str, float | None]:
    """Return `some_percent` and `full_percent`, the averages of ten seconds; None where there is no line.

    A line reads `some avg10=1.53 avg60=0.21 avg300=0.04 total=1234` (psi.rst).
    """
    found: dict[str, float | None] = {"some_percent": None, "full_percent": None}
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[1].startswith(b"avg10="):
            found[f"{words[0].decode()}_percent"] = float(words[1][6:])
    return found


def vmstat_parse(text: bytes) -> dict[bytes, int]:
    """Return the swap counters of /proc/vmstat, in pages since the machine booted."""
    rows = (line.split() for line in text.splitlines() if line.startswith(b"pswp"))
    return {row[0]: int(row[1]) for row in rows if len(row) == 2}


def _opened(path: Path) -> OpenFile | None:
    try:
        return OpenFile(path)
    except OSError:
        return None


def _averages(file: OpenFile | None) -> dict[str, float | None] | None:
    """Built in but switched off (`psi=0`), the file opens and cannot be read."""
    try:
        return pressure_parse(file.read()) if file else None
    except OSError:
        return None
