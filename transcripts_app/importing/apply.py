"""Storing a chunk: raw blocks, records, search index, calls, titles and responses, in the chunk's order."""

from __future__ import annotations

from typing import Any

from transcripts_app.format.facets import facets_answered
from transcripts_app.format.kinds import Kind
from transcripts_app.importing.batch import Chunk, Line
from transcripts_app.importing.blocks import Blocks, OldLines
from transcripts_app.importing.calls import calls_store
from transcripts_app.importing.copies import says_the_same
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.places import FileState
from transcripts_app.importing.responses import responses_store
from transcripts_app.importing.search_text import search_remove
from transcripts_app.importing.secret_hits import Found, hits_replace, hits_store
from transcripts_app.importing.writer import Writer

RECORD_COLUMNS = (
    "id", "file_id", "session_id", "line", "generation", "block_id", "start", "length", "kind", "type",
    "subtype", "uid", "parent_uid", "logical_parent_uid", "copy_of", "is_conflict", "response", "at_ms",
    "model", "tool", "preview", "is_error", "is_sidechain", "is_meta", "is_synthetic", "duration_ms",
    "is_aside", "is_twin",
)  # fmt: skip
SEARCH = "INSERT INTO archive_search (rowid, body, facets) VALUES (?, ?, ?)"


class Store:
    """Stores chunks inside the caller's transaction. One per run: it keeps unpacked blocks and old lines."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.blocks = Blocks(writer)
        self.old: dict[int, OldLines] = {}

    def chunk(self, file: FileState, session: int | None, chunk: Chunk) -> Count:
        """Store one chunk of a file and say what it held."""
        count = _counted(chunk)
        blocks = self.blocks.store(file, chunk.blocks)
        lines = [Line(*line) for line in chunk.lines]
        if file.generation > 1 and file.read_to < file.rewritten_to:
            lines = self._moved(file, blocks, chunk, lines, count)
        _Chunk(self, file, session, blocks, chunk, lines).store(count)
        _bad(self.writer, file, chunk)
        return count

    def file_done(self, file: FileState) -> None:
        """Forget what was kept of a file."""
        self.old.pop(file.id, None)

    def _moved(
        self, file: FileState, blocks: list[int], chunk: Chunk, lines: list[Line], count: Count
    ) -> list[Line]:
        """Of a rewritten file, lines that were there before keep their records. Return the others."""
        old = self.old.get(file.id) or self.old.setdefault(file.id, OldLines(self.writer, file))
        moved, new = [], []
        for line in lines:
            raw = self.blocks.raw(blocks[line.block], line.start, line.length, chunk.blocks[line.block][2])
            record = old.take(raw)
            if record is None:
                new.append(line)
            else:
                place = (line.number, file.generation, blocks[line.block], line.start, line.length)
                moved.append((*place, record))
        self.writer.connection.executemany(
            "UPDATE archive_record SET line = ?, generation = ?, block_id = ?, start = ?, length = ? "
            "WHERE id = ?",
            moved,
        )
        count.moved += len(moved)
        return new


class _Chunk:
    """One chunk on its way into the tables."""

    def __init__(
        self, store: Store, file: FileState, session: int | None, blocks: list[int], chunk: Chunk,
        lines: list[Line],
    ) -> None:  # fmt: skip
        self.blocks_kept, self.writer, self.file, self.session = store.blocks, store.writer, file, session
        self.blocks, self.chunk, self.lines = blocks, chunk, lines
        self.known = self._known()
        self.answered = self._answered()
        # Blocks just stored need not be fetched to be compared with.
        self.packed = {number: data for number, (_, _, data) in zip(blocks, chunk.blocks, strict=True)}

    def store(self, count: Count) -> None:
        writer, session = self.writer, self.session
        responses = responses_store(writer, session, self.lines) if session else {}
        rows: list[tuple[Any, ...]] = []
        search: list[tuple[int, str, str]] = []
        counted: list[tuple[int, Line]] = []
        titles: list[tuple[Any, ...]] = []
        secrets: list[tuple[int, Found]] = []
        first_id = writer.ids("record", len(self.lines))
        prefix = f"s{session or 0} "
        for new, line in enumerate(self.lines, first_id):
            first, conflict = self._first(new, line)
            if first is not None:
                count.copies += 1
                count.conflicts += conflict
            tool, model = self._tool_and_model(line)
            rows.append(self._row(new, line, first, conflict, responses, tool, model))
            if first is None or conflict:
                if line.is_searched:
                    facets = line.facets + facets_answered(line.kind, tool, model)
                    search.append((new, line.text, prefix + facets))
                counted.append((new, self._without_known_calls(line) if conflict and line.calls else line))
                if line.secrets:
                    secrets.append((new, line.secrets))
                if line.title:
                    titles.append((writer.next_id("title"), new, *line.title))
        writer.insert("record", RECORD_COLUMNS, rows)
        writer.connection.executemany(SEARCH, search)
        hits_store(writer, session, secrets)
        writer.insert("title", ("id", "record_id", "session_id", "leaf_uid", "kind", "text"), titles)
        writer.connection.executemany(
            "UPDATE archive_session SET is_stale = 1 WHERE id IN "
            "(SELECT session_id FROM archive_record WHERE uid = ?)",
            [(title[3],) for title in titles if title[3]],
        )
        if session:
            calls_store(writer, session, counted, responses)

    def _known(self) -> dict[bytes, tuple[int, int, int, int]]:
        """Where records with these uuids lie that were read before: id, block, start, length."""
        uids = list(dict.fromkeys(line.uid for line in self.lines if line.uid))
        query = (
            "SELECT uid, id, block_id, start, length FROM archive_record "
            "WHERE copy_of IS NULL AND uid IN (%s) ORDER BY id DESC"
        )
        return {uid: (*place,) for uid, *place in self.writer.where_in(query, uids)}

    def _answered(self) -> dict[str, tuple[str, str]]:
        """Tool and model of the calls that results in this chunk answer: results are found by them too."""
        here = {call[0]: (call[1], line.model) for line in self.lines for call in line.calls if call[0]}
        asked = {one[0]: None for line in self.lines if line.kind == Kind.TOOL_RESULT for one in line.results}
        query = (
            "SELECT c.tool_use_id, c.name, r.model FROM archive_toolcall c "
            "JOIN archive_record r ON r.id = c.record_id WHERE c.tool_use_id IN (%s)"
        )
        before = [one for one in asked if one and one not in here]
        return {call: (name, model) for call, name, model in self.writer.where_in(query, before)} | here

    def _tool_and_model(self, line: Line) -> tuple[str, str]:
        """A record's own, or those of the call that it answers."""
        if line.kind == Kind.TOOL_RESULT:
            for one in line.results:
                if one[0] in self.answered:
                    return self.answered[one[0]]
        return line.tool, line.model

    def _first(self, new: int, line: Line) -> tuple[int | None, bool]:
        """The record of which a line is a copy, if any, and whether it says something else."""
        if line.uid is None:
            return None, False
        block = self.blocks[line.block]
        first = self.known.setdefault(line.uid, (new, block, line.start, line.length))
        if first[0] == new:
            return None, False
        one = self.blocks_kept.raw(first[1], first[2], first[3], self.packed.get(first[1]))
        other = self.blocks_kept.raw(block, line.start, line.length, self.packed[block])
        return first[0], not says_the_same(one, other)

    def _without_known_calls(self, line: Line) -> Line:
        """Of a conflict: a call that both records make is one call."""
        query = "SELECT tool_use_id FROM archive_toolcall WHERE tool_use_id IN (%s)"
        known = {one for (one,) in self.writer.where_in(query, [call[0] for call in line.calls])}
        return line._replace(calls=tuple(call for call in line.calls if call[0] not in known))

    def _row(
        self, new: int, line: Line, copy_of: int | None, conflict: bool, responses: dict[bytes, int],
        tool: str, model: str,
    ) -> tuple[Any, ...]:  # fmt: skip
        return (
            new, self.file.id, self.session, line.number, self.file.generation, self.blocks[line.block],
            line.start, line.length, line.kind, line.type, line.subtype, line.uid, line.parent_uid,
            line.logical_parent_uid, copy_of, conflict, responses.get(line.usage[0]) if line.usage else None,
            line.at_ms, model, tool, line.preview, line.is_error, line.is_sidechain, line.is_meta,
            line.is_synthetic, line.duration_ms, False, False,
        )  # fmt: skip


def result_store(store: Store, file: FileState, session: int, message: tuple[Any, ...]) -> Count:
    """Store a large output as one record. One that was written again keeps its record."""
    _, _, blocks, length, text, fingerprint, secrets = message
    writer = store.writer
    file.read_to, file.lines, file.fingerprint = length, 1, fingerprint
    if not length:
        return Count()
    old = writer.connection.execute(
        "SELECT id, session_id FROM archive_record WHERE file_id = ? ORDER BY id DESC LIMIT 1", (file.id,)
    ).fetchone()
    ids = store.blocks.store(file, blocks)
    facets = f"s{session} k{Kind.TOOL_RESULT.value}"
    place = (file.generation, ids[0], 0, blocks[0][1])
    if old:
        search_remove(writer, [old[0]])
        writer.connection.execute(
            "UPDATE archive_record SET generation = ?, block_id = ?, start = ?, length = ? WHERE id = ?",
            (*place, old[0]),
        )
        record = old[0]
    else:
        record = writer.next_id("record")
        row = dict.fromkeys(RECORD_COLUMNS, False) | {
            "id": record, "file_id": file.id, "session_id": session, "line": 1,
            "kind": Kind.RESULT_FILE.value, "type": "tool-result-file", "duration_ms": 0,
            **dict.fromkeys(("subtype", "model", "tool", "preview"), ""),
            **dict.fromkeys(
                ("uid", "parent_uid", "logical_parent_uid", "copy_of", "response", "at_ms"), None
            ),
            **dict(zip(("generation", "block_id", "start", "length"), place, strict=True)),
        }  # fmt: skip
        writer.insert("record", RECORD_COLUMNS, [tuple(row[name] for name in RECORD_COLUMNS)])
    hits_replace(writer, session, record, secrets)
    if text:
        writer.connection.execute(SEARCH, (record, text, facets))
    return Count(bytes=length, record_bytes=length, lines=1, records=1)


def _bad(writer: Writer, file: FileState, chunk: Chunk) -> None:
    writer.insert(
        "badline",
        ("id", "file_id", "generation", "line", "start", "length", "reason"),
        [(writer.next_id("badline"), file.id, file.generation, *bad) for bad in chunk.bad],
    )


def _counted(chunk: Chunk) -> Count:
    if not chunk.is_whole:
        return Count()
    count = Count(blank=chunk.blank, blank_bytes=chunk.blank_bytes, bad=chunk.bad_lines, cut=chunk.cut)
    count.bytes, count.bad_bytes, count.records = chunk.end - chunk.start, chunk.bad_bytes, len(chunk.lines)
    count.record_bytes = count.bytes - count.bad_bytes - count.blank_bytes
    count.lines = count.records + count.bad + count.blank
    count.by_type.update(chunk.by_type)
    count.unknown.update(chunk.unknown)
    return count
