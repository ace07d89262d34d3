"""Reading a file by whole lines, in chunks ready to be stored. No Django here, no database.

Chunks are plain tuples, for they come from a process of their own (reader.py).
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import zstandard

from transcripts_app.format.facets import facets_fixed
from transcripts_app.format.lines import LineBad, line_read
from transcripts_app.format.record import Parsed, Usage, record_parse
from transcripts_app.redaction.scan import secrets_by_line

LEVEL = 3
PRINT_BYTES = 4096
BAD_EACH = 1000  # bad lines of a file told one by one; from there on, those of a chunk together


class Limits(NamedTuple):
    """Sizes in bytes. Lines above `line` are kept, not read."""

    chunk: int = 4 * 2**20
    block: int = 256 * 2**10
    line: int = 128 * 2**20


class Line(NamedTuple):
    """One record, and where it lies: in which of the chunk's blocks, from which byte, how many."""

    number: int
    block: int
    start: int
    length: int
    kind: int
    type: str
    subtype: str
    uid: bytes | None
    parent_uid: bytes | None
    logical_parent_uid: bytes | None
    at_ms: int | None
    model: str
    tool: str
    preview: str
    is_error: bool
    is_sidechain: bool
    is_meta: bool
    is_synthetic: bool
    duration_ms: int
    is_searched: bool
    text: str
    facets: str  # without the session's
    calls: tuple[tuple[Any, ...], ...]  # id, name, path, operation, lines added, lines removed
    results: tuple[tuple[Any, ...], ...]  # those of format.record.Result
    title: tuple[Any, ...] | None  # session id, leaf, kind, text
    usage: tuple[Any, ...] | None  # key, model, tier, speed, branch, and seven counts
    secrets: tuple[tuple[str, int], ...]  # likely ones: rule, how many


class Chunk(NamedTuple):
    """Some whole lines of one file: from `start` up to `end` bytes."""

    start: int
    end: int
    last_line: int
    blocks: list[tuple[int, int, bytes]]  # start in the file, length before compression, zstd
    lines: list[tuple[Any, ...]]  # Line
    bad: list[tuple[int, int, int, str]]  # line, start in the file, length, reason
    bad_lines: int
    bad_bytes: int
    blank: int
    blank_bytes: int
    by_type: dict[str, int]
    unknown: dict[str, int]
    cut: int
    session_id: str  # the first one told
    cwd: str  # the first one told
    branch: str  # the last one told
    version: str  # the last one told
    fingerprint: bytes  # of the file up to `end`
    is_whole: bool  # False: a piece of a line beyond the limit; where to go on is told by its last piece


@dataclass(slots=True)
class _Made:
    """A chunk in the making."""

    blocks: list[tuple[int, int, bytes]] = field(default_factory=list)
    lines: list[tuple[Any, ...]] = field(default_factory=list)
    bad: list[tuple[int, int, int, str]] = field(default_factory=list)
    blank: int = 0
    blank_bytes: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    session_id: str = ""
    cwd: str = ""
    branch: str = ""
    version: str = ""


class Lines:
    """The lines of an open file from a byte on."""

    def __init__(self, descriptor: int, role: str, limits: Limits, bad_before: int = 0) -> None:
        self.descriptor, self.role, self.limits, self.bad_before = descriptor, role, limits, bad_before

    def chunks(self, start: int, line: int) -> Iterator[Chunk]:
        """Read whole lines from byte `start` on, the first having number `line` + 1.

        A last line without a newline is left for the next time.
        """
        while data := os.pread(self.descriptor, self.limits.chunk, start):
            end = data.rfind(b"\n") + 1
            if not end:
                stop = _newline_behind(self.descriptor, start + len(data))
                if stop is None:
                    return
                if stop - start > self.limits.line:
                    line += 1
                    yield from self._giant(start, stop, line)
                    start = stop
                    continue
                data, end = _read_all(self.descriptor, start, stop - start), stop - start
            chunk = self.chunk(data[:end], start, line)
            start, line = chunk.end, chunk.last_line
            yield chunk

    def chunk(self, data: bytes, start: int, line: int) -> Chunk:
        """Turn whole lines into a chunk: split, parsed, compressed."""
        made = _Made()
        compressor = zstandard.ZstdCompressor(level=LEVEL)
        secrets = secrets_by_line(data)
        block_start = at = 0
        while at < len(data):
            end = data.index(b"\n", at) + 1
            line += 1
            text, found = data[at:end].rstrip(b"\r\n"), secrets.get(at, ())
            self._line_take(made, text, line, at - block_start, start + at, end - at, found)
            at = end
            if at - block_start >= self.limits.block or at == len(data):
                piece = data[block_start:at]
                made.blocks.append((start + block_start, len(piece), compressor.compress(piece)))
                block_start = at
        return self._close(made, start, start + len(data), line, data)

    def _line_take(
        self, made: _Made, text: bytes, number: int, in_block: int, in_file: int, whole: int,
        secrets: tuple[tuple[str, int], ...],
    ) -> None:  # fmt: skip
        if not text or text.isspace():
            made.blank += 1
            made.blank_bytes += whole
            return
        try:
            parsed = record_parse(line_read(text), text, self.role)
        except LineBad as error:
            made.bad.append((number, in_file, whole, str(error)))
            return
        made.lines.append((*_line(number, len(made.blocks), in_block, len(text), parsed), secrets))
        made.by_type[parsed.type[:60]] += 1
        if parsed.unknown:
            made.unknown.update(parsed.unknown)
        made.cut += parsed.cut
        made.session_id = made.session_id or parsed.session_id
        made.cwd = made.cwd or parsed.cwd
        made.branch = parsed.branch or made.branch
        made.version = parsed.version or made.version

    def _close(self, made: _Made, start: int, end: int, line: int, data: bytes) -> Chunk:
        bad_lines, bad_bytes = len(made.bad), sum(length for _, _, length, _ in made.bad)
        bad = made.bad
        if self.bad_before + bad_lines > BAD_EACH:
            bad = _bad_joined(bad, max(0, BAD_EACH - self.bad_before))
        self.bad_before += bad_lines
        return Chunk(
            start, end, line, made.blocks, made.lines, bad, bad_lines, bad_bytes, made.blank,
            made.blank_bytes, dict(made.by_type), dict(made.unknown), made.cut, made.session_id, made.cwd,
            made.branch, made.version, fingerprint(self.descriptor, end, data), True,
        )  # fmt: skip

    def _giant(self, start: int, stop: int, number: int) -> Iterator[Chunk]:
        """Keep a line that is too long to be read: in pieces, so that memory stays flat."""
        compressor, at = zstandard.ZstdCompressor(level=LEVEL), start
        while at < stop:
            piece = _read_all(self.descriptor, at, min(self.limits.chunk, stop - at))
            made, at = _Made(blocks=[(at, len(piece), compressor.compress(piece))]), at + len(piece)
            if at == stop:
                reason = f"is longer than {self.limits.line:,} bytes: kept, not read"
                made.bad.append((number, start, stop - start, reason))
                yield self._close(made, start, stop, number, piece)
            else:
                yield self._close(made, start, at, number - 1, piece)._replace(is_whole=False)


def _line(number: int, block: int, start: int, length: int, parsed: Parsed) -> tuple[Any, ...]:
    """A Line as a plain tuple, without its secrets."""
    return (
        number, block, start, length, parsed.kind.value, parsed.type[:60], parsed.subtype, parsed.uid,
        parsed.parent_uid, parsed.logical_parent_uid, parsed.at_ms, parsed.model,
        parsed.calls[0].name if parsed.calls else "", parsed.preview, parsed.is_error, parsed.is_sidechain,
        parsed.is_meta, parsed.is_synthetic, parsed.duration_ms, parsed.is_searched,
        parsed.text, facets_fixed(parsed),
        tuple(
            (call.id, call.name, call.path, call.operation, call.lines_added, call.lines_removed)
            for call in parsed.calls
        ),
        tuple(
            (one.tool_use_id, one.is_error, one.error, one.agent_id, one.saved_as, one.patch, one.is_end)
            for one in parsed.results
        ),
        (parsed.session_id, parsed.leaf_uid, parsed.title_kind, parsed.title) if parsed.title else None,
        _usage(parsed.usage, parsed.branch) if parsed.usage else None,
    )  # fmt: skip


def _usage(usage: Usage, branch: str) -> tuple[Any, ...]:
    return (
        usage.key, usage.model, usage.service_tier, usage.speed, branch, usage.input, usage.output,
        usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, usage.web_searches, usage.web_fetches,
    )  # fmt: skip


def _bad_joined(bad: list[tuple[int, int, int, str]], each: int) -> list[tuple[int, int, int, str]]:
    """Tell the first `each` bad lines, and of the others how many, from where, and why the first one is."""
    rest = bad[each:]
    if not rest:
        return bad
    number, start, _, reason = rest[0]
    length = rest[-1][1] + rest[-1][2] - start
    return [*bad[:each], (number, start, length, f"{len(rest)} bad lines up to line {rest[-1][0]}: {reason}")]


def fingerprint(descriptor: int, read_to: int, data: bytes = b"") -> bytes:
    """Return a digest of the first and last 4 KiB before `read_to`: it changes when the file is rewritten.

    `data` are the bytes before `read_to`, where they are at hand.
    """
    digest = hashlib.blake2b(read_to.to_bytes(8, "big"), digest_size=16)
    length = min(PRINT_BYTES, read_to)
    digest.update(os.pread(descriptor, length, 0))
    last = data[-length:] if length and len(data) >= length else _read(descriptor, read_to - length, length)
    digest.update(last)
    return digest.digest()


def _read(descriptor: int, start: int, length: int) -> bytes:
    """Read exactly these bytes; fewer where the file was cut meanwhile. One call may return fewer."""
    data = os.pread(descriptor, length, start)
    if len(data) == length or not data:
        return data
    pieces, got = [data], len(data)
    while got < length and (data := os.pread(descriptor, length - got, start + got)):
        pieces.append(data)
        got += len(data)
    return b"".join(pieces)


def _read_all(descriptor: int, start: int, length: int) -> bytes:
    data = _read(descriptor, start, length)
    if len(data) < length:
        raise OSError(errno.ESTALE, "it was cut while it was read")
    return data


def _data_behind(descriptor: int, start: int) -> int:
    """Where data goes on: a hole of gigabytes in a sparse file holds no newline."""
    try:
        return os.lseek(descriptor, start, os.SEEK_DATA)
    except OSError as error:
        return os.fstat(descriptor).st_size if error.errno == errno.ENXIO else start


def _newline_behind(descriptor: int, start: int) -> int | None:
    """Where the line ends that goes on at `start`: behind its newline; None while it has none."""
    while data := os.pread(descriptor, 2**20, start := _data_behind(descriptor, start)):
        at = data.find(b"\n")
        if at >= 0:
            return start + at + 1
        start += len(data)
    return None
