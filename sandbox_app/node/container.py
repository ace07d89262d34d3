"""One container of the sandbox: created, attached, started, waiting, and then one job.

    container = container_launch(engine, order)     # some 0.3 s, before anybody waits
    said = container.exchange(job, payload, listener, deadline)

The agent's own deadline is a little later than the keeper's: it counts when the keeper is not heard.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from sandbox_app.node.frames import END, READY, Frame, FrameReader, FramesBroken, frame_to_keeper, job_frame
from sandbox_app.node.limits import LimitsDiffer, limits_check
from sparkweb.adapters.cgroups import container_id_read
from sparkweb.adapters.docker_errors import DockerTrouble
from sparkweb.adapters.docker_sandbox import SandboxEngine, SandboxOrder

log = structlog.get_logger(__name__)

READY_SECONDS = 60.0
READ_BYTES = 64 * 1024
LATE_SECONDS = 0.7  # after the keeper's deadline, the agent's own
REASON_CHARACTERS = 1000
LAST_WORDS_SECONDS = 3.0  # a keeper that has been told to end says how


class StartFailed(Exception):
    """A container did not come up, or is not bounded as it must be. `code`: engine or refused."""

    def __init__(self, reason: str, code: str) -> None:
        super().__init__(reason[:REASON_CHARACTERS])
        self.code = code


class Stop:
    """A request to end a run, from any thread: sets a word and wakes whoever waits for the container."""

    def __init__(self) -> None:
        self.word = ""
        self.reason = ""
        self._then: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def ask(self, word: str, reason: str) -> None:
        """The first word counts."""
        with self._lock:
            if self.word:
                return
            self.reason, self.word = reason, word
            with contextlib.suppress(OSError):
                os.write(self._write, b"x")
        self._then()

    def when_asked(self, then: Callable[[], None]) -> None:
        """Call `then` when it is asked for, or now if it was."""
        with self._lock:
            self._then = then
            asked = bool(self.word)
        if asked:
            then()

    def fileno(self) -> int:
        return self._read

    def close(self) -> None:
        with self._lock:
            self.word = self.word or "over"
            os.close(self._read)
            os.close(self._write)


@dataclass
class Said:
    """How an exchange went. `told` is the keeper's last word, None when it never came.

    `cause` is why the agent ended it: "" or one of cancelled, output, forged, silent.
    """

    told: dict[str, Any] | None = None
    cause: str = ""
    reason: str = ""
    seconds: float = 0.0
    frames: int = 0


Listener = Callable[[Frame], str]
"""Takes each frame but the last; returns "" or the word to end the run with (`output`)."""


@dataclass
class SandboxContainer:
    """A container that waits for a job, or does one. One thread at a time."""

    id: str
    name: str
    pid: int | None
    image: str
    limits: dict[str, Any]
    own: dict[str, Any]
    started_at: float
    engine: SandboxEngine = field(repr=False)
    wire: socket.socket = field(repr=False)
    reader: FrameReader = field(repr=False)
    is_local: bool = False
    """Whether `pid` is a process of this machine."""

    @property
    def is_alive(self) -> bool:
        """It waits: nothing was said, and the stream is open."""
        poller = select.poll()
        poller.register(self.wire, select.POLLIN | select.POLLRDHUP)
        return not poller.poll(0)

    def exchange(
        self, job: dict[str, Any], payload: bytes, listen: Listener, stop: Stop, timeout_seconds: float
    ) -> Said:
        """Have one job done; returns when the keeper has said how it ended, or has to be given up."""
        self.reader.nonce = secrets.token_bytes(16)
        exchange = _Exchange(self, listen, stop, timeout_seconds)
        exchange.out += job_frame({**job, "nonce": self.reader.nonce.hex()}, payload)
        try:
            said = exchange.run()
        except FramesBroken as error:
            said = Said(cause="forged", reason=str(error))
        said.seconds = time.monotonic() - exchange.began
        self.reader.nonce = bytes(16)
        return said

    def kill(self) -> None:
        """End it now, without the engine where its first process is one of this machine. Never raises."""
        if self._killed_here():
            return
        with contextlib.suppress(DockerTrouble):
            self.engine.sandbox_kill(self.id)

    def _killed_here(self) -> bool:
        """Signal its first process, where that is one of this machine's; True if it is dead or dies."""
        if not self.pid or not self.is_local:
            return False
        if container_id_read(self.pid) != self.id:
            return True
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return True

    def close(self) -> None:
        """Let go of its streams; a keeper whose agent is gone ends."""
        with contextlib.suppress(OSError):
            self.wire.close()


class _Exchange:
    """The loop over one job: writes what is left to write while it reads."""

    def __init__(
        self, container: SandboxContainer, listen: Listener, stop: Stop, timeout_seconds: float
    ) -> None:
        self.container = container
        self.wire = container.wire
        self.listen = listen
        self.stop = stop
        self.began = time.monotonic()
        self.deadline = self.began + timeout_seconds + LATE_SECONDS
        self.out = bytearray()
        self.said = Said()
        self.heeded = False

    def run(self) -> Said:
        while self.said.told is None:
            if not self._step():
                break
        return self.said

    def _step(self) -> bool:
        """Wait for one thing and deal with it; False when nothing more will come."""
        poller = select.poll()
        poller.register(self.wire, select.POLLIN | (select.POLLOUT if self.out else 0))
        if not self.heeded:
            poller.register(self.stop.fileno(), select.POLLIN)
        left = self.deadline - time.monotonic()
        events = dict(poller.poll(max(0, int(left * 1000) + 1)))
        if self.stop.word and not self.heeded:
            self._end(self.stop.word, self.stop.reason)
        if not events and time.monotonic() >= self.deadline:
            return self._late()
        event = events.get(self.wire.fileno(), 0)
        if event & select.POLLOUT:
            self._write()
        return self._read() if event & (select.POLLIN | select.POLLHUP | select.POLLERR) else True

    def _late(self) -> bool:
        """The deadline has passed, and the keeper is silent: end it from outside, once; then give it up."""
        if self.said.cause:
            return False
        self._end("silent", "")
        self.container.kill()
        self.deadline = time.monotonic() + LAST_WORDS_SECONDS
        return True

    def _end(self, word: str, reason: str) -> None:
        self.heeded = True
        if self.said.cause:
            return
        self.said.cause, self.said.reason = word, reason
        self.out += frame_to_keeper("C", word.encode())
        self.deadline = min(self.deadline, time.monotonic() + LAST_WORDS_SECONDS)

    def _write(self) -> None:
        try:
            del self.out[: self.wire.send(self.out[:READ_BYTES])]
        except BlockingIOError:
            return
        except OSError:
            self.out.clear()  # the end comes by reading

    def _read(self) -> bool:
        try:
            data = self.wire.recv(READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        for frame in self.container.reader.feed(data):
            self.said.frames += 1
            if frame.kind == END:
                self.said.told = json.loads(frame.payload)
            elif word := self.listen(frame):
                self._end(word, "")
        return True


def container_launch(
    engine: SandboxEngine, order: SandboxOrder, give_up: Callable[[], bool] = lambda: False
) -> SandboxContainer:
    """Bring up a container and read its limits back. Raises StartFailed; nothing of it is left running then.

    `give_up` is asked while it comes up.
    """
    try:
        container_id = engine.sandbox_create(order)
    except DockerTrouble as trouble:
        raise StartFailed(str(trouble), _code(trouble, order)) from trouble
    wire = None
    try:
        wire = engine.attach(container_id)
        engine.sandbox_start(container_id)
        reader = FrameReader()
        own = _ready_wait(wire, reader, give_up)
        state = engine.sandbox_state(container_id)
        limits = limits_check(order, state, own)
    except (DockerTrouble, StartFailed, LimitsDiffer, FramesBroken) as trouble:
        if wire:
            wire.close()
        code = trouble.code if isinstance(trouble, StartFailed) else _code(trouble, order)
        raise StartFailed(str(trouble), code) from trouble
    local = state.pid is not None and container_id_read(state.pid) == container_id
    return SandboxContainer(
        container_id,
        order.name,
        state.pid,
        state.image,
        limits,
        own,
        time.time(),
        engine,
        wire,
        reader,
        local,
    )


def _code(trouble: Exception, order: SandboxOrder) -> str:
    """Refused is what would be so again: a missing image or runtime, limits that do not hold."""
    if isinstance(trouble, LimitsDiffer) or getattr(trouble, "code", "") == "image_missing":
        return "refused"
    if order.runtime and "runtime" in str(trouble):
        return "refused"
    return "engine"


def _ready_wait(wire: socket.socket, reader: FrameReader, give_up: Callable[[], bool]) -> dict[str, Any]:
    """What the keeper says of itself once it waits."""
    poller = select.poll()
    poller.register(wire, select.POLLIN)
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and not give_up():
        if not poller.poll(500):
            continue
        try:
            data = wire.recv(READ_BYTES)
        except BlockingIOError:
            continue
        except OSError as error:
            raise StartFailed(f"Docker closed the container's streams: {error}", "engine") from error
        if not data:
            break
        for frame in reader.feed(data):
            if frame.kind == READY:
                own: dict[str, Any] = json.loads(frame.payload)
                return own
    words = reader.words.decode(errors="replace").strip()
    raise StartFailed(
        f"The container did not get ready to take a job{f': {words[-500:]}' if words else '.'}", "engine"
    )
