"""Taking records out of the search index. It keeps no text: that is made anew from the raw line."""

from __future__ import annotations

from collections.abc import Iterable

import zstandard

from transcripts_app.format.facets import facets_of
from transcripts_app.format.kinds import Kind
from transcripts_app.format.lines import LineBad, line_read, text_clean
from transcripts_app.format.record import INDEX_MOST, record_parse
from transcripts_app.importing.writer import Writer

PLACE = (
    "SELECT r.id, r.session_id, r.kind, r.start, r.length, b.data, f.role, r.tool, r.model "
    "FROM archive_record r JOIN archive_rawblock b ON b.id = r.block_id "
    "JOIN archive_transcriptfile f ON f.id = r.file_id "
    "WHERE r.id IN (%s)"
)


def search_remove(writer: Writer, records: Iterable[int]) -> None:
    """Take records out of the index, inside the caller's transaction. Each must be in it."""
    for record, (text, facets) in search_texts(writer, records).items():
        writer.connection.execute(
            "INSERT INTO archive_search (archive_search, rowid, body, facets) VALUES ('delete', ?, ?, ?)",
            (record, text, facets),
        )


def search_texts(writer: Writer, records: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Return text and facets of records as the index holds them; those that are not searched are left out."""
    texts: dict[int, tuple[str, str]] = {}
    unpack = zstandard.ZstdDecompressor()
    for record, session, kind, start, length, data, role, tool, model in writer.where_in(
        PLACE, list(records)
    ):
        raw = unpack.decompress(data)[start : start + length]
        if kind == Kind.RESULT_FILE.value:
            text = text_clean(raw[: 4 * INDEX_MOST].decode(errors="replace"))[:INDEX_MOST]
            facets = f"s{session} k{Kind.TOOL_RESULT.value}"
        else:
            try:
                parsed = record_parse(line_read(raw), raw, role)
            except LineBad:
                continue
            if not parsed.is_searched:
                continue
            text, facets = parsed.text, facets_of(parsed, session or 0, tool, model)
        texts[record] = (text, facets)
    return texts
