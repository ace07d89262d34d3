"""Raw blocks: stored, unpacked again where copies are compared, and the lines of a file's earlier form."""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque

import zstandard

from transcripts_app.importing.places import FileState
from transcripts_app.importing.writer import Writer

KEPT = 12
KEPT_BYTES = 16 * 2**20


class Blocks:
    """Stores blocks, and keeps a few unpacked: copies lie side by side."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self._open: OrderedDict[int, bytes] = OrderedDict()

    def store(self, file: FileState, blocks: list[tuple[int, int, bytes]]) -> list[int]:
        """Insert blocks of a file; return their ids."""
        first = self.writer.ids("rawblock", len(blocks))
        self.writer.insert(
            "rawblock",
            ("id", "file_id", "generation", "start", "length", "data"),
            [(new, file.id, file.generation, *block) for new, block in enumerate(blocks, first)],
        )
        return list(range(first, first + len(blocks)))

    def raw(self, block: int, start: int, length: int, packed: bytes | None = None) -> bytes:
        """Return a line; `packed` is its block's data, where it is at hand."""
        data = self._open.get(block)
        if data is None:
            if packed is None:
                packed = self.writer.connection.execute(
                    "SELECT data FROM archive_rawblock WHERE id = ?", (block,)
                ).fetchone()[0]
            data = self._open[block] = zstandard.ZstdDecompressor().decompress(packed)
            while len(self._open) > KEPT or (
                len(self._open) > 1 and sum(map(len, self._open.values())) > KEPT_BYTES
            ):
                self._open.popitem(last=False)
        else:
            self._open.move_to_end(block)
        return data[start : start + length]


class OldLines:
    """The lines of earlier generations of a file, by digest, that the newest one has not shown yet."""

    def __init__(self, writer: Writer, file: FileState) -> None:
        self._records: dict[bytes, deque[int]] = {}
        blocks = Blocks(writer)
        rows = writer.connection.execute(
            "SELECT id, block_id, start, length FROM archive_record WHERE file_id = ? AND generation < ? "
            "ORDER BY block_id, start",
            (file.id, file.generation),
        )
        for record, block, start, length in rows:
            self._records.setdefault(_digest(blocks.raw(block, start, length)), deque()).append(record)

    def take(self, raw: bytes) -> int | None:
        """Return the record of such a line, once."""
        records = self._records.get(_digest(raw))
        return records.popleft() if records else None


def _digest(raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=12).digest()
