"""First prompts, warm-ups, and what was typed while the model worked and is told twice."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from transcripts_app.format.kinds import Kind
from transcripts_app.importing.search_text import search_remove
from transcripts_app.importing.writer import Writer

WARMUP = "Warmup"


@dataclass(slots=True)
class Prompts:
    """Of one session: the first prompt of its own, and of its first sub-agent."""

    first: str = ""
    first_of_agents: str = ""
    is_warmup: bool = False


@dataclass(slots=True)
class _Row:
    id: int
    session: int
    file: int
    kind: int
    subtype: str
    preview: str
    side: bool
    at_ms: int | None
    is_twin: bool
    line: int


def prompts_read(writer: Writer) -> dict[int, Prompts]:
    """Read the prompts of the sessions being finished, and mark warm-ups and twins."""
    by_session: dict[int, list[_Row]] = defaultdict(list)
    for row in writer.connection.execute(
        "SELECT r.id, r.session_id, r.file_id, r.kind, r.subtype, r.preview, r.is_sidechain, r.at_ms, "
        "r.is_twin, r.line FROM finishing c CROSS JOIN archive_record r ON r.session_id = c.id "
        "WHERE r.kind IN (?, ?) ORDER BY r.id",
        (Kind.PROMPT.value, Kind.QUEUE.value),
    ):
        by_session[row[1]].append(_Row(*row))
    twins: list[int] = []
    found: dict[int, Prompts] = {}
    for session, rows in by_session.items():
        twins += _twins(rows)
        found[session] = _prompts(writer, session, [row for row in rows if row.kind == Kind.PROMPT.value])
    search_remove(writer, twins)
    writer.connection.executemany(
        "UPDATE archive_record SET is_twin = 1 WHERE id = ?", [(one,) for one in twins]
    )
    return found


def _prompts(writer: Writer, session: int, rows: list[_Row]) -> Prompts:
    own = [row for row in rows if not row.side]
    side = [row for row in rows if row.side]
    prompts = Prompts(_earliest(own), _earliest(side))
    first_of_file: dict[int, _Row] = {}
    for row in rows:
        if row.file not in first_of_file or row.line < first_of_file[row.file].line:
            first_of_file[row.file] = row
    warm = [file for file, row in first_of_file.items() if row.preview == WARMUP]
    prompts.is_warmup = prompts.first == WARMUP if own else bool(warm) and len(warm) == len(first_of_file)
    if prompts.is_warmup:
        writer.connection.execute(
            "UPDATE archive_response SET is_warmup = 1 WHERE session_id = ? AND NOT is_warmup", (session,)
        )
    else:
        writer.connection.executemany(
            "UPDATE archive_response SET is_warmup = 1 WHERE NOT is_warmup AND id IN "
            "(SELECT response FROM archive_record WHERE file_id = ? AND response IS NOT NULL)",
            [(file,) for file in warm],
        )
    return prompts


def _earliest(rows: list[_Row]) -> str:
    if not rows:
        return ""
    return min(rows, key=lambda row: (row.at_ms is None, row.at_ms or 0, row.id)).preview


def _twins(rows: list[_Row]) -> list[int]:
    """Queue operations whose text another record of the session shows: the command as it was attached, or
    the prompt that it became; of enqueue and remove, the remove. Twins of before are left as they are."""
    attached = {row.preview for row in rows if row.subtype == "queued_command"}
    prompted = {row.preview for row in rows if row.kind == Kind.PROMPT.value}
    removed = {row.preview for row in rows if row.subtype == "remove"}
    shown = {"remove": attached, "enqueue": attached | prompted | removed}
    return [
        row.id
        for row in rows
        if not row.is_twin and row.subtype in shown and row.kind == Kind.QUEUE.value
        and row.preview and row.preview in shown[row.subtype]
    ]  # fmt: skip
