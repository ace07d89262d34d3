"""Reading raw lines of the archive."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import zstandard

from transcripts_app.archive.models import RawBlock, Record, TranscriptFile
from transcripts_app.format.lines import line_read

BLOCKS_KEPT = 16


class RawLines:
    """Raw lines of records, keeping a few blocks unpacked. One per request: it is not shared."""

    def __init__(self, mask: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> None:
        """`mask` is applied to every object: pages give what `redaction.display` returns."""
        self._mask = mask
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def line(self, record: Record) -> bytes:
        """Return a record's line as it was in its file, without the newline."""
        data = self._block(record.block_id)
        return data[record.start : record.start + record.length]

    def json(self, record: Record) -> dict[str, Any]:
        """Return a record's object."""
        found = line_read(self.line(record))
        return self._mask(found) if self._mask else found

    def load(self, records: Iterable[Record]) -> None:
        """Read the blocks of these records with one query."""
        wanted = {record.block_id for record in records} - self._blocks.keys()
        for block in RawBlock.objects.filter(pk__in=wanted):
            self._blocks[block.pk] = zstandard.decompress(block.data, max_output_size=block.length)

    def _block(self, block: int) -> bytes:
        data = self._blocks.get(block)
        if data is None:
            row = RawBlock.objects.get(pk=block)
            data = self._blocks[block] = zstandard.decompress(row.data, max_output_size=row.length)
            while len(self._blocks) > BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return data


def file_bytes(file: TranscriptFile, generation: int | None = None) -> Iterator[bytes]:
    """Yield a file as it was, up to its last whole line, block by block."""
    blocks = RawBlock.objects.filter(file=file, generation=generation or file.generation)
    for block in blocks.order_by("start").iterator(chunk_size=8):
        yield zstandard.decompress(block.data, max_output_size=block.length)
