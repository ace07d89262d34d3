"""The agent's side of the sampler: starts it, reads its lines, replaces it. Never waits for it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import structlog

from metrics_app.driver_watch import DriverWatch

log = structlog.get_logger(__name__)

PROJECT = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "metrics_app.sampler")
SILENT_SECONDS = 8.0  # without a line: the whole child is stuck. Starting Python may take seconds
GPU_SILENT_SECONDS = 20.0  # NVML alone is stuck, while host figures go on
LONGEST_GPU_SILENT_SECONDS = 900.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
KILL_AFTER_SECONDS = 3.0
LONGEST_LINE_BYTES = 4_000_000


class _Child:
    """One running sampler: its process, and the lines that it wrote."""

    def __init__(self, command: Sequence[str], now: float) -> None:
        """Start it. Raises OSError when there is nothing to start."""
        self.started_at = now
        self.ended_output = False
        self.told_to_end_at: float | None = None
        self._buffer = b""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=PROJECT,
            env={**os.environ, "MALLOC_ARENA_MAX": "1"},
            bufsize=0,
        )
        assert self._process.stdout is not None
        self._stdout = self._process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        self.pid = self._process.pid

    def fileno(self) -> int:
        return self._stdout.fileno()

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def newest_line(self) -> bytes | None:
        """Return the newest whole line that lies in the pipe, without waiting."""
        lines: list[bytes] = []
        try:
            while part := os.read(self.fileno(), 262_144):
                *whole, self._buffer = (self._buffer + part).split(b"\n")
                lines = whole or lines
                if len(self._buffer) > LONGEST_LINE_BYTES:
                    self._buffer = b""
            self.ended_output = True
        except BlockingIOError:
            pass  # the pipe is empty
        return lines[-1] if lines else None

    def tell_to_end(self, now: float) -> None:
        """SIGTERM first: it lets the child tell the driver (NVIDIA/dcgm-exporter#84)."""
        self.told_to_end_at = now
        self._stdout.close()
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self, seconds: float) -> bool:
        """Whether it ended within `seconds`."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


class SamplerProcess:
    """The sampler child, kept alive. All methods but `wake` belong to one thread.

    A child that died is started again after 1 s, doubling to 30 s. One that
    writes nothing for 8 s is replaced. One whose NVML is stuck is replaced after
    20 s, and each time this does not help patience doubles, to 15 min, for each
    such child may stay behind in the kernel for ever.
    """

    def __init__(self, command: Sequence[str] = COMMAND, clock: Callable[[], float] = time.monotonic) -> None:
        self.last: dict[str, Any] | None = None
        self.last_at = clock()
        self._command = list(command)
        self._clock = clock
        self._child: _Child | None = None
        self._start_at = self.last_at
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._gpu_patience_seconds = GPU_SILENT_SECONDS
        self._leaving: list[_Child] = []
        self._known_gpus: list[list[Any]] = []
        self._driver_watch = DriverWatch(clock)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last line came, or since this object was made."""
        return self._clock() - self.last_at

    def read(self, timeout_seconds: float) -> dict[str, Any] | None:
        """Return the newest line within `timeout_seconds`, else None.

        Older lines that piled up are dropped. Starts and replaces the child as needed.
        """
        self._tend()
        until = self._clock() + timeout_seconds
        while True:
            poll = select.poll()
            poll.register(self._wake, select.POLLIN)
            if self._child and not self._child.ended_output:
                poll.register(self._child, select.POLLIN)
            ready = poll.poll(max(0.0, until - self._clock()) * 1000)
            if not ready or self._wake in dict(ready):
                return None
            text = self._child.newest_line() if self._child else None
            if text is not None:
                return self._accept(text)

    def wake(self) -> None:
        """Make a `read` in another thread return at once, and each one after it."""
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """End the child: SIGTERM, so that it tells the driver, then SIGKILL after a second."""
        self._replace(float("inf"))
        for child in self._leaving:
            if not child.wait(1.0):
                child.kill()
        os.close(self._wake)

    def _tend(self) -> None:
        """Start, replace and bury children, by what is known now. Never waits."""
        now = self._clock()
        self._leaving = [child for child in self._leaving if self._still_leaving(child, now)]
        child = self._child
        if child is None:
            if now >= self._start_at:
                self._start(now)
        elif child.exit_code is not None:
            log.warning("sampler ended", exit_code=child.exit_code)
            self._replace(now + self._pause())
        elif now - max(self.last_at, child.started_at) > SILENT_SECONDS:
            log.warning("sampler is silent and is replaced", pid=child.pid)
            self._replace(now + self._pause())
        elif self._gpu_silent_seconds() > self._gpu_patience_seconds:
            log.warning("the NVIDIA driver hangs; sampler is replaced", pid=child.pid)
            self._gpu_patience_seconds = min(self._gpu_patience_seconds * 2, LONGEST_GPU_SILENT_SECONDS)
            self._replace(now)
            self._start(now)

    def _still_leaving(self, child: _Child, now: float) -> bool:
        """Whether a child that was told to end lives on; it is killed after 3 s, which a hung one ignores."""
        if child.exit_code is not None:
            return False
        if child.told_to_end_at is not None and now - child.told_to_end_at > KILL_AFTER_SECONDS:
            child.kill()
        return True

    def _start(self, now: float) -> None:
        known = orjson.dumps(self._known_gpus).decode()
        try:
            self._child = _Child([*self._command, "--gpus", known], now)
        except OSError as error:
            log.error("sampler does not start", reason=str(error))
            self._start_at = now + self._pause()

    def _replace(self, start_at: float) -> None:
        """Let the child go; the next one starts at `start_at`, seconds of the clock."""
        if self._child:
            self._child.tell_to_end(self._clock())
            self._leaving.append(self._child)
        self._child = None
        self._start_at = start_at

    def _pause(self) -> float:
        pause = self._pause_seconds
        self._pause_seconds = min(pause * 2, LONGEST_PAUSE_SECONDS)
        return pause

    def _gpu_silent_seconds(self) -> float:
        return float(self.last["sampler"]["gpu_silent_seconds"]) if self.last else 0.0

    def _accept(self, text: bytes) -> dict[str, Any] | None:
        try:
            line: dict[str, Any] = orjson.loads(text)
        except orjson.JSONDecodeError:
            log.warning("sampler wrote what is not JSON", start=text[:80].decode(errors="replace"))
            return None
        line["gpu"]["reloaded"] = self._driver_watch.take(line)
        line["gpu"]["reloads"] = self._driver_watch.reloads
        self.last, self.last_at = line, self._clock()
        if line["gpu"]["status"] == "ok":
            self._known_gpus = [
                [gpu["index"], gpu["uuid"], gpu["name"]] for gpu in line["gpus"] if gpu["uuid"]
            ]
            self._gpu_patience_seconds = GPU_SILENT_SECONDS
        if self._child and self.last_at - self._child.started_at > LONGEST_PAUSE_SECONDS:
            self._pause_seconds = FIRST_PAUSE_SECONDS
        return line
