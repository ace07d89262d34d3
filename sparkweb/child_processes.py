"""Child processes that are kept running, and that never outlive their parent.

One thread, one selector, no polling: the loop sleeps until a child writes,
ends, or is due for its restart. No Django here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from sparkweb.process_output import LineSplitter, RotatingFile, Terminal, stamp

BACKOFF_FIRST_SECONDS = 1.0
BACKOFF_LAST_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
STOP_SECONDS = 3.8
STOP_LAST_SECONDS = 0.5
KILL_SECONDS = 0.2
POLL_SECONDS = 0.05
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class ProcessSpec:
    """One child. `last` ones end after all others; `shown` ones also write on the terminal.

    `keep` children are restarted when they end. `logged=False` keeps the output
    out of every file: for what is shown once, as a one-time password is.
    """

    name: str
    command: list[str]
    environment: Mapping[str, str]
    keep: bool = True
    last: bool = False
    shown: bool = True
    logged: bool = True


class Child:
    """One process as it runs, ends and is restarted."""

    def __init__(self, spec: ProcessSpec, log: RotatingFile | None) -> None:
        self.spec = spec
        self.log = log
        self.lines = LineSplitter()
        self.process: subprocess.Popen[bytes] | None = None
        self.returncode: int | None = None
        self.started_at = 0.0
        self.backoff_seconds = BACKOFF_FIRST_SECONDS
        self.restart_at: float | None = None

    @property
    def running(self) -> bool:
        return self.process is not None

    def backoff_next(self, now: float) -> float:
        """Seconds to wait before the next start: 1, 2, 4 … 30; from 1 again after a healthy minute."""
        if now - self.started_at >= HEALTHY_SECONDS:
            self.backoff_seconds = BACKOFF_FIRST_SECONDS
        seconds = self.backoff_seconds
        self.backoff_seconds = min(seconds * 2, BACKOFF_LAST_SECONDS)
        return seconds


class ChildGroup:
    """All children of this process. Use it from the main thread, inside `with`."""

    def __init__(self, logs: Path, terminal: Terminal) -> None:
        self.logs = logs
        self.terminal = terminal
        self.children: list[Child] = []
        self.stop_requests = 0
        self.ending = False
        self.own_log = RotatingFile(logs / "up.log")
        self.selector = selectors.DefaultSelector()
        self.previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> ChildGroup:
        self.wake_read, self.wake_write = os.pipe()
        for descriptor in (self.wake_read, self.wake_write):
            os.set_blocking(descriptor, False)
        self.selector.register(self.wake_read, selectors.EVENT_READ)
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.previous[number] = signal.signal(number, self._stop_requested)
        self.previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        signal.set_wakeup_fd(-1)
        for number, handler in self.previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self.selector.close()
        os.close(self.wake_read)
        os.close(self.wake_write)

    def say(self, sentence: str) -> None:
        """Tell the owner something, on the terminal and in up.log."""
        self.terminal.line("sparkweb", sentence.encode())
        self.own_log.write(f"{stamp()} {sentence}\n".encode())

    def start(self, spec: ProcessSpec) -> Child:
        """Start a child. Raises OSError if the program cannot be run."""
        log = RotatingFile(self.logs / f"{spec.name}.log") if spec.logged else None
        child = Child(spec, log)
        self._spawn(child)
        self.children.append(child)
        return child

    def run(self, spec: ProcessSpec) -> int | None:
        """Run a child to its end and return its exit status; None when a stop came in between."""
        child = self.start(spec)
        self.wait(lambda: not child.running)
        if child.running:
            return None
        self.children.remove(child)
        return child.returncode

    def wait(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """Serve the children until `condition` holds, a stop is asked for, or time is up.

        With `seconds` the condition is also asked each 50 ms; without, only when a child or signal stirs.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while not (held := condition()) and not self.stop_requests:
            if deadline is not None and time.monotonic() >= deadline:
                break
            self._serve(None if deadline is None else POLL_SECONDS)
        return held

    def stop(self) -> None:
        """End all children within 5 s: SIGTERM, then SIGKILL to those that stay; the last ones last."""
        self.ending = True
        for child in self.children:
            child.restart_at = None
        self._end([child for child in self.children if not child.spec.last], STOP_SECONDS)
        self._end([child for child in self.children if child.spec.last], STOP_LAST_SECONDS)
        self.own_log.close()

    def _stop_requested(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_requests += 1

    def _spawn(self, child: Child) -> None:
        child.process = subprocess.Popen(
            child.spec.command,
            env=dict(child.spec.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C in a terminal reaches a whole session; only the supervisor shall get it.
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),
            bufsize=0,
        )
        child.started_at = time.monotonic()
        child.restart_at = None
        assert child.process.stdout is not None
        os.set_blocking(child.process.stdout.fileno(), False)
        self.selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _serve(self, seconds: float | None) -> None:
        """Sleep until something happens, at most `seconds`, and deal with it."""
        due = [child.restart_at for child in self.children if child.restart_at is not None]
        if due:
            until = max(0.0, min(due) - time.monotonic())
            seconds = until if seconds is None else min(until, seconds)
        for key, _ in self.selector.select(seconds):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(self.wake_read, 4096)
            else:
                self._read(key.data)
        for child in self.children:
            if child.running and _has_ended(child):
                self._ended(child)
            elif child.restart_at is not None and child.restart_at <= time.monotonic():
                self._restart(child)

    def _read(self, child: Child) -> None:
        """Pass on what a child wrote; at its end of file stop listening."""
        if child.process is None or child.process.stdout is None or child.process.stdout.closed:
            return
        try:
            data = os.read(child.process.stdout.fileno(), 65_536)
        except BlockingIOError:
            return
        if not data:
            self._close(child)
        for line in child.lines.feed(data) if data else [child.lines.flush()]:
            self._pass_on(child, line)

    def _pass_on(self, child: Child, line: bytes) -> None:
        if not line:
            return
        if child.log is not None:
            child.log.write(line)
        if child.spec.shown:
            self.terminal.line(child.spec.name if child.spec.keep else "", line)

    def _close(self, child: Child) -> None:
        assert child.process is not None
        assert child.process.stdout is not None
        with contextlib.suppress(KeyError):
            self.selector.unregister(child.process.stdout)
        child.process.stdout.close()

    def _ended(self, child: Child) -> None:
        """Clear up after a child: its own children, its last words, its next start."""
        assert child.process is not None
        # While it is a zombie its process group still carries its number.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.returncode = child.process.wait()
        self._drain(child)
        child.process = None
        if child.spec.keep and not self.ending and not self.stop_requests:
            now = time.monotonic()
            seconds = child.backoff_next(now)
            child.restart_at = now + seconds
            self.say(f"{child.spec.name} {_how(child.returncode)}; starting it again in {seconds:.0f} s")

    def _restart(self, child: Child) -> None:
        try:
            self._spawn(child)
        except OSError as error:
            child.restart_at = time.monotonic() + BACKOFF_LAST_SECONDS
            self.say(f"{child.spec.name} cannot be started: {error}; trying again in 30 s")

    def _drain(self, child: Child) -> None:
        """Take what an ended child left in its pipe: 4 MB at most, should somebody else keep it open."""
        assert child.process is not None
        pipe = child.process.stdout
        assert pipe is not None
        for _ in range(64):
            if pipe.closed or not select.select([pipe], [], [], 0)[0]:
                break
            self._read(child)
        if not pipe.closed:
            self._pass_on(child, child.lines.flush())
            self._close(child)

    def _end(self, children: list[Child], seconds: float) -> None:
        for child in children:
            if child.process is not None:
                child.process.terminate()
        self._serve_while_running(children, seconds)
        stubborn = [child for child in children if child.process is not None]
        for child in stubborn:
            self.say(f"{child.spec.name} did not stop by itself and was killed")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)  # type: ignore[union-attr]
        # Who sits in the kernel cannot be killed now; the kernel will, and we do not wait for it.
        self._serve_while_running(stubborn, KILL_SECONDS)

    def _serve_while_running(self, children: list[Child], seconds: float) -> None:
        asked = self.stop_requests
        deadline = time.monotonic() + seconds
        while any(child.running for child in children) and time.monotonic() < deadline:
            if self.stop_requests > asked:  # a second Ctrl-C means now
                return
            self._serve(POLL_SECONDS)


def _has_ended(child: Child) -> bool:
    """Whether it has ended; it stays a zombie until `_ended` has cleared up."""
    assert child.process is not None
    try:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, child.process.pid, flags) is not None
    except ChildProcessError:
        return True


def _how(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        try:
            return f"was ended by {signal.Signals(-returncode).name}"
        except ValueError:
            return f"was ended by signal {-returncode}"
    return f"ended with exit status {returncode}"


def _die_with(parent: int) -> Callable[[], None]:
    """Return what makes a new process die when `parent` dies, whatever the parent dies of (prctl(2))."""

    def prepare() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)

    return prepare


def dies_with_parent(parent: int) -> None:
    """Have this very process end when `parent` does, or at once if it has already."""
    _die_with(parent)()
