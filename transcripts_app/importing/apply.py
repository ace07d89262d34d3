"""Storing a batch: raw blocks, records, search index, calls, titles and responses, in the batch's order."""

from __future__ import annotations

from typing import Any

import zstandard

from transcripts_app.format.facets import day_of, facets_of
from transcripts_app.format.kinds import Kind
from transcripts_app.format.record import Parsed, Usage
from transcripts_app.importing.batch import Batch, Line
from transcripts_app.importing.copies import message_of
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.places import FileState
from transcripts_app.importing.writer import Writer

RECORD_COLUMNS = (
    "id", "file_id", "session_id", "line", "generation", "block_id", "start", "length", "kind", "type",
    "subtype", "uid", "parent_uid", "logical_parent_uid", "copy_of", "is_conflict", "response", "at_ms",
    "model", "tool", "preview", "is_error", "is_sidechain", "is_meta", "is_synthetic",
)  # fmt: skip
TOKENS = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "web_searches", "web_fetches",
)  # fmt: skip


def batch_apply(writer: Writer, file: FileState, session: int | None, batch: Batch, data: bytes) -> Count:
    """Store one batch of a file inside the caller's transaction, and say what it held.

    `data` are the batch's bytes: copies are compared with what was stored before.
    """
    blocks = _blocks(writer, file, batch)
    known = _known(writer, [line.parsed.uid for line in batch.lines if line.parsed.uid])
    answered = _answered(writer, batch)
    count = _counted(batch)
    rows: list[tuple[Any, ...]] = []
    search: list[tuple[int, str, str]] = []
    calls: list[tuple[Any, ...]] = []
    titles: list[tuple[Any, ...]] = []
    for line in batch.lines:
        parsed = line.parsed
        new = writer.next_id("record")
        first = known.get(parsed.uid) if parsed.uid else None
        conflict = False
        if first is not None:
            count.copies += 1
            conflict = _differs(writer, first, line, batch, data, rows)
            count.conflicts += conflict
        elif parsed.uid:
            known[parsed.uid] = new
        response = _response(writer, parsed, session) if parsed.usage and session else None
        tool, model = _tool_and_model(parsed, answered)
        rows.append(_row(new, file, session, blocks, line, first, conflict, response, tool, model))
        if first is None or conflict:
            if parsed.is_searched:
                search.append((new, parsed.text, facets_of(parsed, session or 0, tool, model)))
            if session:
                calls.extend(_call_rows(writer, session, new, parsed))
            if parsed.title:
                titles.append(
                    (writer.next_id("title"), new, parsed.session_id, parsed.leaf_uid, parsed.title_kind,
                     parsed.title)
                )  # fmt: skip
    writer.insert("record", RECORD_COLUMNS, rows)
    writer.connection.executemany("INSERT INTO archive_search (rowid, body, facets) VALUES (?, ?, ?)", search)
    writer.insert("toolcall", CALL_COLUMNS, calls)
    writer.insert("title", ("id", "record_id", "session_id", "leaf_uid", "kind", "text"), titles)
    _results(writer, [(line, row[0]) for line, row in zip(batch.lines, rows, strict=True) if row[14] is None])
    _bad(writer, file, batch)
    return count


def _blocks(writer: Writer, file: FileState, batch: Batch) -> list[int]:
    ids = [writer.next_id("rawblock") for _ in batch.blocks]
    writer.insert(
        "rawblock",
        ("id", "file_id", "generation", "start", "length", "data"),
        [
            (new, file.id, file.generation, block.start, block.length, block.data)
            for new, block in zip(ids, batch.blocks, strict=True)
        ],
    )
    return ids


def _known(writer: Writer, uids: list[bytes]) -> dict[bytes, int]:
    query = "SELECT uid, id FROM archive_record WHERE copy_of IS NULL AND uid IN (%s)"
    return dict(writer.where_in(query, list(dict.fromkeys(uids))))


def _answered(writer: Writer, batch: Batch) -> dict[str, tuple[str, str]]:
    """Tool and model of the calls that results in this batch answer: results are found by them too."""
    wanted = {
        result.tool_use_id: None
        for line in batch.lines
        if line.parsed.kind is Kind.TOOL_RESULT
        for result in line.parsed.results
    }
    query = (
        "SELECT c.tool_use_id, c.name, r.model FROM archive_toolcall c "
        "JOIN archive_record r ON r.id = c.record_id WHERE c.tool_use_id IN (%s)"
    )
    inside = {
        call.id: (call.name, line.parsed.model)
        for line in batch.lines
        for call in line.parsed.calls
        if call.id
    }
    before = [one for one in wanted if one and one not in inside]
    return {call: (name, model) for call, name, model in writer.where_in(query, before)} | inside


def _tool_and_model(parsed: Parsed, answered: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """A record's own, or those of the call that it answers."""
    if parsed.kind is Kind.TOOL_RESULT:
        return next(
            (answered[one.tool_use_id] for one in parsed.results if one.tool_use_id in answered), ("", "")
        )
    return (parsed.calls[0].name if parsed.calls else ""), parsed.model


def _row(
    new: int, file: FileState, session: int | None, blocks: list[int], line: Line, copy_of: int | None,
    conflict: bool, response: int | None, tool: str, model: str,
) -> tuple[Any, ...]:  # fmt: skip
    parsed = line.parsed
    return (
        new, file.id, session, line.number, file.generation, blocks[line.block], line.start, line.length,
        parsed.kind.value, parsed.type[:60], parsed.subtype, parsed.uid, parsed.parent_uid,
        parsed.logical_parent_uid, copy_of, conflict, response, parsed.at_ms, model, tool,
        parsed.preview, parsed.is_error, parsed.is_sidechain,
        parsed.is_meta, parsed.is_synthetic,
    )  # fmt: skip


def _differs(
    writer: Writer, first: int, line: Line, batch: Batch, data: bytes, rows: list[tuple[Any, ...]]
) -> bool:
    """Whether a record says something else than the one of the same uuid read before it.

    A copy into a forked session has another sessionId and may have another cwd: only the message counts.
    """
    block = batch.blocks[line.block]
    at = block.start - batch.start + line.start
    mine = message_of(data[at : at + line.length])
    inside = next((row for row in rows if row[0] == first), None)
    if inside is not None:
        other = batch.lines[rows.index(inside)]
        at = batch.blocks[other.block].start - batch.start + other.start
        return mine != message_of(data[at : at + other.length])
    stored = writer.connection.execute(
        "SELECT b.data, r.start, r.length FROM archive_record r JOIN archive_rawblock b ON b.id = r.block_id "
        "WHERE r.id = ?",
        (first,),
    ).fetchone()
    raw = zstandard.ZstdDecompressor().decompress(stored[0])
    return mine != message_of(raw[stored[1] : stored[1] + stored[2]])


def _response(writer: Writer, parsed: Parsed, session: int) -> int:
    usage = parsed.usage
    assert usage is not None
    found = writer.connection.execute(
        "SELECT id FROM archive_response WHERE key = ?", (usage.key,)
    ).fetchone()
    tokens = _tokens(usage)
    if found:
        most = ", ".join(f"{name} = MAX({name}, ?)" for name in TOKENS)
        writer.connection.execute(
            f"UPDATE archive_response SET {most} WHERE id = ?",  # noqa: S608
            (*tokens, found[0]),
        )
        return int(found[0])
    new = writer.next_id("response")
    writer.insert(
        "response",
        ("id", "key", "session_id", "model", "at_ms", "day", "branch", "is_sidechain", "is_synthetic",
         "is_warmup", "service_tier", "speed", *TOKENS),
        [(new, usage.key, session, usage.model, parsed.at_ms, day_of(parsed.at_ms), parsed.branch,
          parsed.is_sidechain, parsed.is_synthetic, False, usage.service_tier, usage.speed, *tokens)],
    )  # fmt: skip
    return new


def _tokens(usage: Usage) -> tuple[int, ...]:
    return (
        usage.input, usage.output, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h,
        usage.web_searches, usage.web_fetches,
    )  # fmt: skip


CALL_COLUMNS = (
    "id", "session_id", "record_id", "result_id", "tool_use_id", "name", "is_error", "error", "started_ms",
    "ended_ms", "path", "operation", "lines_added", "lines_removed", "agent_id", "agent_file_id",
    "result_file_id",
)  # fmt: skip


def _call_rows(writer: Writer, session: int, record: int, parsed: Parsed) -> list[tuple[Any, ...]]:
    return [
        (writer.next_id("toolcall"), session, record, None, call.id, call.name, False, "", parsed.at_ms, None,
         call.path, call.operation, call.lines_added, call.lines_removed, "", None, None)
        for call in parsed.calls
    ]  # fmt: skip


def _results(writer: Writer, lines: list[tuple[Line, int]]) -> None:
    """Give calls their results, and the sub-agents that they started."""
    told = [(result, record, line.parsed) for line, record in lines for result in line.parsed.results]
    writer.connection.executemany(
        "UPDATE archive_toolcall SET result_id = ?, is_error = ?, error = ?, ended_ms = ? "
        "WHERE tool_use_id = ?",
        [
            (record, result.is_error, result.error, parsed.at_ms, result.tool_use_id)
            for result, record, parsed in told
            if parsed.kind is Kind.TOOL_RESULT and result.tool_use_id
        ],
    )
    writer.connection.executemany(
        "UPDATE archive_toolcall SET agent_id = ? WHERE tool_use_id = ?",
        [(result.agent_id, result.tool_use_id) for result, _, _ in told if result.agent_id],
    )


def _bad(writer: Writer, file: FileState, batch: Batch) -> None:
    writer.insert(
        "badline",
        ("id", "file_id", "generation", "line", "start", "length", "reason"),
        [
            (
                writer.next_id("badline"),
                file.id,
                file.generation,
                bad.number,
                bad.start,
                bad.length,
                bad.reason,
            )
            for bad in batch.bad
        ],
    )


def _counted(batch: Batch) -> Count:
    count = Count(bytes=batch.end - batch.start, blank=batch.blank, blank_bytes=batch.blank_bytes)
    count.bad, count.bad_bytes = len(batch.bad), sum(bad.length for bad in batch.bad)
    count.record_bytes = count.bytes - count.bad_bytes - count.blank_bytes
    count.records = len(batch.lines)
    count.lines = count.records + count.bad + count.blank
    for line in batch.lines:
        count.by_type[line.parsed.type[:60]] += 1
        count.unknown.update(line.parsed.unknown)
        count.cut += line.parsed.cut
    return count
