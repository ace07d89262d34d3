"""What a container can read of itself: its limits, its counters, its files. Standard library alone."""

from __future__ import annotations

import os
import resource
import stat
import sys

TYPE_CHECKING = False  # the modules of types cost memory in each container
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_GROUPS = "/sys/fs/cgroup"


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except (OSError, ValueError):
        return ""


def _number(*paths: str) -> int | None:
    """The number in the first of these files that has one; None for none, and for "max"."""
    for path in paths:
        text = _text(f"{_GROUPS}/{path}").split()
        if text and text[0].lstrip("-").isdigit():
            return int(text[0])
    return None


def _field(path: str, name: str) -> int | None:
    for line in _text(f"{_GROUPS}/{path}").splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdigit():
            return int(value)
    return None


def cpu_ms() -> float:
    """CPU time of the whole container so far, milliseconds."""
    nanoseconds = _number("cpuacct/cpuacct.usage")
    if nanoseconds is not None:
        return nanoseconds / 1e6
    microseconds = _field("cpu.stat", "usage_usec")
    if microseconds is not None:
        return microseconds / 1e3
    used = os.times()
    return (used.user + used.system + used.children_user + used.children_system) * 1000


def counters() -> dict[str, Any]:
    """What the kernel counted against the limits so far."""
    return {
        "cpu_ms": cpu_ms(),
        "oom_kills": _field("memory/memory.oom_control", "oom_kill")
        or _field("memory.events", "oom_kill")
        or 0,
        "pids_refused": _field("pids/pids.events", "max") or _field("pids.events", "max") or 0,
        "memory_peak_bytes": _number("memory/memory.max_usage_in_bytes", "memory.peak"),
    }


def full(folders: tuple[str, ...]) -> list[str]:
    """Those of these file systems that have no block or no file left."""
    found = []
    for folder in folders:
        try:
            figures = os.statvfs(folder)
        except OSError:
            continue
        if not os.path.ismount(folder):
            continue
        if figures.f_bavail == 0 or (figures.f_files and figures.f_favail == 0):
            found.append(folder)
    return found


def own() -> dict[str, Any]:
    """How this container is bounded, as seen from within."""
    status = {}
    for line in _text("/proc/self/status").splitlines():
        key, _, value = line.partition(":")
        status[key] = value.strip()
    quota, period = _quota()
    return {
        "python": "%d.%d.%d" % sys.version_info[:3],
        "uid": os.getuid(),
        "gid": os.getgid(),
        "capabilities": max(
            (status.get(key, "0") for key in ("CapEff", "CapPrm", "CapBnd")), key=lambda it: int(it, 16)
        ),
        "no_new_privileges": status.get("NoNewPrivs"),
        "seccomp": status.get("Seccomp"),
        "interfaces": sorted(
            line.split(":")[0].strip() for line in _text("/proc/net/dev").splitlines() if ":" in line
        ),
        "mounts": _mounts(),
        "memory_bytes": _number("memory/memory.limit_in_bytes", "memory.max"),
        "memory_and_swap_bytes": _number("memory/memory.memsw.limit_in_bytes"),
        "swap_bytes": _number("memory.swap.max"),
        "pids": _number("pids/pids.max", "pids.max"),
        "cpu_percent": round(quota * 100 / period) if quota and period else None,
        "files_open": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "file_bytes": resource.getrlimit(resource.RLIMIT_FSIZE)[1],
        "core_bytes": resource.getrlimit(resource.RLIMIT_CORE)[1],
    }


def _quota() -> tuple[int | None, int | None]:
    quota = _number("cpu/cpu.cfs_quota_us", "cpu,cpuacct/cpu.cfs_quota_us")
    if quota is not None:
        return quota, _number("cpu/cpu.cfs_period_us", "cpu,cpuacct/cpu.cfs_period_us")
    words = _text(f"{_GROUPS}/cpu.max").split()
    if len(words) == 2 and words[0].isdigit():
        return int(words[0]), int(words[1])
    return None, None


def _mounts() -> dict[str, Any]:
    """Options and size of the file systems that matter."""
    found = {}
    for line in _text("/proc/self/mounts").splitlines():
        _, where, kind, options = line.split(" ")[:4]
        if where in ("/", "/tmp", "/artifacts", "/dev/shm", "/workspace", "/tool", "/sparkweb"):
            figures = os.statvfs(where)
            size = figures.f_blocks * figures.f_frsize
            found[where] = {"kind": kind, "options": options.split(","), "size_bytes": size}
    return found


def files(folder: str, most: int) -> Iterator[tuple[str, int, int]]:
    """Yield (name, descriptor, size) of the regular files below a folder, in order, following no link."""
    count = 0
    for name in _names(folder):
        if count >= most:
            return
        descriptor = _open_beneath(folder, name)
        if descriptor is None:
            continue
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
            os.close(descriptor)
            continue
        count += 1
        yield name, descriptor, facts.st_size


def _names(folder: str, below: str = "", depth: int = 0) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(os.path.join(folder, below)), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        name = os.path.join(below, entry.name)
        if entry.is_dir(follow_symlinks=False):
            if depth < 3:
                yield from _names(folder, name, depth + 1)
        elif entry.is_file(follow_symlinks=False):
            yield name


def _open_beneath(folder: str, name: str) -> int | None:
    """Open for reading, each step without following a link; never waits for a FIFO."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        at = os.open(folder, flags | os.O_DIRECTORY)
        *folders, last = name.split("/")
        for step in folders:
            before, at = at, os.open(step, flags | os.O_DIRECTORY, dir_fd=at)
            os.close(before)
        try:
            return os.open(last, flags, dir_fd=at)
        finally:
            os.close(at)
    except OSError:
        return None


def empty(folder: str) -> None:
    """Remove what is in a folder, links and all."""
    for _, folders, names, at in os.fwalk(folder, topdown=False, follow_symlinks=False):
        for name in names:
            _quietly(os.unlink, name, at)
        for name in folders:
            _quietly(os.rmdir, name, at)
            _quietly(os.unlink, name, at)


def _quietly(remove: Callable[..., None], name: str, at: int) -> None:
    try:
        remove(name, dir_fd=at)
    except OSError:
        pass
