"""Names that stand in the archive: months, models, branches, tools; and the words of the index for them."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from transcripts_app.archive.models import Session
from transcripts_app.format.facets import branch_facet, model_facet, tool_facet
from transcripts_app.search.scope import Scope, archive, like

_MONTH = re.compile(r"d(\d{4})(\d{2})")
_QUERIES = {
    "model": ("response", "SELECT DISTINCT model FROM archive_response"),
    "branch": ("response", "SELECT DISTINCT branch FROM archive_response"),
    "tool": ("toolcall", "SELECT DISTINCT name FROM archive_toolcall"),
}
_FACETS: dict[str, Callable[[str], str]] = {"model": model_facet, "branch": branch_facet, "tool": tool_facet}
_kept: dict[str, tuple[tuple[str, int], list[str]]] = {}


@dataclass(frozen=True)
class Month:
    """A month that records are of: its facet, and from when up to when (milliseconds, the end not within)."""

    word: str
    begin_ms: int
    end_ms: int


def months_known(connection: sqlite3.Connection) -> list[Month]:
    """Return the months that the index knows, oldest first. Source: sqlite.org/fts5.html, "fts5vocab"."""
    connection.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.archive_terms "
        "USING fts5vocab('main', 'archive_search', 'row')"
    )
    rows = connection.execute("SELECT term FROM temp.archive_terms WHERE term >= 'd0' AND term < 'd:'")
    months = [_month(found) for (term,) in rows if (found := _MONTH.fullmatch(term))]
    return [month for month in months if month is not None]


def _month(found: re.Match[str]) -> Month | None:
    """None for what only looks like a month: words of the text stand in the index too."""
    year, month = int(found[1]), int(found[2])
    try:
        begin = datetime(year, month, 1, tzinfo=UTC)
        end_ms = (datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)).timestamp() * 1000
    except ValueError:
        return None
    return Month(found[0], round(begin.timestamp() * 1000), round(end_ms))


def names_like(name: str, value: str) -> list[str]:
    """Return the facets of every model, branch or tool that a filter's value means."""
    known = _names(name)
    if name == "branch" and "*" not in value and "?" not in value:
        return [branch_facet(value)]
    if name == "branch":
        wanted = value.replace("[", "[[]")
        return [branch_facet(one) for one in known if fnmatchcase(one, wanted)]
    return [_FACETS[name](one) for one in known if like(value, one)]


def _names(name: str) -> list[str]:
    """All names of a kind, read again once there are new rows."""
    table, query = _QUERIES[name]
    connection = archive()
    file = connection.execute("PRAGMA database_list").fetchone()[2]
    state = (file, connection.execute(f"SELECT COALESCE(MAX(id), 0) FROM archive_{table}").fetchone()[0])  # noqa: S608
    kept = _kept.get(name)
    if kept is None or kept[0] != state:
        kept = _kept[name] = (state, [row[0] for row in connection.execute(query) if row[0]])
    return kept[1]


def values_of(name: str, scope: Scope, most: int = 200) -> list[str]:
    """Return the values that a filter can take within a scope, the commonest first, for suggestions."""
    sessions = None if scope.sessions is None else json.dumps(sorted(scope.sessions))
    within = "" if sessions is None else " WHERE session_id IN (SELECT value FROM json_each(?))"
    given = [] if sessions is None else [sessions]
    if name in _QUERIES:
        table, _ = _QUERIES[name]
        column = "name" if name == "tool" else name
        rows = archive().execute(
            f"SELECT {column} FROM archive_{table}{within} GROUP BY {column} "  # noqa: S608
            "ORDER BY COUNT(*) DESC LIMIT ?",
            [*given, most],
        )
        return [row[0] for row in rows if row[0]]
    column = {"project": "project__name", "node": "project__node", "user": "source__owner"}.get(name, "")
    if not column:
        return []
    found = scope.sessions_of(Session.objects.all())
    return list(
        found.exclude(**{column: ""}).order_by(column).values_list(column, flat=True).distinct()[:most]
    )
