"""The machine itself: CPU, memory, load, disks, networks, temperature, each second.

The files of /proc that are read each second stay open; what seldom changes or
may block (mounts, sizes of file systems, link speeds, sensors) is read aside by
the slow lane. Rates are differences over monotonic time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparkweb.adapters.host_counters import boot_and_switches_parse, cpu_seconds
from sparkweb.adapters.host_devices import Disks, Networks, OpenFile, temperature_celsius
from sparkweb.adapters.host_pressure import Pressure
from sparkweb.adapters.host_sensors import sensors
from sparkweb.adapters.slow_lane import SlowLane

KIB = 1024
TEMPERATURE_EVERY_SECONDS = 5.0
MOVING_KEYS = (
    "cpu_percent", "cpu_per_core_percent", "load", "memory_available_bytes", "memory_used_bytes",
    "memory_reclaimable_bytes", "memory_free_bytes", "swap_used_bytes", "temperature_celsius",
    "uptime_seconds", "pressure", "swap_in_bytes_per_second", "swap_out_bytes_per_second", "sensors",
)  # fmt: skip


class Host:
    """Reads the report's `host` object. One owner thread: differences live here."""

    def __init__(
        self,
        *,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
        slow_lane: SlowLane | None = None,
    ) -> None:
        proc = root / "proc"
        self._root = root
        self._clock = clock
        self._slow = slow_lane or SlowLane(clock)
        self._stat = OpenFile(proc / "stat")
        self._meminfo = OpenFile(proc / "meminfo")
        self._loadavg = OpenFile(proc / "loadavg")
        self._uptime = OpenFile(proc / "uptime")
        self._pressure = Pressure(root)
        self._disks = Disks(root, self._slow)
        self._networks = Networks(root, self._slow)
        self._times: list[tuple[int, int]] = []
        self._counters: dict[str, Any] = {}
        self._names = _names()
        self.memory_total_bytes = meminfo_parse(self._meminfo.read()).get("MemTotal")

    def read(self, *, unified_memory: bool = False) -> dict[str, Any]:
        """Return the `host` object of the report, see docs/architecture.md.

        `unified_memory` applies NVIDIA's rule for huge pages, see `memory_figures`.
        CPU percentages and rates are None with `stale` on the first reading.
        """
        now = self._clock()
        why: dict[str, str] = {}
        row: dict[str, Any] = {**self._cpu(why)}
        row["load"] = [float(number) for number in self._loadavg.read().split()[:3]]
        row.update(memory_figures(meminfo_parse(self._meminfo.read()), unified_memory, why))
        row.update(self._pressure.read(now, why))
        row["temperature_celsius"] = self._temperature(why)
        row["sensors"] = self._sensors(why)
        row["uptime_seconds"] = int(float(self._uptime.read().split()[0]))
        row["disks"] = self._disks.read(now)
        row["networks"] = self._networks.read(now)
        row.update(self._names)
        row["why"] = why
        return row

    @property
    def counters(self) -> dict[str, Any]:
        """What the last reading counted since the machine booted: the report's `counters`."""
        return {**self._counters, "disks": self._disks.counters, "networks": self._networks.counters}

    def close(self) -> None:
        """Close what is held open. The object is of no use afterwards."""
        for file in (self._stat, self._meminfo, self._loadavg, self._uptime):
            file.close()
        self._pressure.close()
        self._disks.close()
        self._networks.close()

    def _cpu(self, why: dict[str, str]) -> dict[str, Any]:
        """Return the share of time not idle since the last reading, of the machine and of each core."""
        text = self._stat.read()
        ticks = cpu_ticks_parse(text)
        times = [_busy_and_total(one) for one in ticks]
        self._counters = {"cpu_seconds": cpu_seconds(ticks[1:]), **boot_and_switches_parse(text)}
        before, self._times = self._times, times
        if len(before) != len(times):  # the first reading, or a core went on- or offline
            why["cpu_percent"] = why["cpu_per_core_percent"] = "stale"
            return {"cpu_percent": None, "cpu_count": len(times) - 1, "cpu_per_core_percent": None}
        shares = [_busy_percent(old, new) for old, new in zip(before, times, strict=True)]
        return {"cpu_percent": shares[0], "cpu_count": len(times) - 1, "cpu_per_core_percent": shares[1:]}

    def _temperature(self, why: dict[str, str]) -> float | None:
        read = self._slow.get(
            "temperature", lambda: (temperature_celsius(self._root),), TEMPERATURE_EVERY_SECONDS
        )
        if read is None or read[0] is None:
            why["temperature_celsius"] = "stale" if read is None else "unsupported"
            return None
        return float(read[0])

    def _sensors(self, why: dict[str, str]) -> list[dict[str, Any]] | None:
        found = self._slow.get("sensors", lambda: sensors(self._root), TEMPERATURE_EVERY_SECONDS)
        if found is None:
            why["sensors"] = "stale"
        return found


def cpu_ticks_parse(text: bytes) -> list[list[int]]:
    """Return the clock ticks of the whole machine, then of each core, by mode.

    Modes are user, nice, system, idle, iowait, irq, softirq, steal. Guest time is part of user time
    already (proc_stat(5)), so these eight are the whole.
    """
    rows = []
    for line in text.splitlines():
        if not line.startswith(b"cpu"):
            break
        rows.append([int(number) for number in line.split()[1:9]])
    return rows


def _busy_and_total(ticks: list[int]) -> tuple[int, int]:
    """Waiting for disks counts as idle."""
    total = sum(ticks)
    return total - ticks[3] - ticks[4], total


def _busy_percent(before: tuple[int, int], after: tuple[int, int]) -> float:
    busy, total = after[0] - before[0], after[1] - before[1]
    if total <= 0:  # idle ticks may run backwards by one
        return 0.0
    return round(min(100.0, max(0.0, 100 * busy / total)), 1)


def meminfo_parse(text: bytes) -> dict[str, int]:
    """Return /proc/meminfo with its kilobytes (they are KiB) as bytes; page counts stay counts."""
    figures = {}
    for line in text.splitlines():
        name, _, rest = line.partition(b":")
        words = rest.split()
        if words:
            figures[name.decode()] = int(words[0]) * (KIB if len(words) > 1 else 1)
    return figures


def memory_figures(
    meminfo: dict[str, int], unified_memory: bool, why: dict[str, str]
) -> dict[str, int | None]:
    """Return the memory figures of the report, bytes.

    available: MemAvailable, what can be had without swapping. MemFree alone
    would count the page cache as used (vllm#35313).
    reclaimable: MemAvailable − MemFree, not below 0: the page cache and slab
    that the kernel counts into MemAvailable, less the reserves it keeps.
    used: total − available.

    On unified memory with huge pages reserved, CUDA allocates from those alone,
    so available is HugePages_Free × Hugepagesize, marked estimated (NVIDIA's
    rule for DGX Spark, as in llama.cpp#17368). Elsewhere huge pages of a
    database say nothing about the rest, and MemAvailable stands.
    """
    total, free = meminfo.get("MemTotal"), meminfo.get("MemFree")
    available = meminfo.get("MemAvailable")
    reclaimable = None if available is None or free is None else max(0, available - free)
    if unified_memory and meminfo.get("HugePages_Total", 0) > 0:
        available = meminfo["HugePages_Free"] * meminfo["Hugepagesize"]
        why["memory_available_bytes"] = why["memory_used_bytes"] = "estimated"
    figures: dict[str, int | None] = {
        "memory_total_bytes": total,
        "memory_available_bytes": available,
        "memory_used_bytes": None if total is None or available is None else max(0, total - available),
        "memory_reclaimable_bytes": reclaimable,
        "memory_free_bytes": free,
        "swap_total_bytes": meminfo.get("SwapTotal"),
        "swap_used_bytes": max(0, meminfo.get("SwapTotal", 0) - meminfo.get("SwapFree", 0)),
    }
    why.update({name: "unsupported" for name, value in figures.items() if value is None})
    return figures


def _names() -> dict[str, str]:
    name = os.uname()
    return {"hostname": name.nodename, "kernel": name.release, "architecture": name.machine}


def host_stale(row: dict[str, Any] | None) -> dict[str, Any]:
    """Return a host object whose moving figures are None with `stale`; totals and names stay.

    `row` is the last one read, None when there never was any.
    """
    empty: dict[str, Any] = {
        "cpu_count": os.cpu_count(), "memory_total_bytes": None, "swap_total_bytes": None,
        "disks": [], "networks": [], "why": {}, **_names(),
    }  # fmt: skip
    stale = {**empty, **(row or {}), **dict.fromkeys(MOVING_KEYS)}
    stale["why"] = {**stale["why"], **dict.fromkeys(MOVING_KEYS, "stale")}
    stale["disks"] = [_device_stale(disk) for disk in stale["disks"]]
    stale["networks"] = [_device_stale(network) for network in stale["networks"]]
    return stale


def _device_stale(device: dict[str, Any]) -> dict[str, Any]:
    rates = [name for name in device if name.endswith("_per_second")]
    return {
        **device,
        **dict.fromkeys(rates),
        "why": {**device.get("why", {}), **dict.fromkeys(rates, "stale")},
    }
