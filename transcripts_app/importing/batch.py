"""Reading a file by whole lines, in batches ready to be stored. No Django here, no database."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import zstandard

from transcripts_app.format.lines import LineBad, line_read
from transcripts_app.format.record import Parsed, record_parse

BATCH_BYTES = 4 * 2**20
BLOCK_BYTES = 256 * 2**10
LEVEL = 3
PRINT_BYTES = 4096


@dataclass(slots=True)
class Line:
    """One record, and where it lies: in which of the batch's blocks, from which byte, how many."""

    number: int
    block: int
    start: int
    length: int
    parsed: Parsed


@dataclass(slots=True)
class Bad:
    """A line that is no record; `start` counts in the file."""

    number: int
    start: int
    length: int
    reason: str


@dataclass(slots=True)
class Block:
    """Whole lines, zstd; `start` counts in the file, `length` before compression."""

    start: int
    length: int
    data: bytes


@dataclass(slots=True)
class Batch:
    """Some whole lines of one file: from `start` up to `end` bytes."""

    start: int
    end: int
    blocks: list[Block] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    blank: int = 0
    blank_bytes: int = 0
    last_line: int = 0


def batches_read(file: BinaryIO, start: int, line: int) -> Iterator[Batch]:
    """Read whole lines from byte `start` on, the first having number `line` + 1.

    A last line without a newline is left for the next time.
    """
    file.seek(start)
    carry = b""
    while piece := file.read(BATCH_BYTES):
        data = carry + piece
        end = data.rfind(b"\n") + 1
        if end:
            batch = batch_make(data[:end], start, line)
            start, line, carry = batch.end, batch.last_line, data[end:]
            yield batch
        else:
            carry = data


def batch_make(data: bytes, start: int, line: int) -> Batch:
    """Turn whole lines into a batch: split, parsed, compressed."""
    batch = Batch(start, start + len(data))
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    block_start = at = 0
    while at < len(data):
        end = data.index(b"\n", at) + 1
        line += 1
        _line_take(batch, data[at:end].rstrip(b"\r\n"), line, at - block_start, start + at, end - at)
        at = end
        if at - block_start >= BLOCK_BYTES or at == len(data):
            piece = data[block_start:at]
            batch.blocks.append(Block(start + block_start, len(piece), compressor.compress(piece)))
            block_start = at
    batch.last_line = line
    return batch


def _line_take(batch: Batch, text: bytes, number: int, in_block: int, in_file: int, whole: int) -> None:
    if not text.strip():
        batch.blank += 1
        batch.blank_bytes += whole
        return
    try:
        parsed = record_parse(line_read(text))
    except LineBad as error:
        batch.bad.append(Bad(number, in_file, whole, str(error)))
        return
    batch.lines.append(Line(number, len(batch.blocks), in_block, len(text), parsed))


def fingerprint(file: BinaryIO, read_to: int) -> bytes:
    """Return a digest of the first and last 4 KiB before `read_to`: it changes when the file is rewritten."""
    digest = hashlib.blake2b(read_to.to_bytes(8, "big"), digest_size=16)
    file.seek(0)
    digest.update(file.read(min(PRINT_BYTES, read_to)))
    file.seek(max(0, read_to - PRINT_BYTES))
    digest.update(file.read(min(PRINT_BYTES, read_to)))
    return digest.digest()
