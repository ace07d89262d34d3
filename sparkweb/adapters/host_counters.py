"""What the kernel counts since the machine booted, by the names that node_exporter made known. Pure."""

from __future__ import annotations

import os
import re
from typing import Any

SECTOR_BYTES = 512  # of /proc/diskstats, whatever the disk's own sectors are
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# What node_exporter leaves out of disks: memory, loops and partitions (its diskstats.device-exclude).
NO_DISK = re.compile(r"(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p|mmcblk\d+p)\d+")


def cpu_seconds(ticks: list[list[int]]) -> list[list[float]]:
    """Return clock ticks of each core as seconds, by mode: docs/architecture.md names the eight."""
    return [[number / TICKS_PER_SECOND for number in core] for core in ticks]


def boot_and_switches_parse(text: bytes) -> dict[str, int | None]:
    """Return from /proc/stat when the machine booted, in seconds since 1970, and its context switches."""
    return {"booted_at": _number(text, b"btime"), "context_switches": _number(text, b"ctxt")}


def _number(text: bytes, name: bytes) -> int | None:
    found = re.search(rb"^%b (\d+)" % name, text, re.MULTILINE)
    return int(found.group(1)) if found else None


def disks_parse(text: str) -> tuple[dict[str, tuple[int, int]], dict[str, dict[str, Any]]]:
    """Return of /proc/diskstats {"major:minor": (bytes read, bytes written)}, and each whole disk's counters.

    Source: the kernel's iostats.rst; times there are milliseconds.
    """
    moved, counters = {}, {}
    for line in text.splitlines():
        fields = line.split()
        reads, _, sectors_read, read_ms, writes, _, sectors_written, write_ms, _, busy_ms = map(
            int, fields[3:13]
        )
        bytes_read, bytes_written = sectors_read * SECTOR_BYTES, sectors_written * SECTOR_BYTES
        moved[f"{fields[0]}:{fields[1]}"] = (bytes_read, bytes_written)
        if not NO_DISK.fullmatch(fields[2]):
            counters[fields[2]] = {
                "reads_completed": reads,
                "read_bytes": bytes_read,
                "read_time_seconds": read_ms / 1000,
                "writes_completed": writes,
                "written_bytes": bytes_written,
                "write_time_seconds": write_ms / 1000,
                "io_time_seconds": busy_ms / 1000,
            }
    return moved, counters


def link_counters(fields: list[str]) -> dict[str, int]:
    """Return one interface's counters by the sixteen columns of /proc/net/dev (proc_pid_net(5))."""
    counters = {}
    for direction, first in (("receive", 0), ("transmit", 8)):
        for place, what in enumerate(("bytes", "packets", "errs", "drop")):
            counters[f"{direction}_{what}"] = int(fields[first + place])
    return counters
