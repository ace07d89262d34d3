"""Sessions' rows, made anew from their records, calls, titles and responses: many sessions at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from transcripts_app.format.kinds import Kind
from transcripts_app.importing.costs import prices_known, sums_make
from transcripts_app.importing.links import links_make
from transcripts_app.importing.paths import Ends, paths_mark
from transcripts_app.importing.prompts import Prompts, prompts_read
from transcripts_app.importing.turns import days_read
from transcripts_app.importing.writer import Writer, now_ms
from transcripts_app.prices import PriceTable

AT_ONCE = 400
RUNNING_MS = 10 * 60_000
TITLE_ORDER = ("custom", "ai", "summary", "agent")
TOKENS = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
)  # fmt: skip
COLUMNS = (
    "title", "title_kind", "first_prompt", "started_ms", "ended_ms", "active_ms", "changed_ms", "model_names",
    "outcome", "records", "prompts", "answers", "tool_calls", "tool_errors", "api_errors", "compactions",
    "agents", "files_touched", "lines_added", "lines_removed", *TOKENS, "cost_micros", "bytes",
    "is_warmup", "secrets", "forked_from_id", "leaf",
)  # fmt: skip
Rows = dict[int, dict[str, Any]]


def sessions_finish(writer: Writer) -> list[int]:
    """Make the rows of all stale sessions anew, some hundred in a transaction; return their ids."""
    done: list[int] = []
    prices = prices_known(writer)
    _no_longer_running(writer)
    while sessions := [
        one for (one,) in writer.connection.execute(
            "SELECT id FROM archive_session WHERE is_stale ORDER BY id LIMIT ?", (AT_ONCE,)
        )
    ]:  # fmt: skip
        with writer.transaction():
            _finish(writer, sessions, prices)
        done += sessions
    return done


def _no_longer_running(writer: Writer) -> None:
    """A session that showed no line for ten minutes is no longer running."""
    query = "SELECT id FROM archive_session WHERE outcome = 'running' AND ended_ms < ? AND NOT is_stale"
    ended = writer.connection.execute(query, (now_ms() - RUNNING_MS,)).fetchall()
    if ended:
        with writer.transaction():
            writer.stale(one for (one,) in ended)


def _finish(writer: Writer, sessions: Sequence[int], prices: PriceTable) -> None:
    """Inside the caller's transaction. The sessions stand in a table of this connection's own."""
    execute = writer.connection.execute
    execute("CREATE TEMP TABLE IF NOT EXISTS finishing (id INTEGER PRIMARY KEY)")
    execute("DELETE FROM finishing")
    writer.connection.executemany("INSERT INTO finishing VALUES (?)", [(one,) for one in sessions])
    links_make(writer)
    prompts = prompts_read(writer)
    ends = paths_mark(writer)
    days = days_read(writer)
    costs = sums_make(writer, prices, days)
    rows: Rows = {one: {"changed_ms": now_ms()} for one in sessions}
    for part in (_records(writer), _calls(writer), _tokens(writer), costs, _agents(writer), _forks(writer),
                 _secrets(writer)):  # fmt: skip
        for session, values in part.items():
            rows[session] |= values
    titles = _titles(writer)
    for session, row in rows.items():
        row |= _reading(titles.get(session, {}), prompts.get(session, Prompts()), ends.get(session))
        row["active_ms"] = sum(active for active, _ in days.get(session, {}).values())
    names = ", ".join(f"{name} = ?" for name in COLUMNS)
    writer.connection.executemany(
        f"UPDATE archive_session SET {names}, is_stale = 0 WHERE id = ?",  # noqa: S608
        [
            (*(row.get(name, _EMPTY.get(name, 0)) for name in COLUMNS), session)
            for session, row in rows.items()
        ],
    )


_EMPTY: dict[str, Any] = {
    "model_names": "[]", "forked_from_id": None, "leaf": None, "started_ms": None, "ended_ms": None,
}  # fmt: skip


def _read(writer: Writer, names: Sequence[str], query: str, *parameters: Any) -> Rows:
    """Rows of a query by the session in their first column."""
    return {
        session: dict(zip(names, values, strict=True))
        for session, *values in writer.connection.execute(query, parameters)
    }


def _records(writer: Writer) -> Rows:
    """Counts of records, each once; times also of copies where a session has nothing else."""
    names = (
        "records", "prompts", "answers", "api_errors", "compactions", "started_ms", "ended_ms", "bytes",
    )  # fmt: skip
    return _read(
        writer, names,
        "SELECT session_id, SUM(own), SUM(own AND kind = ?2 AND NOT is_sidechain), "
        "SUM(own AND kind = ?3), SUM(own AND subtype = 'api_error'), SUM(own AND kind = ?4), "
        "COALESCE(MIN(CASE WHEN own THEN at_ms END), MIN(at_ms)), "
        "COALESCE(MAX(CASE WHEN own THEN at_ms END), MAX(at_ms)), SUM(own * (length + (kind <> ?1))) "
        "FROM (SELECT r.session_id, r.kind, r.is_sidechain, r.subtype, r.at_ms, r.length, "
        "r.copy_of IS NULL AS own FROM finishing c CROSS JOIN archive_record r ON r.session_id = c.id) "
        "GROUP BY session_id",
        Kind.RESULT_FILE.value, Kind.PROMPT.value, Kind.ANSWER.value, Kind.COMPACT_BOUNDARY.value,
    )  # fmt: skip


def _calls(writer: Writer) -> Rows:
    return _read(
        writer,
        ("tool_calls", "tool_errors", "files_touched", "lines_added", "lines_removed"),
        "SELECT t.session_id, COUNT(*), SUM(is_error), "
        "COUNT(DISTINCT CASE WHEN operation IN ('write', 'edit') AND NOT is_error AND path <> '' "
        "THEN path END), "
        "SUM(CASE WHEN is_error THEN 0 ELSE lines_added END), "
        "SUM(CASE WHEN is_error THEN 0 ELSE lines_removed END) "
        "FROM finishing c CROSS JOIN archive_toolcall t ON t.session_id = c.id GROUP BY t.session_id",
    )


def _tokens(writer: Writer) -> Rows:
    """Sums over responses, and the models, most output first."""
    sums = ", ".join(f"SUM({name})" for name in TOKENS)
    rows: Rows = {}
    models: dict[int, dict[str, int]] = {}
    for session, model, synthetic, *values in writer.connection.execute(
        f"SELECT p.session_id, model, is_synthetic, {sums} FROM finishing c CROSS JOIN archive_response p "  # noqa: S608
        "ON p.session_id = c.id GROUP BY p.session_id, model, is_synthetic"
    ):
        row = rows.setdefault(session, dict.fromkeys(TOKENS, 0))
        for name, value in zip(TOKENS, values, strict=True):
            row[name] += value
        if not synthetic:
            models.setdefault(session, {})[model] = values[1]
    for session, row in rows.items():
        used = models.get(session, {})
        row["model_names"] = json.dumps(sorted(used, key=lambda model: (-used[model], model)))
    return rows


def _agents(writer: Writer) -> Rows:
    return _read(
        writer,
        ("agents",),
        "SELECT f.session_id, COUNT(*) FROM finishing c CROSS JOIN archive_transcriptfile f "
        "ON f.session_id = c.id WHERE f.role = 'agent' GROUP BY f.session_id",
    )


def _secrets(writer: Writer) -> Rows:
    """How many records hold likely secrets."""
    return _read(
        writer,
        ("secrets",),
        "SELECT c.id, COUNT(DISTINCT h.record_id) FROM finishing c CROSS JOIN archive_secrethit h "
        "ON h.session_id = c.id GROUP BY c.id",
    )


def _forks(writer: Writer) -> Rows:
    """The session whose records were copied into this one most."""
    rows: Rows = {}
    for session, other, _ in writer.connection.execute(
        "SELECT r.session_id, o.session_id, COUNT(*) AS many FROM finishing c "
        "CROSS JOIN archive_record r ON r.session_id = c.id AND r.copy_of IS NOT NULL "
        "JOIN archive_record o ON o.id = r.copy_of AND o.session_id <> r.session_id "
        "GROUP BY r.session_id, o.session_id ORDER BY many DESC, o.session_id"
    ):
        rows.setdefault(session, {"forked_from_id": other})
    return rows


def _titles(writer: Writer) -> dict[int, dict[str, str]]:
    """Of each kind the last title: one that names the session, or whose leaf is a record of it."""
    found: dict[int, dict[str, str]] = {}
    for session, _, kind, text in writer.connection.execute(
        "SELECT c.id, t.id, t.kind, t.text FROM finishing c CROSS JOIN archive_session s ON s.id = c.id "
        "JOIN archive_title t ON t.session_id = s.session_id JOIN archive_record r ON r.id = t.record_id "
        "WHERE r.session_id = c.id AND t.session_id <> '' "
        "UNION ALL SELECT c.id, t.id, t.kind, t.text FROM archive_title t "
        "CROSS JOIN archive_record r ON r.uid = t.leaf_uid AND r.copy_of IS NULL "
        "JOIN finishing c ON c.id = r.session_id WHERE t.leaf_uid IS NOT NULL "
        "UNION ALL SELECT c.id, t.id, t.kind, t.text FROM archive_title t "
        "CROSS JOIN archive_record r ON r.id = t.record_id JOIN finishing c ON c.id = r.session_id "
        "WHERE t.leaf_uid IS NULL AND t.session_id = '' ORDER BY 2"
    ):
        if text:
            found.setdefault(session, {})[kind] = text
    return found


def _reading(titles: dict[str, str], prompts: Prompts, end: Ends | None) -> dict[str, Any]:
    """Title, first prompt, leaf, outcome."""
    first = prompts.first or prompts.first_of_agents
    title, title_kind = first, "prompt" if first else ""
    for kind in TITLE_ORDER:
        if kind in titles:
            title, title_kind = titles[kind], kind
            break
    return {
        "title": title, "title_kind": title_kind, "first_prompt": prompts.first,
        "is_warmup": prompts.is_warmup, "leaf": end.leaf if end else None, "outcome": _outcome(end),
    }  # fmt: skip


def _outcome(end: Ends | None) -> str:
    if end is None or end.kind is None:
        return "empty"
    if end.at_ms is not None and 0 <= now_ms() - end.at_ms < RUNNING_MS:
        return "running"
    if end.is_error and end.kind in (Kind.ANSWER.value, Kind.SYSTEM.value):
        return "error"
    return "done" if end.kind == Kind.ANSWER.value else "interrupted"
