"""Sums over what a user may see: of everything, and by day, project, model, branch, user or tool.

The sums of each session lie ready in the archive (archive/models_figures.py), so that figures of
thousands of sessions are a matter of milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connections

from sparkweb.accounts.models import User
from transcripts_app.access import projects_visible
from transcripts_app.figures import CALLS, USAGE, Figures, Wanted, day_ms, day_words
from transcripts_app.models import ProjectAccess
from transcripts_app.prices import micros

DAY_MS = 86_400_000
_SESSION = "JOIN archive_session s ON s.id = u.session_id"
_AROUND = (
    ("p.", "JOIN archive_project p ON p.id = s.project_id"),
    ("c.", "JOIN archive_source c ON c.id = s.source_id"),
)
_FIELDS = {
    "usage": ("model", "branch"),
    "tooluse": ("model", "branch", "tool"),
    "sessionday": (),
    "session": (),
}
_WARMUP = "SUM(CASE WHEN u.is_warmup THEN {} ELSE 0 END)"
_CALL_SUMS = "SUM(u.calls), SUM(u.errors), SUM(u.lines_added), SUM(u.lines_removed)"

Row = tuple[Any, ...]


@dataclass(frozen=True)
class _Where:
    """Conditions that hold together, and what stands for their %s."""

    parts: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()

    def also(self, part: str, *values: Any) -> _Where:
        return _Where((*self.parts, part), (*self.values, *values))

    def __str__(self) -> str:
        return " AND ".join(self.parts) or "1 = 1"


class FigureReader:
    """Figures that one user may see, narrowed once, grouped as often as needed."""

    def __init__(self, user: User, wanted: Wanted) -> None:
        self.wanted = wanted
        self.owners = _owners()
        self._visible = _visible(user)
        self._sessions = self._narrowed()

    def total(self) -> Figures:
        """Return the figures of all that is wanted."""
        total = self._grouped("''", "''").get("", Figures())
        where = self._of("usage").also("u.unpriced <> ''")
        for why, count in _rows("usage", "u.unpriced, SUM(u.responses)", where, "GROUP BY 1 ORDER BY 2 DESC"):
            total.why_unpriced[str(why)] = int(count)
        days = self._days()
        total.active_ms, total.prompts = sum(row[1] for row in days), sum(row[2] for row in days)
        total.files_touched = self._files()
        return total

    def by(self, dimension: str) -> list[Figures]:
        """Return a row each; the most costly first, days in their order."""
        if dimension == "tool":
            return self._by_tool()
        if dimension == "day":
            return self._by_day()
        if dimension in ("project", "user"):
            rows = self._by_owner(dimension)
        else:
            grouped = self._grouped(f"u.{dimension}", f"u.{dimension}")
            for key, row in grouped.items():
                row.name = key or "(none)"
            rows = list(grouped.values())
        return sorted(rows, key=lambda row: (-row.cost_micros, -row.tokens, -row.tool_calls, row.name))

    def choices(self) -> dict[str, list[tuple[str, str]]]:
        """Return what there is to filter by, of all that the user may see: value and name."""
        found: dict[str, list[tuple[str, str]]] = {}
        for name, table in (("model", "usage"), ("branch", "usage"), ("tool", "tooluse")):
            rows = _rows(table, f"DISTINCT u.{name}", self._visible, "ORDER BY 1")
            found[name] = [(str(value), str(value)) for (value,) in rows if value]
        owned = _rows("session", "DISTINCT p.key, p.name, c.owner", self._visible, "ORDER BY p.name, p.key")
        found["project"] = list(dict.fromkeys((str(key), str(name)) for key, name, _ in owned))
        users = {self.owners.get(str(key), str(owner)) for key, _, owner in owned} - {""}
        found["user"] = [(name, name) for name in sorted(users)]
        return found

    # Narrowing

    def _narrowed(self) -> _Where:
        wanted, where = self.wanted, self._visible
        if wanted.project:
            where = where.also("p.key = %s", wanted.project)
        if wanted.user:
            own = [key for key, owner in self.owners.items() if owner == wanted.user]
            where = where.also(
                f"(p.key IN ({_marks(own)}) OR (c.owner = %s AND p.key NOT IN ({_marks(self.owners, 'x')})))",
                *own, wanted.user, *self.owners,
            )  # fmt: skip
        if wanted.tool:
            where = where.also(
                "EXISTS (SELECT 1 FROM archive_tooluse w WHERE w.session_id = s.id AND w.tool = %s)",
                wanted.tool,
            )
        return where

    def _of(self, table: str) -> _Where:
        """What is wanted of the rows of one table."""
        where = self._sessions
        if self.wanted.since is not None:
            where = where.also("u.day >= %s", self.wanted.since)
        if self.wanted.until is not None:
            where = where.also("u.day <= %s", self.wanted.until)
        for name in _FIELDS[table]:
            if value := getattr(self.wanted, name):
                where = where.also(f"u.{name} = %s", value)
        return where

    # Grouping

    def _grouped(self, usage_key: str, tools_key: str) -> dict[str, Figures]:
        """Return a row per key: expressions over usage or calls (u), session (s), project (p), source (c)."""
        found: dict[str, Figures] = {}
        columns = (
            f"{usage_key}, COUNT(DISTINCT u.session_id), SUM(u.cost_pico), "
            "SUM(CASE WHEN u.unpriced <> '' THEN u.responses ELSE 0 END), "
            f"{_WARMUP.format('u.responses')}, {_WARMUP.format('u.cost_pico')}, "
            + ", ".join(f"SUM(u.{name})" for name in USAGE)
        )
        for key, sessions, cost, unpriced, warm, warm_cost, *sums in _rows(
            "usage", columns, self._of("usage"), "GROUP BY 1"
        ):
            if not sessions:
                continue
            row = found[_text(key)] = Figures(_text(key), sessions=sessions, cost_micros=micros(cost))
            row.unpriced, row.warmup_responses, row.warmup_cost_micros = unpriced, warm, micros(warm_cost)
            for name, value in zip(USAGE, sums, strict=True):
                setattr(row, name, value)
        for key, *sums in _rows("tooluse", f"{tools_key}, {_CALL_SUMS}", self._of("tooluse"), "GROUP BY 1"):
            if sums[0]:
                row = found.setdefault(_text(key), Figures(_text(key)))
                for name, value in zip(CALLS, sums, strict=True):
                    setattr(row, name, value)
        return found

    def _by_day(self) -> list[Figures]:
        rows = self._grouped("u.day", "u.day")
        for day, active, prompts in self._days():
            row = rows.setdefault(_text(day), Figures(_text(day)))
            row.active_ms, row.prompts = active, prompts
        for row in rows.values():
            row.name = day_words(row.key) or "(no date)"
        return sorted(rows.values(), key=lambda row: row.key)

    def _by_owner(self, dimension: str) -> list[Figures]:
        """Rows of projects, or of who owns them: the owner set here, else that of the source."""
        key = "p.key || ' ' || c.owner || char(10) || p.path"
        found: dict[str, Figures] = {}
        for told, row in self._grouped(key, key).items():
            front, _, path = told.partition("\n")
            project, _, owner = front.partition(" ")
            owner = self.owners.get(project, owner)
            one, name = (project, path) if dimension == "project" else (owner, owner or "(nobody)")
            found.setdefault(one, Figures(one, name)).add(row)
        return list(found.values())

    def _by_tool(self) -> list[Figures]:
        columns = f"u.tool, COUNT(DISTINCT u.session_id), {_CALL_SUMS}"
        rows = _rows("tooluse", columns, self._of("tooluse"), "GROUP BY 1 ORDER BY 3 DESC, 1")
        return [
            Figures(tool, tool or "(none)", sessions, tool_calls=calls, tool_errors=errors, lines_added=added,
                    lines_removed=removed)
            for tool, sessions, calls, errors, added, removed in rows
        ]  # fmt: skip

    def _days(self) -> list[Row]:
        """Days, active milliseconds, prompts. With a model or branch: of sessions that used it then."""
        where = self._of("sessionday")
        for name in ("model", "branch"):
            if value := getattr(self.wanted, name):
                where = where.also(
                    "EXISTS (SELECT 1 FROM archive_usage w WHERE w.session_id = u.session_id "  # noqa: S608
                    f"AND w.day IS u.day AND w.{name} = %s)", value,
                )  # fmt: skip
        return _rows("sessionday", "u.day, SUM(u.active_ms), SUM(u.prompts)", where, "GROUP BY 1")

    def _files(self) -> int:
        """How many files were changed, each once."""
        where = self._sessions.also("u.operation IN ('write', 'edit') AND NOT u.is_error AND u.path <> ''")
        if self.wanted.since is not None:
            where = where.also("u.started_ms >= %s", day_ms(self.wanted.since))
        if self.wanted.until is not None:
            where = where.also("u.started_ms < %s", day_ms(self.wanted.until) + DAY_MS)
        for name in ("model", "branch"):
            if value := getattr(self.wanted, name):
                where = where.also(
                    "EXISTS (SELECT 1 FROM archive_record r "  # noqa: S608 - names of ours
                    "JOIN archive_response w ON w.id = r.response "
                    f"WHERE r.id = u.record_id AND w.{name} = %s)", value,
                )  # fmt: skip
        if self.wanted.tool:
            where = where.also("u.name = %s", self.wanted.tool)
        return len(_rows("toolcall", "DISTINCT p.node, u.path", where, ""))


def _rows(table: str, columns: str, where: _Where, tail: str) -> list[Row]:
    """Select from a table of sums (u), joined as needed to its session (s), project (p) and source (c)."""
    told = f"{columns} {where}"
    joins = [join for name, join in _AROUND if re.search(rf"\b{re.escape(name)}", told)]
    if joins or re.search(r"\bs\.", told):
        joins.insert(0, _SESSION.replace("u.session_id", "u.id") if table == "session" else _SESSION)
    query = f"SELECT {columns} FROM archive_{table} u {' '.join(joins)} WHERE {where} {tail}"  # noqa: S608
    with connections["archive"].cursor() as cursor:
        cursor.execute(query, where.values)
        return list(cursor.fetchall())


def _visible(user: User) -> _Where:
    visible = projects_visible(user)
    if visible is None:
        return _Where()
    return _Where((f"s.project_id IN ({_marks(visible)})",), tuple(sorted(visible)))


def _owners() -> dict[str, str]:
    """Who owns a project, where that was settled here: project key to user name."""
    rows = ProjectAccess.objects.exclude(owner=None).values_list("project_key", "owner__username")
    return {key: str(name) for key, name in rows}


def _marks(values: Iterable[Any], empty: str = "") -> str:
    """Marks for IN; what stands for none is no key."""
    return ", ".join("%s" for _ in values) or f"'{empty}'"


def _text(key: Any) -> str:
    return "" if key is None else str(key)
