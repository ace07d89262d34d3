"""From the bytes of Docker's log stream to lines that are safe to store and show. Pure.

A stream is a row of frames: one byte for stdout or stderr, three zero bytes, the
payload's length as four bytes, the payload (Docker Engine API, "Stream format").
With timestamps on, each payload is `2026-11-23T19:04:01.123456789Z text\n`. Docker cuts
lines into pieces of 16 kB, each a payload without a newline and with the timestamp of
the first; the last piece is shorter, and has a newline with some log drivers only
(seen with `local` and `json-file` of 20.10).
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

LINE_LIMIT_BYTES = 16_000
CUT_MARK = " … [line cut]"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f]")
_HEADER = struct.Struct(">BxxxL")
_PIECE_BYTES = 16384
_CLOCK_SLACK_SECONDS = 2.0
# A frame longer than this is no frame of Docker's.
_FRAME_LIMIT_BYTES = 4 * 1024 * 1024


class LogLine(NamedTuple):
    """One line: when the engine received it (RFC 3339, nanoseconds, UTC), its text, and its stream.

    The stream is 1 for stdout, 2 for stderr. Within one, times never go back but with the node's clock.
    """

    at: str
    text: str
    stream: int

    @property
    def stamped(self) -> str:
        return f"{self.at} {self.text}"


class LogFramesBroken(ValueError):
    """The bytes are not Docker's log frames (a container with a terminal has none)."""


class LogDecoder:
    """Bytes in, lines out. Holds at most one unfinished frame and one cut line per stream."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._partial: dict[int, tuple[bytes, bytearray]] = {}

    def feed(self, data: bytes) -> Iterator[LogLine]:
        """The lines that `data` completes. Raises LogFramesBroken when it is something else."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= 8:
            stream, length = _HEADER.unpack_from(buffer, at)
            if stream > 2 or length > _FRAME_LIMIT_BYTES:
                raise LogFramesBroken(f"frame of stream {stream} with {length} bytes")
            if len(buffer) - at - 8 < length:
                break
            payload = bytes(buffer[at + 8 : at + 8 + length])
            at += 8 + length
            yield from self._lines(stream, payload)
        del buffer[:at]

    def finish(self) -> Iterator[LogLine]:
        """What is left when the stream ends: a line whose last piece has not come."""
        for stream in list(self._partial):
            yield from self._flush(stream)

    def _lines(self, stream: int, payload: bytes) -> Iterator[LogLine]:
        stamp, _, text = payload.partition(b" ")
        pending = self._partial.get(stream)
        if pending is not None and pending[0] != stamp:
            yield from self._flush(stream)
        if text.endswith(b"\n") and stream not in self._partial:
            yield LogLine(stamp.decode("ascii", "replace"), line_text(text), stream)
            return
        _, kept = self._partial.setdefault(stream, (stamp, bytearray()))
        kept += text[: max(0, LINE_LIMIT_BYTES + 1 - len(kept))]
        if len(text) < _PIECE_BYTES or text.endswith(b"\n"):
            yield from self._flush(stream)

    def _flush(self, stream: int) -> Iterator[LogLine]:
        stamp, kept = self._partial.pop(stream)
        yield LogLine(stamp.decode("ascii", "replace"), line_text(bytes(kept)), stream)


def line_text(raw: bytes) -> str:
    """One line as text that is safe to store and to send.

    Bad UTF-8, NUL and other control characters but tab and escape become U+FFFD (PostgreSQL
    stores no NUL); of a line that a progress bar wrote over with carriage returns,
    the last version stays; long lines are cut.
    """
    text = raw[:LINE_LIMIT_BYTES].decode("utf-8", "replace").rstrip("\r\n")
    if "\r" in text:
        text = text[text.rindex("\r") + 1 :]
    if _CONTROL.search(text):
        text = _CONTROL.sub("\ufffd", text)
    cut = len(raw) > LINE_LIMIT_BYTES and len(raw.rstrip(b"\r\n")) > LINE_LIMIT_BYTES
    return text + CUT_MARK if cut else text


class Unrepeated:
    """Drops lines that came before: Docker sends some again.

    It does when asked for those since a time, and also by itself, after it turned
    over the log file that is being followed (seen with 20.10: 34,000 lines twice).
    """

    def __init__(self, clock: Callable[[], float] = time.time, ends: Mapping[int, str] | None = None) -> None:
        """`ends` is where an earlier reader stopped: for each stream the time of its last line."""
        self._clock = clock
        self._until: dict[int, str] = dict(ends or {})

    @property
    def until(self) -> str | None:
        """The time of the last line, None before the first."""
        return max(self._until.values(), default=None)

    def of(self, lines: list[LogLine]) -> list[LogLine]:
        """Those that are new."""
        return [line for line in lines if self._is_new(line)]

    def _is_new(self, line: LogLine) -> bool:
        until = self._until.get(line.stream)
        if until is not None and line.at <= until and not self._is_ahead(until):
            return False
        self._until[line.stream] = line.at
        return True

    def _is_ahead(self, until: str) -> bool:
        """Whether the last time lies in the future: the node's clock was set back since."""
        now = datetime.fromtimestamp(self._clock() + _CLOCK_SLACK_SECONDS, tz=UTC)
        return until > now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
