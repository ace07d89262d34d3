"""Ending what a plan names, directly in the kernel: Docker is not asked, for it may hang.

A process is signalled only while it is proven to be the victim's: by a pidfd,
which never means another process, and the control group that /proc names for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from sparkweb.guardian.decide import Victim

ROUNDS = 40
ROUND_SECONDS = 0.025
DOCKER_SECONDS = 2.0
BUFFER_BYTES = 131_072
SIGNAL, DOCKER, NONE = "signal", "docker", "none"


@dataclass
class Outcome:
    """`signalled` pids, `refused` by the kernel for want of rights, `left` alive after a second."""

    signalled: set[int] = field(default_factory=set)
    refused: int = 0
    left: int = 0
    asked_docker: bool = False


@dataclass
class Target:
    """A victim with everything opened that ending it needs. `reach` says how it can be ended."""

    victim: Victim
    docker_socket: str = ""
    reach: str = NONE
    _kill_fd: int = -1
    _procs_fd: int = -1
    _buffer: bytearray = field(default_factory=lambda: bytearray(BUFFER_BYTES))

    def __post_init__(self) -> None:
        identifier = self.victim.container_id
        self._id_bytes = identifier.encode()
        self._request = f"POST /containers/{identifier}/kill?signal=KILL HTTP/1.0\r\n\r\n".encode()
        # A folder that does not name the container is not the container's.
        folder = self.victim.cgroup
        if folder and identifier and identifier in folder:
            self._procs_fd = _opened(Path(folder) / "cgroup.procs", os.O_RDONLY)
            self._kill_fd = _opened(Path(folder) / "cgroup.kill", os.O_WRONLY)
        self.reach = self._reach()

    def kill(self) -> Outcome:
        """End all of it, looking again for what forked meanwhile. Takes a second at most, Docker apart."""
        outcome = Outcome()
        for _ in range(ROUNDS):
            if self._kill_fd >= 0:
                # Linux 5.14: the whole group at once, forks included.
                outcome.signalled.update(self.pids())
                with contextlib.suppress(OSError):
                    os.write(self._kill_fd, b"1")
            pids = self.pids()
            outcome.left = len(pids)
            if not pids:
                return outcome
            self._signal_all(pids, outcome)
            if outcome.refused:
                break
            time.sleep(ROUND_SECONDS)
        outcome.left = len(self.pids())
        if outcome.left and outcome.refused and self.docker_socket:
            outcome.asked_docker = self._docker_ask()
        return outcome

    def pids(self) -> list[int]:
        """The victim's living processes: those in its group, and its first one."""
        found = [pid for pid in self._listed() if self._is_ours(pid)]
        first = self.victim.pid
        if first and first not in found and self._is_first(first):
            found.append(first)
        return found

    def close(self) -> None:
        for fd in (self._kill_fd, self._procs_fd):
            if fd >= 0:
                os.close(fd)
        self._kill_fd = self._procs_fd = -1

    def _listed(self) -> list[int]:
        if self.victim.scope == "session":
            return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
        if self._procs_fd < 0:
            return []
        try:
            length = os.preadv(self._procs_fd, [self._buffer], 0)
        except OSError:
            return []  # the group is gone
        return [int(line) for line in bytes(self._buffer[:length]).splitlines() if line.isdigit()]

    def _is_ours(self, pid: int) -> bool:
        """Whether `pid` is the victim's right now. Never true for this process or init."""
        if pid <= 1 or pid == os.getpid():
            return False
        try:
            return self._belongs(pid) and not _is_zombie(pid)
        except (OSError, ValueError, IndexError):
            return False

    def _belongs(self, pid: int) -> bool:
        if self.victim.scope == "container":
            return bool(self._id_bytes) and self._id_bytes in _proc_read(pid, "cgroup")
        if self.victim.scope == "process" or pid == self.victim.pid:
            return pid == self.victim.pid and start_ticks(pid) == self.victim.start_ticks
        # A session keeps its number while one process is in it, so only a leader of that
        # number who began at another time tells that it is another session.
        leader = start_ticks(self.victim.pid) if self.victim.pid else None
        is_the_same = leader is None or leader == self.victim.start_ticks
        return is_the_same and _session_of(pid) == self.victim.pid

    def _is_first(self, pid: int) -> bool:
        if self.victim.start_ticks is None or not self._is_ours(pid):
            return False
        return start_ticks(pid) == self.victim.start_ticks

    def _signal_all(self, pids: list[int], outcome: Outcome) -> None:
        for pid in pids:
            try:
                if self._signal(pid):
                    outcome.signalled.add(pid)
            except PermissionError:
                outcome.refused += 1
            except OSError:
                continue  # it ended by itself

    def _signal(self, pid: int) -> bool:
        """Send SIGKILL to `pid` if it still is the victim's; the descriptor pins which process is meant."""
        fd = os.pidfd_open(pid)
        try:
            if not self._is_ours(pid):
                return False
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)
        return True

    def _reach(self) -> str:
        if self._kill_fd >= 0:
            return SIGNAL
        for pid in self.pids()[:1]:
            with contextlib.suppress(OSError):
                os.kill(pid, 0)
                return SIGNAL
        usable = self.docker_socket and os.access(self.docker_socket, os.W_OK)
        return DOCKER if usable else NONE

    def _docker_ask(self) -> bool:
        """Ask dockerd instead, where the kernel refuses; whether it said yes in time."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(DOCKER_SECONDS)
            try:
                asking.connect(self.docker_socket)
                asking.sendall(self._request)
                return asking.recv(64).split(b" ")[1:2] == [b"204"]
            except OSError:
                return False


def start_ticks(pid: int) -> int | None:
    """Clock ticks from boot to the start of `pid`: with the pid, who it is. None when it does not live."""
    try:
        stat = _proc_read(pid, "stat")
        return int(stat[stat.rindex(b")") + 2 :].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _session_of(pid: int) -> int:
    """Field 6 of /proc/PID/stat."""
    stat = _proc_read(pid, "stat")
    return int(stat[stat.rindex(b")") + 2 :].split()[3])


def _is_zombie(pid: int) -> bool:
    stat = _proc_read(pid, "stat")
    return stat[stat.rindex(b")") + 2 : stat.rindex(b")") + 3] in (b"Z", b"X")


def _proc_read(pid: int, name: str) -> bytes:
    fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _opened(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError:
        return -1
