"""From the bytes of Docker's log stream to lines that are safe to store and show. Pure.

A stream is a row of frames: one byte for stdout or stderr, three zero bytes, the
payload's length as four bytes, the payload (Docker Engine API, "Stream format").
With timestamps on, each payload is `2026-11-23T19:04:01.123456789Z text\n`. Docker
cuts lines at 16 kB; a payload without a newline is continued by the next one of the
same stream, which repeats the timestamp.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

LINE_LIMIT_BYTES = 16_000
CUT_MARK = " … [line cut]"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f]")
_HEADER = struct.Struct(">BxxxL")
# A frame longer than this is no frame of Docker's: its own pieces are 16 kB.
_FRAME_LIMIT_BYTES = 4 * 1024 * 1024


class LogLine(NamedTuple):
    """One line: when the engine received it (RFC 3339, nanoseconds, UTC), and its text."""

    at: str
    text: str

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
            line = self._line(stream, bytes(buffer[at + 8 : at + 8 + length]))
            at += 8 + length
            if line is not None:
                yield line
        del buffer[:at]

    def finish(self) -> Iterator[LogLine]:
        """What is left when the stream ends: last lines without a newline."""
        for stamp, text in self._partial.values():
            yield LogLine(stamp.decode("ascii", "replace"), line_text(bytes(text)))
        self._partial.clear()

    def _line(self, stream: int, payload: bytes) -> LogLine | None:
        stamp, _, text = payload.partition(b" ")
        if not self._partial and text.endswith(b"\n"):
            return LogLine(stamp.decode("ascii", "replace"), line_text(text))
        stamp, kept = self._partial.pop(stream, (stamp, bytearray()))
        kept += text[: LINE_LIMIT_BYTES + 1 - len(kept)]
        if text.endswith(b"\n"):
            return LogLine(stamp.decode("ascii", "replace"), line_text(bytes(kept)))
        self._partial[stream] = (stamp, kept)
        return None


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
