"""Who a process is: its name and its container, from /proc."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sparkweb.adapters.cgroups import container_id_read

INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, include/linux/proc_ns.h
REFRESH_SECONDS = 10.0
NAME_LENGTH = 64


@dataclass(frozen=True)
class Process:
    """A living process. `container_id` is None on the host itself."""

    name: str
    container_id: str | None


@dataclass(frozen=True)
class _Known:
    started: bytes
    read_at: float
    process: Process


class Processes:
    """Looks processes up by pid, and remembers them by pid and start time."""

    def __init__(self, proc: Path = Path("/proc"), clock: Callable[[], float] = time.monotonic) -> None:
        self._proc = proc
        self._clock = clock
        self._known: dict[int, _Known] = {}
        self.hidden = self._namespace_is_private()

    def _namespace_is_private(self) -> bool:
        """Whether other processes of the machine cannot be seen from here (a container's /proc)."""
        try:
            return str((self._proc / "self" / "ns" / "pid").readlink()) != INITIAL_PID_NAMESPACE
        except OSError:
            return False

    def find(self, pid: int) -> Process | None:
        """Return who `pid` is, or None when no such process lives (or it cannot be seen).

        Names are read again each 10 s: engines set their title after they start.
        """
        started = self._start_time(pid)
        if started is None:
            self._known.pop(pid, None)
            return None
        now = self._clock()
        known = self._known.get(pid)
        if known and known.started == started and now - known.read_at < REFRESH_SECONDS:
            return known.process
        process = Process(self._name(pid), container_id_read(pid, self._proc))
        self._known[pid] = _Known(started, now, process)
        return process

    def keep_only(self, pids: set[int]) -> None:
        """Forget all others, so that the memory of long-gone processes does not pile up."""
        for pid in self._known.keys() - pids:
            del self._known[pid]

    def _start_time(self, pid: int) -> bytes | None:
        """Return field 22 of /proc/PID/stat, clock ticks after boot; None when there is no such process."""
        try:
            stat = (self._proc / str(pid) / "stat").read_bytes()
            return stat[stat.rindex(b")") + 2 :].split()[19]
        except (OSError, ValueError, IndexError):
            return None

    def _name(self, pid: int) -> str:
        try:
            command = (self._proc / str(pid) / "cmdline").read_bytes()
            return name_of(command) or (self._proc / str(pid) / "comm").read_text(errors="replace").strip()
        except OSError:
            return ""


def name_of(command: bytes) -> str:
    """Return a short name for a command line: its program, and for an interpreter its script or module.

    Arguments are left out, for they may hold secrets. A title that the process
    gave itself (`VLLM::EngineCore`) is kept up to its first option.

    >>> name_of(b"/usr/bin/python3\\0-m\\0vllm.entrypoints.openai.api_server\\0--api-key\\0x\\0")
    'python3 vllm.entrypoints.openai.api_server'
    """
    words = command.decode(errors="replace").rstrip("\0").split("\0")
    if len(words) == 1 and not words[0].startswith("/"):
        return words[0].split(" -")[0].strip()[:NAME_LENGTH]
    # A title that the process gave itself has options behind blanks; the path of a program may hold blanks.
    path = words[0].split(" ")[0] if len(words) == 1 else words[0]
    program = path.rsplit("/", 1)[-1]
    if program.startswith("python"):
        return f"{program} {_script(words[1:])}".strip()[:NAME_LENGTH]
    return program[:NAME_LENGTH]


def _script(arguments: list[str]) -> str:
    """Return the module or script that Python's `arguments` run; empty when there is none."""
    for position, word in enumerate(arguments):
        if word == "-m":
            return arguments[position + 1] if position + 1 < len(arguments) else ""
        if word == "-c":
            return ""
        if not word.startswith("-"):
            return word.rsplit("/", 1)[-1]
    return ""
