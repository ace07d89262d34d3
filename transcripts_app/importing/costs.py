"""Sums of sessions by day, model, branch and tool, and what their responses cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transcripts_app.importing.writer import Writer
from transcripts_app.prices import PriceTable, Used, micros

PRICES = "prices"  # the Fact that keeps the table by which costs were computed
AT_ONCE = 400
_FINISHING = "CREATE TEMP TABLE IF NOT EXISTS finishing (id INTEGER PRIMARY KEY)"
_RESPONSES = (
    "SELECT p.session_id, model, day, input_tokens, output_tokens, cache_read_tokens, cache_write_5m_tokens, "
    "cache_write_1h_tokens, web_searches, service_tier, speed, web_fetches, branch, is_warmup "
    "FROM finishing c CROSS JOIN archive_response p ON p.session_id = c.id WHERE NOT is_synthetic"
)
_USAGE = (
    "id", "session_id", "day", "model", "branch", "is_warmup", "unpriced", "responses", "input_tokens",
    "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "web_searches",
    "web_fetches", "cost_pico",
)  # fmt: skip
_CALLS = (
    "SELECT t.session_id, CAST(strftime('%Y%m%d', t.started_ms / 1000, 'unixepoch') AS INTEGER) AS day, "
    "t.name, r.model, COALESCE(p.branch, ''), COUNT(*), SUM(t.is_error), "
    "SUM(CASE WHEN t.is_error THEN 0 ELSE t.lines_added END), "
    "SUM(CASE WHEN t.is_error THEN 0 ELSE t.lines_removed END) "
    "FROM finishing c CROSS JOIN archive_toolcall t ON t.session_id = c.id "
    "JOIN archive_record r ON r.id = t.record_id LEFT JOIN archive_response p ON p.id = r.response "
    "GROUP BY 1, 2, 3, 4, 5"
)
Days = dict[int, dict[int | None, list[int]]]
"""By session and day: active milliseconds, prompts."""


def prices_known(writer: Writer) -> PriceTable:
    """Return the prices by which this archive's costs are computed; the main database has the newest ones."""
    row = writer.connection.execute("SELECT value FROM archive_fact WHERE name = ?", (PRICES,)).fetchone()
    return PriceTable.from_json(row[0] if row else "[]")


def sums_make(writer: Writer, prices: PriceTable, days: Days) -> dict[int, dict[str, Any]]:
    """Make the sums of the sessions being finished anew; return their costs.

    Inside the caller's transaction. A session with a response that has no price has no cost.
    """
    _calls(writer)
    _days(writer, days)
    return {session: {"cost_micros": cost} for session, cost in _usage(writer, prices).items()}


def costs_refresh(writer: Writer, prices: PriceTable) -> int:
    """Where prices changed since costs were computed, compute all anew; return for how many sessions.

    In transactions of its own; killed in between, the next call begins again. Sessions whose
    rows are to be made anew are left to that.
    """
    if prices.as_json() == prices_known(writer).as_json():
        return 0
    query = "SELECT id FROM archive_session WHERE NOT is_stale ORDER BY id"
    sessions = [one for (one,) in writer.connection.execute(query)]
    for at in range(0, len(sessions), AT_ONCE):
        with writer.transaction():
            _refresh(writer, prices, sessions[at : at + AT_ONCE])
    with writer.transaction() as connection:
        connection.execute(
            "INSERT INTO archive_fact (id, name, value) VALUES (?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (writer.next_id("fact"), PRICES, prices.as_json()),
        )
    return len(sessions)


def _refresh(writer: Writer, prices: PriceTable, sessions: Sequence[int]) -> None:
    writer.connection.execute(_FINISHING)
    writer.connection.execute("DELETE FROM finishing")
    writer.connection.executemany("INSERT INTO finishing VALUES (?)", [(one,) for one in sessions])
    costs = dict.fromkeys(sessions, 0) | _usage(writer, prices)
    writer.connection.executemany(
        "UPDATE archive_session SET cost_micros = ? WHERE id = ?", [(costs[one], one) for one in sessions]
    )


def _usage(writer: Writer, prices: PriceTable) -> dict[int, int | None]:
    """Store the usage of the sessions being finished; return what each cost, None where a price lacks."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for session, *row in writer.connection.execute(_RESPONSES):
        cost, why = prices.cost(Used(*row[:10]))
        key = (session, row[1], row[0], row[11], bool(row[12]), why)
        total = sums.setdefault(key, [0] * 9)
        for place, value in enumerate((1, *row[2:8], row[10], cost)):
            total[place] += value
    _renew(writer, "usage", _USAGE, [(*key, *total) for key, total in sums.items()])
    costs: dict[int, int] = {}
    unknown: set[int] = set()
    for key, total in sums.items():
        costs[key[0]] = costs.get(key[0], 0) + total[-1]
        if key[5]:
            unknown.add(key[0])
    return {session: None if session in unknown else micros(cost) for session, cost in costs.items()}


def _calls(writer: Writer) -> None:
    columns = ("id", "session_id", "day", "tool", "model", "branch", "calls", "errors", "lines_added",
               "lines_removed")  # fmt: skip
    _renew(writer, "tooluse", columns, writer.connection.execute(_CALLS).fetchall())


def _days(writer: Writer, days: Days) -> None:
    rows = [(session, day, *sums) for session, found in days.items() for day, sums in found.items()]
    _renew(writer, "sessionday", ("id", "session_id", "day", "active_ms", "prompts"), rows)


def _renew(writer: Writer, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Put these rows in place of what the table holds of the sessions being finished."""
    writer.connection.execute(f"DELETE FROM archive_{table} WHERE session_id IN (SELECT id FROM finishing)")  # noqa: S608
    first = writer.ids(table, len(rows)) if rows else 0
    writer.insert(table, columns, [(first + place, *row) for place, row in enumerate(rows)])
