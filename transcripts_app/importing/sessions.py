"""A session's row, made anew from its records, calls, titles and responses."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from transcripts_app.format.kinds import Kind
from transcripts_app.importing.writer import Writer, now_ms

PAUSE_MOST_MS = 300_000
WARMUP = "Warmup"
PROMPT_MOST = 300
RUNNING_MS = 10 * 60_000
TITLE_ORDER = ("custom", "ai", "summary", "agent")


def sessions_finish(writer: Writer, sessions: Iterable[int]) -> None:
    """Recompute the rows of these sessions, inside the caller's transaction."""
    for session in sorted(set(sessions)):
        _links(writer, session)
        values = _figures(writer, session) | _reading(writer, session) | _tokens(writer, session)
        values["changed_ms"] = now_ms()
        names = ", ".join(f"{name} = ?" for name in values)
        writer.connection.execute(
            f"UPDATE archive_session SET {names} WHERE id = ?",  # noqa: S608
            (*values.values(), session),
        )


def _one(writer: Writer, query: str, *parameters: Any) -> tuple[Any, ...]:
    row = writer.connection.execute(query, parameters).fetchone()
    return tuple(row) if row else ()


def _links(writer: Writer, session: int) -> None:
    """Tie calls to the files of their sub-agents and of their large results."""
    execute = writer.connection.execute
    agents = execute(
        "SELECT id, agent_id, json_extract(meta, '$.toolUseId') FROM archive_transcriptfile "
        "WHERE session_id = ? AND role = 'agent'",
        (session,),
    ).fetchall()
    for file, agent, call in agents:
        execute(
            "UPDATE archive_toolcall SET agent_file_id = ?, agent_id = ? "
            "WHERE session_id = ? AND agent_file_id IS NOT ? AND (agent_id = ? OR tool_use_id = ?)",
            (file, agent, session, file, agent, call or ""),
        )
    execute(
        "UPDATE archive_toolcall SET result_file_id = (SELECT f.id FROM archive_transcriptfile f "
        "WHERE f.session_id = ?1 AND f.role = 'result' AND f.agent_id = archive_toolcall.tool_use_id) "
        "WHERE session_id = ?1 AND result_file_id IS NULL AND EXISTS (SELECT 1 FROM archive_transcriptfile "
        "WHERE session_id = ?1 AND role = 'result')",
        (session,),
    )


def _figures(writer: Writer, session: int) -> dict[str, Any]:
    prompt, answer, boundary = Kind.PROMPT.value, Kind.ANSWER.value, Kind.COMPACT_BOUNDARY.value
    row = _one(
        writer,
        "SELECT COUNT(*), SUM(kind = ?2 AND NOT is_sidechain), SUM(kind = ?3), SUM(subtype = 'api_error'), "
        "SUM(kind = ?4), MIN(at_ms), MAX(at_ms), SUM(length + 1) FROM archive_record "
        "WHERE session_id = ?1 AND copy_of IS NULL",
        session, prompt, answer, boundary,
    )  # fmt: skip
    calls = _one(
        writer,
        "SELECT COUNT(*), SUM(is_error), "
        "COUNT(DISTINCT CASE WHEN operation IN ('write', 'edit') THEN path END), "
        "SUM(CASE WHEN is_error THEN 0 ELSE lines_added END), "
        "SUM(CASE WHEN is_error THEN 0 ELSE lines_removed END) FROM archive_toolcall WHERE session_id = ?",
        session,
    )
    names: tuple[str, ...]
    names = ("records", "prompts", "answers", "api_errors", "compactions", "started_ms", "ended_ms", "bytes")
    figures = dict(zip(names, row, strict=True))
    names = ("tool_calls", "tool_errors", "files_touched", "lines_added", "lines_removed")
    figures |= dict(zip(names, calls, strict=True))
    figures = {name: value or (None if name.endswith("_ms") else 0) for name, value in figures.items()}
    figures["agents"] = _one(
        writer,
        "SELECT COUNT(*) FROM archive_transcriptfile WHERE session_id = ? AND role = 'agent'",
        session,
    )[0]
    return figures | {"active_ms": _active_ms(writer, session)}


def _active_ms(writer: Writer, session: int) -> int:
    """Time in which something went on: gaps of at most five minutes between the main file's records."""
    rows = writer.connection.execute(
        "SELECT at_ms FROM archive_record WHERE session_id = ? AND at_ms IS NOT NULL AND NOT is_sidechain "
        "AND copy_of IS NULL ORDER BY at_ms",
        (session,),
    )
    total, before = 0, None
    for (at_ms,) in rows:
        if before is not None and at_ms - before <= PAUSE_MOST_MS:
            total += at_ms - before
        before = at_ms
    return total


def _reading(writer: Writer, session: int) -> dict[str, Any]:
    """Title, first prompt, branch, version, leaf, outcome, fork."""
    prompt = _one(
        writer,
        "SELECT preview, id FROM archive_record WHERE session_id = ? AND kind = ? AND NOT is_sidechain "
        "ORDER BY at_ms IS NULL, at_ms, id LIMIT 1",
        session, Kind.PROMPT.value,
    )  # fmt: skip
    first = prompt[0] if prompt else ""
    only_agents = _one(
        writer,
        "SELECT preview FROM archive_record WHERE session_id = ? AND kind = ? ORDER BY id LIMIT 1",
        session, Kind.PROMPT.value,
    )  # fmt: skip
    leaf = _one(
        writer,
        "SELECT r.id, r.kind, r.is_error, r.is_meta, r.at_ms FROM archive_record r "
        "JOIN archive_transcriptfile f ON f.id = r.file_id WHERE r.session_id = ? AND r.uid IS NOT NULL "
        "AND f.role = 'session' AND r.kind NOT IN (?, ?) ORDER BY r.file_id DESC, r.line DESC LIMIT 1",
        session, Kind.PROGRESS.value, Kind.STATE.value,
    )  # fmt: skip
    title, kind = _title(writer, session, first or (only_agents[0] if only_agents else ""))
    fork = _one(
        writer,
        "SELECT o.session_id FROM archive_record r JOIN archive_record o ON o.id = r.copy_of "
        "WHERE r.session_id = ?1 AND r.copy_of IS NOT NULL AND o.session_id <> ?1 "
        "GROUP BY o.session_id ORDER BY COUNT(*) DESC, o.session_id LIMIT 1",
        session,
    )
    warm = (first or (only_agents[0] if only_agents else "")) == WARMUP
    return {
        "title": title, "title_kind": kind, "first_prompt": first[:PROMPT_MOST], "is_warmup": warm,
        "leaf": leaf[0] if leaf else None, "outcome": _outcome(leaf),
        "forked_from_id": fork[0] if fork else None,
    }  # fmt: skip


def _title(writer: Writer, session: int, first: str) -> tuple[str, str]:
    """The last of the best kind: one that names the session, or whose leaf is a record of it."""
    rows = writer.connection.execute(
        "SELECT t.kind, t.text FROM archive_title t JOIN archive_session s ON s.id = ?1 "
        "WHERE (t.session_id <> '' AND t.session_id = s.session_id AND "
        "  (SELECT session_id FROM archive_record WHERE id = t.record_id) = ?1) "
        "OR (t.leaf_uid IS NOT NULL AND EXISTS (SELECT 1 FROM archive_record r "
        "  WHERE r.uid = t.leaf_uid AND r.session_id = ?1)) ORDER BY t.id",
        (session,),
    )
    found = {kind: text for kind, text in rows if text}
    for kind in TITLE_ORDER:
        if kind in found:
            return found[kind], kind
    return first, "prompt" if first else ""


def _outcome(leaf: tuple[Any, ...]) -> str:
    if not leaf:
        return "empty"
    _, kind, is_error, _, at_ms = leaf
    if at_ms is not None and now_ms() - at_ms < RUNNING_MS:
        return "running"
    if is_error:
        return "error"
    return "done" if kind == Kind.ANSWER.value else "interrupted"


def _tokens(writer: Writer, session: int) -> dict[str, Any]:
    names = (
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
    )
    sums = ", ".join(f"SUM({name})" for name in names)
    row = _one(writer, f"SELECT {sums} FROM archive_response WHERE session_id = ?", session)  # noqa: S608
    rows = writer.connection.execute(
        "SELECT model FROM archive_response WHERE session_id = ? AND NOT is_synthetic "
        "GROUP BY model ORDER BY SUM(output_tokens) DESC, model",
        (session,),
    )
    figures = {name: value or 0 for name, value in zip(names, row, strict=True)}
    return figures | {"model_names": json.dumps([model for (model,) in rows])}
