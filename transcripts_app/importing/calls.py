"""Tool calls, and what their results tell of them."""

from __future__ import annotations

from typing import Any

from transcripts_app.importing.batch import Line
from transcripts_app.importing.writer import Writer

COLUMNS = (
    "id", "session_id", "record_id", "result_id", "tool_use_id", "name", "is_error", "error", "started_ms",
    "ended_ms", "path", "operation", "lines_added", "lines_removed", "agent_id", "agent_file_id",
    "result_file_id", "output_name",
)  # fmt: skip

TOLD = ("name", "path", "operation", "lines_added", "lines_removed")


def calls_store(
    writer: Writer, session: int, lines: list[tuple[int, Line]], responses: dict[bytes, int]
) -> None:
    """Store the calls of these records, and give calls their results, and the sub-agents they started.

    Most results come in the chunk of their call: those are joined before anything is written.
    """
    calls: list[dict[str, Any]] = []
    here: dict[str, dict[str, Any]] = {}
    before = _before(writer, session, lines, responses)
    again: list[tuple[Any, ...]] = []
    results: list[tuple[Any, ...]] = []
    agents: list[tuple[str, str]] = []
    patches: list[tuple[int, int, str]] = []
    for record, line in lines:
        for call in line.calls:
            if call[0] in before:
                again.append((*call[1:], before[call[0]]))
            elif call[0] in here:
                here[call[0]] |= dict(zip(TOLD, call[1:], strict=True))
            else:
                row = _row(writer.next_id("toolcall"), session, record, line, call)
                calls.append(row)
                if call[0]:
                    here[call[0]] = row
        for tool_use_id, is_error, error, agent, saved_as, patch, is_end in line.results:
            if not tool_use_id:
                continue
            found = here.get(tool_use_id)
            told = {"agent_id": agent} if agent else {}
            if is_end:
                told |= {
                    "result_id": record, "is_error": is_error, "error": error, "ended_ms": line.at_ms,
                    "output_name": saved_as,
                }  # fmt: skip
                if patch:
                    told |= {"lines_added": patch[0], "lines_removed": patch[1]}
            if found is not None:
                found |= told
                continue
            if is_end:
                results.append((record, is_error, error, line.at_ms, saved_as, tool_use_id))
            if agent:
                agents.append((agent, tool_use_id))
            if patch:
                patches.append((*patch, tool_use_id))
    writer.insert("toolcall", COLUMNS, [tuple(row.values()) for row in calls])
    writer.connection.executemany(
        f"UPDATE archive_toolcall SET {', '.join(f'{name} = ?' for name in TOLD)} WHERE id = ?",  # noqa: S608
        again,
    )
    for columns, rows in (
        ("result_id = ?, is_error = ?, error = ?, ended_ms = ?, output_name = ?", results),
        ("agent_id = ?", agents),
        ("lines_added = ?, lines_removed = ?", patches),
    ):
        writer.connection.executemany(
            f"UPDATE archive_toolcall SET {columns} WHERE tool_use_id = ?",  # noqa: S608
            rows,
        )
    elsewhere = list({row[-1] for row in (*results, *agents, *patches)})
    query = "SELECT DISTINCT session_id FROM archive_toolcall WHERE tool_use_id IN (%s)"
    writer.stale({other for (other,) in writer.where_in(query, elsewhere)} - {session})


def _before(
    writer: Writer, session: int, lines: list[tuple[int, Line]], responses: dict[bytes, int]
) -> dict[str, int]:
    """Calls that were read before: snapshots of an answer tell them again, whole at last.

    They are of this session, or of the same response, which a resumed session's file goes on with.
    """
    asked: dict[str, int | None] = {}
    for _, line in lines:
        for call in line.calls:
            if call[0]:
                asked[call[0]] = responses.get(line.usage[0]) if line.usage else None
    query = (
        "SELECT t.tool_use_id, t.id, t.session_id, r.response FROM archive_toolcall t "
        "JOIN archive_record r ON r.id = t.record_id WHERE t.tool_use_id IN (%s)"
    )
    return {
        call: one
        for call, one, whose, response in writer.where_in(query, list(asked))
        if whose == session or (response is not None and response == asked[call])
    }


def _row(new: int, session: int, record: int, line: Line, call: tuple[Any, ...]) -> dict[str, Any]:
    tool_use_id, name, path, operation, added, removed = call
    values = (
        new, session, record, None, tool_use_id, name, False, "", line.at_ms, None, path, operation, added,
        removed, "", None, None, "",
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))
