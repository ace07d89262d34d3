"""What a tool wrote: head and tail in memory, the whole in a file, and on its way to whoever watches."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import structlog

from sparkweb.streams import StreamsDown

log = structlog.get_logger(__name__)

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 64 * 1024
ENTRY_BYTES = 48 * 1024
# A tool may stream this much at once and this much a second; the rest is skipped, and is in the whole output.
BURST_BYTES = 1024 * 1024
RATE_BYTES = 256 * 1024
DOWN_SECONDS = 5.0


class ToolStreams(Protocol):
    """The part of Streams that a run needs."""

    def append(self, stream: str, data: Mapping[str, Any], maxlen: int | None = None) -> str: ...


class Output:
    """One of a tool's two outputs. The file is made when the head is full."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        self.total_bytes = 0
        self.is_whole = True
        """False when the disk took no more: the file ends early."""
        self._head = bytearray()
        self._tail = bytearray()
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()

    def add(self, data: bytes) -> None:
        """Take what came."""
        self.total_bytes += len(data)
        self._hash.update(data)
        room = HEAD_BYTES - len(self._head)
        if room > 0:
            self._head += data[:room]
        if len(data) > room:
            self._spool(data, room)
            self._tail += data[max(room, 0) :]
            if len(self._tail) > 2 * TAIL_BYTES:
                del self._tail[:-TAIL_BYTES]

    def _spool(self, data: bytes, room: int) -> None:
        if not self.is_whole:
            return
        try:
            if self._file is None:
                self._file = self.spool.open("wb")
                self._file.write(self._head[: len(self._head) - max(room, 0)])
            self._file.write(data)
        except OSError as error:
            log.warning("a tool's output is not kept whole", path=str(self.spool), error=str(error))
            self.is_whole = False

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def is_truncated(self) -> bool:
        """Whether head and tail leave something out."""
        return self.total_bytes > HEAD_BYTES + TAIL_BYTES

    def keep(self) -> bool:
        """Have the whole output in `spool`, if text cannot hold it; whether it is there now."""
        with contextlib.suppress(OSError):
            if self._file:
                self._file.close()
                return self.is_whole and (self.is_truncated or self._is_binary() or self._forget())
            if self._is_binary():
                self.spool.write_bytes(self._head)
                return True
        return False

    def _forget(self) -> bool:
        self.spool.unlink(missing_ok=True)
        return False

    def _is_binary(self) -> bool:
        head_and_tail = bytes(self._head) + bytes(self._tail[-TAIL_BYTES:])
        if b"\x00" in head_and_tail:
            return True
        if self.is_truncated:
            return False
        try:
            head_and_tail.decode()
        except UnicodeDecodeError:
            return True
        return False

    def text(self, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> str:
        """Head and tail, with a line between them that says how much is missing. No NUL in it."""
        tail = bytes(self._tail[-TAIL_BYTES:])
        whole = bytes(self._head) + tail
        if self.total_bytes <= min(len(whole), head_bytes + tail_bytes):
            return _text(whole)
        head, tail = whole[:head_bytes], whole[len(whole) - tail_bytes :]
        missing = self.total_bytes - len(head) - len(tail)
        return f"{_text(head)}\n… {missing} bytes left out …\n{_text(tail)}"


def _text(data: bytes) -> str:
    return data.decode(errors="replace").replace("\x00", "\N{SYMBOL FOR NULL}")


class Streamer:
    """A run's entries on its stream. Never raises, and gives a Redis that is away a rest."""

    def __init__(self, streams: ToolStreams, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._streams = streams
        self._name = name
        self._clock = clock
        self._room = float(BURST_BYTES)
        self._filled_at = clock()
        self._quiet_until = 0.0
        self._at = {1: 0, 2: 0}
        self._skipped = {1: 0, 2: 0}

    def output(self, fd: int, data: bytes) -> None:
        """Pass on output, or count it as skipped."""
        now = self._clock()
        self._room = min(BURST_BYTES, self._room + (now - self._filled_at) * RATE_BYTES)
        self._filled_at = now
        if self._room < len(data):
            self._skipped[fd] += len(data)
            return
        self._room -= len(data)
        self._skipped_tell(fd)
        for start in range(0, len(data), ENTRY_BYTES):
            piece = data[start : start + ENTRY_BYTES]
            self._append(
                {"kind": "out", "fd": fd, "data": base64.b64encode(piece).decode(), "at": self._at[fd]}
            )
            self._at[fd] += len(piece)

    def state(self, state: str) -> None:
        self._append({"kind": "state", "state": state})

    def end(self, ending: dict[str, Any]) -> None:
        """The last entry."""
        for fd in (1, 2):
            self._skipped_tell(fd)
        self._append({"kind": "end", "ending": ending}, anyway=True)

    def _skipped_tell(self, fd: int) -> None:
        if self._skipped[fd]:
            self._append({"kind": "skipped", "fd": fd, "bytes": self._skipped[fd]})
            self._at[fd] += self._skipped[fd]
            self._skipped[fd] = 0

    def _append(self, entry: dict[str, Any], anyway: bool = False) -> None:
        if self._clock() < self._quiet_until and not anyway:
            return
        try:
            self._streams.append(self._name, entry)
        except StreamsDown as trouble:
            self._quiet_until = self._clock() + DOWN_SECONDS
            log.info("a tool's output is not streamed", stream=self._name, reason=str(trouble))
