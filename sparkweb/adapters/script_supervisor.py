"""Runs one script and outlives the agent: `python -I -S script_supervisor.py FOLDER`. Standard library only.

    FOLDER/order.json   from the agent: program, stop, cwd, env, log_limit_bytes
    FOLDER/state.json   from here: pid and start time of both, when it began, how it ended
    FOLDER/stop.json    from the agent, before it sends SIGTERM: timeout_seconds
    FOLDER/log, log.1   what the script says, each line with its time

The script leads a session of its own. All that it leaves behind becomes a child of
this process (PR_SET_CHILD_SUBREAPER, prctl(2)), so that nothing is lost sight of and
nothing need be found by name. Over is a run when no such child lives.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

PR_SET_CHILD_SUBREAPER = 36
LINE_LIMIT_BYTES = 16_001
CHUNK_BYTES = 65536
# What a script that failed leaves behind gets SIGTERM, and so long until SIGKILL.
LEFTOVER_SECONDS = 5.0
KILL_EVERY_SECONDS = 0.2
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class StampedLog:
    """Lines with their time, in two files of half the limit each; never stops on a full disk."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._path = path
        self._half = max(limit_bytes // 2, LINE_LIMIT_BYTES)
        self._rest = bytearray()
        self._last_ns = 0
        self._file: BinaryIO | None = None
        self._size = path.stat().st_size if path.exists() else 0

    def feed(self, data: bytes) -> None:
        """Write the lines that `data` completes; of a long line its beginning."""
        *lines, rest = data.split(b"\n")
        stamped = []
        for line in lines:
            self._add(line)
            stamped.append(self._stamp() + bytes(self._rest) + b"\n")
            self._rest.clear()
        self._add(rest)
        if stamped:
            self._write(b"".join(stamped))

    def finish(self) -> None:
        if self._rest:
            self.feed(b"\n")

    def _add(self, piece: bytes) -> None:
        self._rest += piece[: max(0, LINE_LIMIT_BYTES - len(self._rest))]

    def _stamp(self) -> bytes:
        """RFC 3339 with nanoseconds; each later than the one before, so that a reader can go on after it."""
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        seconds, nanoseconds = divmod(self._last_ns, 1_000_000_000)
        whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        return f"{whole}.{nanoseconds:09d}Z ".encode()

    def _write(self, data: bytes) -> None:
        try:
            if self._size > self._half:
                self._close()
                self._path.replace(self._path.with_name("log.1"))
                self._size = 0
            if self._file is None:
                self._file = self._path.open("ab", buffering=0)
            self._file.write(data)
            self._size += len(data)
        except OSError:
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Supervisor:
    """One run from its start to the end of the last process of it."""

    def __init__(self, folder: Path, order: dict[str, Any]) -> None:
        self.folder = folder
        self.order = order
        self.log = StampedLog(folder / "log", order["log_limit_bytes"])
        self.script: subprocess.Popen[bytes] | None = None
        self.stop_script: subprocess.Popen[bytes] | None = None
        self.status: int | None = None
        self.phase = "run"
        self.due: float | None = None
        self.timeout = LEFTOVER_SECONDS
        self.asked = False
        self.pipe_read, self.pipe_write = os.pipe()
        self.wake_read, wake_write = os.pipe()
        for end in (self.wake_read, wake_write, self.pipe_read):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._asked)
        self.state: dict[str, Any] = {
            "boot": BOOT_ID.read_text().strip(),
            "supervisor": [os.getpid(), process_start(os.getpid())],
            "script": None,
            "started_at": time.time(),
            "error": None,
            "ended": None,
        }

    def run(self) -> None:
        try:
            self.script = self._spawn(self.order["program"])
        except OSError as error:
            self.state["error"] = f"{error.strerror or error}"
            self._store()
            return
        self.state["script"] = [self.script.pid, process_start(self.script.pid)]
        self._store()
        while self._reap():
            self._read(self._step())
        os.close(self.pipe_write)
        while self._read(0.0):
            pass
        self.log.finish()
        self.state["ended"] = {"exit_code": exit_code(self.status or 0), "finished_at": time.time()}
        self._store()

    def _asked(self, *_: object) -> None:
        self.asked = True

    def _spawn(self, program: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [program],
            cwd=self.order["cwd"],
            env=self.order["env"],
            stdin=subprocess.DEVNULL,
            stdout=self.pipe_write,
            stderr=self.pipe_write,
            start_new_session=True,
        )

    def _store(self) -> None:
        """Write the state whole or not at all. Tried on while the disk is full, for nobody else knows it."""
        fresh = self.folder / "state.new"
        while True:
            try:
                fresh.write_text(json.dumps(self.state))
                fresh.replace(self.folder / "state.json")
                return
            except FileNotFoundError:  # the agent's folder was removed: nobody will ask
                return
            except OSError:
                time.sleep(1.0)

    def _reap(self) -> bool:
        """Take the status of all that ended; False when no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self._ended(pid, status)

    def _ended(self, pid: int, status: int) -> None:
        assert self.script
        if self.stop_script and pid == self.stop_script.pid:
            self.stop_script.returncode = status
            if self.phase == "stop":
                self._term()
        elif pid == self.script.pid:
            self.script.returncode = self.status = status
            if status and self.phase == "run":
                self._term()
        elif self.script.returncode == 0:
            self.status = status  # serve.sh left it behind and ended well: the last one says how it went

    def _step(self) -> float:
        """Go on with the end, if one is due; how long to wait, in seconds."""
        now = time.monotonic()
        if self.asked and self.phase == "run":
            self._stop_begin(now)
        if self.due is not None and now >= self.due:
            if self.phase == "stop" and self.stop_script:
                self._kill_group(self.stop_script.pid)
                self._term()
            else:
                self.phase, self.due = "kill", now + KILL_EVERY_SECONDS
                self._signal_all(signal.SIGKILL)
        return 60.0 if self.due is None else max(0.01, self.due - time.monotonic())

    def _stop_begin(self, now: float) -> None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            self.timeout = float(json.loads((self.folder / "stop.json").read_text())["timeout_seconds"])
        try:
            if self.order["stop"]:
                self.stop_script = self._spawn(self.order["stop"])
                self.phase, self.due = "stop", now + self.timeout
                return
        except OSError as error:
            self.log.feed(f"stop.sh could not be started: {error.strerror}\n".encode())
        self._term()

    def _term(self) -> None:
        self.phase, self.due = "term", time.monotonic() + self.timeout
        self._signal_all(signal.SIGTERM)

    def _signal_all(self, number: int) -> None:
        """To the groups of our children: the script's, and what it left behind.

        Their numbers cannot be another's: they were not waited for yet. Deeper ones
        become our children when their parents are gone.
        """
        for pid in [pid for pid, parent in parents().items() if parent == os.getpid()]:
            with contextlib.suppress(OSError):
                group = os.getpgid(pid)
                if group == os.getpgrp():
                    os.kill(pid, number)
                else:
                    os.killpg(group, number)

    def _kill_group(self, pid: int) -> None:
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)

    def _read(self, seconds: float) -> bool:
        """Wait for output or a signal, and write what came; whether there was any output."""
        ready, _, _ = select.select([self.pipe_read, self.wake_read], [], [], seconds)
        if self.wake_read in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self.wake_read, 4096)
        if self.pipe_read not in ready:
            return False
        data = os.read(self.pipe_read, CHUNK_BYTES)
        self.log.feed(data)
        return bool(data)


def process_start(pid: int) -> int:
    """Field 22 of /proc/PID/stat: clock ticks after boot (proc(5)). Raises OSError if there is none."""
    return int(stat_fields(pid)[19])


def stat_fields(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat after the name; [0] is the state, [1] the parent."""
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return stat[stat.rindex(b")") + 2 :].split()


def parents() -> dict[int, int]:
    """The parent of each living process of this machine, zombies left out."""
    found = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = stat_fields(int(entry))
                if fields[0] != b"Z":
                    found[int(entry)] = int(fields[1])
    return found


def exit_code(status: int) -> int:
    """As a shell says it: 128 and the signal's number for what a signal ended."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _locked(folder: Path, work: Callable[[], None]) -> None:
    """Do the work once in the folder's life, whoever asks how often."""
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        if not (folder / "state.json").exists():
            work()


def main() -> None:
    folder = Path(sys.argv[1])
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    order = json.loads((folder / "order.json").read_text())
    _locked(folder, lambda: Supervisor(folder, order).run())


if __name__ == "__main__":
    main()
