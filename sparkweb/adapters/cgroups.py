"""What a container uses, read from its control groups, version 1 and 2.

Reading three small files costs tens of microseconds, where one call of Docker's
stats takes one to two seconds (moby/moby#40478). Nothing here talks to Docker.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTAINER_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
WHERE_ENGINES_PUT_THEM = ("docker/{id}", "system.slice/docker-{id}.scope", "machine.slice/libpod-{id}.scope")
FORGET_SECONDS = 60.0
SHORTEST_INTERVAL_SECONDS = 0.1
IO_KEYS = ("io_read_bytes_per_second", "io_write_bytes_per_second")


def container_id_of(cgroup_text: str) -> str | None:
    """Return the container id that a `/proc/PID/cgroup` names, or None for a process of the host.

    Every line is scanned, for some controllers sit at `/` (moby/moby#33352), and
    the id counts wherever it stands: `/docker/<id>`, `docker-<id>.scope`,
    `libpod-<id>.scope`, behind `/../` of a private namespace. Of nested
    containers the outermost is meant: it is the one that the host's engine knows.
    """
    match = CONTAINER_ID.search(cgroup_text)
    return match.group() if match else None


def container_id_read(pid: int, proc: Path = Path("/proc")) -> str | None:
    """Return the id of the container that `pid` runs in; None on the host, or when it is gone."""
    try:
        return container_id_of((proc / str(pid) / "cgroup").read_text(errors="replace"))
    except OSError:
        return None


@dataclass(frozen=True)
class _Mount:
    """Where one hierarchy is mounted; `root` is what of it is visible there."""

    point: Path
    root: str


@dataclass
class _Group:
    """The files of one container, and its last CPU reading."""

    cpu: Path | None
    cpu_nanoseconds: Callable[[bytes], int]
    memory: Path | None
    memory_stat: Path | None
    inactive_key: bytes
    asked_at: float
    io: Path | None = None
    pids: Path | None = None
    read_at: float | None = None
    used_nanoseconds: int = 0
    percent: float | None = None
    io_read_at: float | None = None
    io_bytes: tuple[int, int] = (0, 0)
    io_rates: tuple[int | None, int | None] = (None, None)


class ContainerCgroups:
    """Reads CPU, memory, I/O and tasks of containers; remembers paths and the last counters.

    `root` is where `proc` and `sys` are looked for, so that a recorded tree can
    stand for a machine of another kind.
    """

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock
        self._groups: dict[tuple[str, int | None], _Group] = {}
        self._mounts: dict[str, _Mount] | None = None
        self._memory_total = _memory_total_bytes(root)

    def figures(self, container_id: str, pid: int | None) -> dict[str, Any]:
        """Return `cpu_percent`, `memory_bytes`, both I/O rates, `pids` and `why` of one container.

        CPU in percent of one core (200 is two cores) since the last call for
        this container, None with `stale` on the first. Memory is usage without
        inactive page cache, as `docker stats` counts, never above the host's
        total (henrygd/beszel#1207). I/O counts bytes that went to or came from
        block devices, as `docker stats` does, per second since the last call.
        Where the groups cannot be seen, all are None with `hidden`.
        """
        now = self._clock()
        key = (container_id, pid)
        group = self._groups.get(key)
        if group is None:
            group = self._find(container_id, pid, now)
            self._forget(now)
            if group is None:
                return _unknown("hidden")
            self._groups[key] = group
        group.asked_at = now
        try:
            cpu, memory = self._cpu_percent(group, now), self._memory_bytes(group)
            rates, pids = self._io_rates(group, now), _count(group.pids)
        except (OSError, ValueError, KeyError, IndexError):
            del self._groups[key]
            return _unknown("stale")
        why = {}
        if cpu is None:
            why["cpu_percent"] = "stale" if group.cpu else "unsupported"
        if memory is None:
            why["memory_bytes"] = "unsupported"
        if None in rates:
            why.update(dict.fromkeys(IO_KEYS, "stale" if group.io else "unsupported"))
        if pids is None:
            why["pids"] = "unsupported"
        figures = {"cpu_percent": cpu, "memory_bytes": memory, **dict(zip(IO_KEYS, rates, strict=True))}
        return {**figures, "pids": pids, "why": why}

    def directory(self, container_id: str, pid: int | None) -> Path | None:
        """Return the folder whose `cgroup.procs` lists the container's processes; None where it is hidden."""
        groups = self._membership(pid) if pid else {}
        file, _ = self._directory("memory", groups, container_id, "cgroup.procs", "cgroup.procs")
        return file.parent if file else None

    def _cpu_percent(self, group: _Group, now: float) -> float | None:
        if group.cpu is None:
            return None
        if group.read_at is not None and now - group.read_at < SHORTEST_INTERVAL_SECONDS:
            return group.percent
        used = group.cpu_nanoseconds(group.cpu.read_bytes())
        percent = None
        if group.read_at is not None and used >= group.used_nanoseconds:
            percent = round((used - group.used_nanoseconds) / (now - group.read_at) / 1e7, 2)
        group.read_at, group.used_nanoseconds, group.percent = now, used, percent
        return percent

    def _memory_bytes(self, group: _Group) -> int | None:
        if group.memory is None or group.memory_stat is None:
            return None
        usage = int(group.memory.read_bytes())
        inactive = _field(group.memory_stat.read_bytes(), group.inactive_key)
        if inactive < usage:
            usage -= inactive
        return min(usage, self._memory_total) if self._memory_total else usage

    def _io_rates(self, group: _Group, now: float) -> tuple[int | None, int | None]:
        """Return bytes read and written per second; a counter that went back gives None."""
        if group.io is None:
            return None, None
        if group.io_read_at is not None and now - group.io_read_at < SHORTEST_INTERVAL_SECONDS:
            return group.io_rates
        before, group.io_bytes = group.io_bytes, _io_bytes(group.io.read_bytes())
        seconds = None if group.io_read_at is None else now - group.io_read_at
        group.io_read_at, group.io_rates = now, (None, None)
        if seconds and group.io_bytes[0] >= before[0] and group.io_bytes[1] >= before[1]:
            read, written = (
                round((new - old) / seconds) for old, new in zip(before, group.io_bytes, strict=True)
            )
            group.io_rates = (read, written)
        return group.io_rates

    def _find(self, container_id: str, pid: int | None, now: float) -> _Group | None:
        groups = self._membership(pid) if pid else {}
        cpu, cpu_version = self._directory("cpuacct", groups, container_id, "cpuacct.usage", "cpu.stat")
        memory, memory_version = self._directory(
            "memory", groups, container_id, "memory.usage_in_bytes", "memory.current"
        )
        if cpu is None and memory is None:
            return None
        io, _ = self._directory("blkio", groups, container_id, "blkio.throttle.io_service_bytes", "io.stat")
        pids, _ = self._directory("pids", groups, container_id, "pids.current", "pids.current")
        return _Group(
            cpu=cpu,
            cpu_nanoseconds=int if cpu_version == 1 else _usage_nanoseconds,
            memory=memory,
            memory_stat=memory.with_name("memory.stat") if memory else None,
            inactive_key=b"total_inactive_file" if memory_version == 1 else b"inactive_file",
            asked_at=now,
            io=io,
            pids=pids,
        )

    def _directory(
        self, controller: str, groups: dict[str, str], container_id: str, file_v1: str, file_v2: str
    ) -> tuple[Path | None, int]:
        """Return the counter file of one controller and the hierarchy's version, or None and 0."""
        for version, hierarchy, name in ((1, controller, file_v1), (2, "", file_v2)):
            mount = self._hierarchies().get(hierarchy)
            if mount is None:
                continue
            for place in _places(mount, groups.get(hierarchy), container_id):
                if (place / name).exists():
                    return place / name, version
        return None, 0

    def _membership(self, pid: int) -> dict[str, str]:
        """Return {controller: path} of a process; the unified hierarchy's controller is ""."""
        try:
            text = (self._root / "proc" / str(pid) / "cgroup").read_text(errors="replace")
        except OSError:
            return {}
        groups = {}
        for line in text.splitlines():
            _, controllers, path = line.split(":", 2)
            groups.update(dict.fromkeys(controllers.split(","), path))
        return groups

    def _hierarchies(self) -> dict[str, _Mount]:
        if self._mounts is None:
            self._mounts = dict(_mounts_read(self._root))
        return self._mounts

    def _forget(self, now: float) -> None:
        for key, group in list(self._groups.items()):
            if now - group.asked_at > FORGET_SECONDS:
                del self._groups[key]


def _unknown(reason: str) -> dict[str, Any]:
    names = ("cpu_percent", "memory_bytes", *IO_KEYS, "pids")
    return {**dict.fromkeys(names), "why": dict.fromkeys(names, reason)}


def _count(path: Path | None) -> int | None:
    return int(path.read_bytes()) if path else None


def _io_bytes(text: bytes) -> tuple[int, int]:
    """Return bytes read and written over all devices.

    Version 2 has one line a device (`254:0 rbytes=1 wbytes=2 rios=…`), version 1
    one line for each kind (`254:0 Read 1`, `254:0 Write 2`, and sums at the end).
    """
    read = written = 0
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in (b"Read", b"Write"):
            words[1:] = [b"rbytes=" + words[2] if words[1] == b"Read" else b"wbytes=" + words[2]]
        for word in words[1:]:
            name, _, number = word.partition(b"=")
            read += int(number) if name == b"rbytes" else 0
            written += int(number) if name == b"wbytes" else 0
    return read, written


def _field(text: bytes, key: bytes) -> int:
    """Return the number beside `key` in a flat keyed file such as memory.stat."""
    for line in text.splitlines():
        name, _, value = line.partition(b" ")
        if name == key:
            return int(value)
    raise KeyError(key.decode())


def _usage_nanoseconds(text: bytes) -> int:
    return _field(text, b"usage_usec") * 1000


def _memory_total_bytes(root: Path) -> int | None:
    try:
        first = (root / "proc" / "meminfo").read_text().split("\n", 1)[0]
        return int(first.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None


def _mounts_read(root: Path) -> Iterator[tuple[str, _Mount]]:
    """Yield (controller, mount) of each control group hierarchy; "" is the unified one."""
    for line in (root / "proc" / "self" / "mountinfo").read_text(errors="replace").splitlines():
        left, _, right = line.partition(" - ")
        fields, kinds = left.split(), right.split()
        if len(fields) < 5 or not kinds or kinds[0] not in ("cgroup", "cgroup2"):
            continue
        mount = _Mount(root / fields[4].lstrip("/"), fields[3])
        if kinds[0] == "cgroup2":
            yield "", mount
        else:
            for option in kinds[-1].split(","):
                yield option, mount


def _places(mount: _Mount, path: str | None, container_id: str) -> Iterator[Path]:
    """Yield the directories that may be the container's, the likeliest first."""
    if path:
        whole = _upto(path, container_id)
        if whole:
            yield mount.point / os.path.relpath(whole, mount.root)
            yield mount.point / whole.lstrip("/").replace("../", "")
    for pattern in WHERE_ENGINES_PUT_THEM:
        yield mount.point / pattern.format(id=container_id)


def _upto(path: str, container_id: str) -> str | None:
    """Return `path` up to the part that names the container: its init may sit in a group below."""
    parts = path.split("/")
    for number, part in enumerate(parts):
        if container_id in part:
            return "/".join(parts[: number + 1])
    return None
