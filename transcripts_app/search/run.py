"""Running a search on the archive's index: ranked or by time, paged, counted as far as is cheap.

What a user may not see is left out inside the query, so that no count tells of it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sparkweb.accounts.models import User
from transcripts_app.archive.models import moment
from transcripts_app.search.match import facet_any, match_of
from transcripts_app.search.names import months_known, names_like
from transcripts_app.search.query import Narrow, Query
from transcripts_app.search.scope import Scope, archive, scope_of
from transcripts_app.search.time_limit import TooLong, time_limit

PAGE_ROWS = 20
OFFSET_MOST = 1_000
COUNTED_MOST = 10_000
RANKED_MOST = 50_000
SORTED_MOST = 4_000
MONTHS_MOST = 36
SECONDS_MOST = 2.0
EXPORT_SECONDS_MOST = 60.0
NEVER = -(2**62)
BEST_FIRST = "bm25(archive_search, 1.0, 0.0), archive_search.rowid DESC"
"""With a LIMIT, SQLite's own sorter keeps the best only; FTS5's `ORDER BY rank` sorts every match first."""
RANK, NEWEST, OLDEST = "rank", "newest", "oldest"
SORTS = (RANK, NEWEST, OLDEST)


@dataclass(frozen=True)
class Place:
    """Where a page of a search by time begins: behind this moment and record."""

    at_ms: int
    record: int

    def __str__(self) -> str:
        return f"{self.at_ms}.{self.record}"

    @classmethod
    def read(cls, text: str) -> Place | None:
        """Return the place that `str` wrote; None for anything else."""
        at, _, record = text.partition(".")
        if len(text) > 40 or not record.isdigit() or not at.removeprefix("-").isdigit() or not text.isascii():
            return None
        return cls(max(NEVER, min(int(at), -NEVER)), min(int(record), -NEVER))


@dataclass(frozen=True)
class Found:
    """One page of what was found, as ids of records in order.

    `total` counts up to COUNTED_MOST; `more_than` says that there are more. `ranked`: only so many,
    those read last, were ranked. `stopped`: the time was over; by time, `looked_back_to` says how far.
    """

    records: tuple[int, ...] = ()
    total: int = 0
    more_than: bool = False
    ranked: int | None = None
    stopped: bool = False
    looked_to: datetime | None = None
    sort: str = RANK
    next_place: Place | None = None
    next_offset: int | None = None


@dataclass
class Search:
    """A query of a user, ready to run. Not shared between threads."""

    query: Query
    user: User | None  # None: a command of whoever owns the machine, who sees everything
    scope: Scope = field(init=False)
    match: str = field(init=False)
    where: str = field(init=False)
    parameters: list[Any] = field(init=False)
    needs_row: bool = field(init=False)

    def __post_init__(self) -> None:
        self.scope = scope_of(self.user, self.query)
        self._connection: sqlite3.Connection = archive()
        also = [facet_any(self.scope.facets)] if self.scope.facets else []
        also += self._months_within()
        self.match = match_of(self.query.match, names_like, also)
        conditions = list(_conditions(self.query, self.scope))
        self.needs_row = bool(conditions)
        self.where = "".join(f" AND {condition}" for condition, _ in conditions)
        self.parameters = [value for _, values in conditions for value in values]

    def page(
        self, sort: str = "", *, rows: int = PAGE_ROWS, offset: int = 0, place: Place | None = None
    ) -> Found:
        """Return one page. By rank from `offset` on, by time behind `place`. Without words: by time."""
        if self.query.is_empty or self.scope.is_nothing:
            return Found(sort=sort or RANK)
        if not self.query.has_words:
            sort = OLDEST if sort == OLDEST else NEWEST
        try:
            with time_limit(self._connection, SECONDS_MOST):
                candidates = self._count(RANKED_MOST, self._rows_first)
                total = self._count(COUNTED_MOST, self.needs_row) if self.needs_row else candidates
        except TooLong:
            return Found(stopped=True, sort=sort or RANK)
        count = {"total": min(total, COUNTED_MOST), "more_than": total > COUNTED_MOST}
        if sort in (NEWEST, OLDEST):
            return self._by_time(sort, rows, place, candidates, count)
        return self._by_rank(rows, min(offset, OFFSET_MOST), candidates, count)

    def rows(self, columns: str, most: int) -> list[tuple[Any, ...]]:
        """Return columns of `archive_record r` of so many matches, those read last. Raises TooLong."""
        if self.query.is_empty or self.scope.is_nothing:
            return []
        query = f"SELECT {columns} {self._from(True)} ORDER BY archive_search.rowid DESC LIMIT ?"
        with time_limit(self._connection, SECONDS_MOST):
            return list(self._connection.execute(query, [self.match, *self.parameters, most]))

    def sessions(self, most: int) -> list[int]:
        """Return so many sessions that hold a match, as ids. Raises TooLong."""
        if self.query.is_empty or self.scope.is_nothing:
            return []
        query = f"SELECT DISTINCT r.session_id {self._from(True)} AND r.session_id IS NOT NULL LIMIT ?"
        with time_limit(self._connection, EXPORT_SECONDS_MOST):
            rows = self._connection.execute(query, [self.match, *self.parameters, most])
            return [row[0] for row in rows]

    def _months_within(self) -> list[str]:
        """Months that dates reach, as an expression: it lets the index skip the others."""
        after, before = self.query.after_ms, self.query.before_ms
        if after is None and before is None:
            return []
        words = [
            month.word
            for month in months_known(self._connection)
            if (after is None or month.end_ms > after) and (before is None or month.begin_ms < before)
        ]
        return [facet_any(words)] if len(words) <= MONTHS_MOST else []

    def _from(self, with_row: bool) -> str:
        joined = " CROSS JOIN archive_record r ON r.id = archive_search.rowid" if with_row else ""
        return f"FROM archive_search{joined} WHERE archive_search MATCH ?{self.where if with_row else ''}"

    @property
    def _rows_first(self) -> bool:
        """Whether even the size of a search is counted by rows: it must not tell of what is hidden."""
        return self.scope.sessions is not None and not self.scope.facets

    def _count(self, most: int, with_row: bool) -> int:
        """Count up to one more than `most`."""
        query = f"SELECT COUNT(*) FROM (SELECT 1 {self._from(with_row)} LIMIT ?)"  # noqa: S608
        given = [self.match, *(self.parameters if with_row else []), most + 1]
        return int(self._connection.execute(query, given).fetchone()[0])

    def _by_rank(self, rows: int, offset: int, candidates: int, count: dict[str, Any]) -> Found:
        """Rank every match, or where they are too many those read last: the page says so."""
        query = f"SELECT archive_search.rowid {self._from(self.needs_row)}"
        given: list[Any] = [self.match]
        given += self.parameters if self.needs_row else []
        ranked = RANKED_MOST if candidates > RANKED_MOST else None
        try:
            with time_limit(self._connection, SECONDS_MOST):
                if ranked:
                    query += " AND archive_search.rowid >= ?"
                    given.append(self._cut(ranked))
                query += f" ORDER BY {BEST_FIRST} LIMIT ? OFFSET ?"
                found = [row[0] for row in self._connection.execute(query, [*given, rows + 1, offset])]
        except TooLong:
            return Found(**count, stopped=True)
        more = len(found) > rows and offset + rows <= OFFSET_MOST
        return Found(tuple(found[:rows]), **count, ranked=ranked, next_offset=offset + rows if more else None)

    def _cut(self, most: int) -> int:
        """The record that begins the last `most` matches."""
        with_row = self._rows_first
        query = (
            f"SELECT archive_search.rowid {self._from(with_row)} "
            "ORDER BY archive_search.rowid DESC LIMIT 1 OFFSET ?"
        )
        given = [self.match, *(self.parameters if with_row else []), most - 1]
        row = self._connection.execute(query, given).fetchone()
        return int(row[0]) if row else 0

    def _by_time(
        self, sort: str, rows: int, place: Place | None, candidates: int, count: dict[str, Any]
    ) -> Found:
        """Few matches are sorted at once, many month by month until the page is full."""
        found: list[tuple[int, int]] = []
        looked_to: datetime | None = None
        stopped = False
        try:
            with time_limit(self._connection, SECONDS_MOST):
                for match, month_ms in self._windows(sort, place, candidates):
                    found += self._window(match, sort, rows + 1 - len(found), place)
                    if len(found) > rows:
                        break
                    looked_to = moment(month_ms)
        except TooLong:
            stopped = True
        page = found[:rows]
        more = len(found) > rows
        behind = Place(page[-1][1], page[-1][0]) if more else None
        return Found(
            tuple(record for record, _ in page), **count, sort=sort, next_place=behind, stopped=stopped,
            looked_to=looked_to if stopped else None,
        )  # fmt: skip

    def _windows(self, sort: str, place: Place | None, candidates: int) -> Iterator[tuple[str, int | None]]:
        """Parts of the matches that lie one behind the other in time, each with where it begins."""
        if candidates <= SORTED_MOST:
            yield self.match, None
            return
        months = months_known(self._connection)
        for month in months if sort == OLDEST else reversed(months):
            if place and (month.end_ms <= place.at_ms if sort == OLDEST else month.begin_ms > place.at_ms):
                continue
            yield f"({self.match}) AND {facet_any([month.word])}", month.begin_ms
        yield f"({self.match}) NOT {facet_any(month.word for month in months)}", None

    def _window(self, match: str, sort: str, rows: int, place: Place | None) -> list[tuple[int, int]]:
        """Return record and moment; those without a moment come last, whichever way time runs."""
        never, way, side = (NEVER, "DESC", "<") if sort == NEWEST else (-NEVER, "ASC", ">")
        at = f"COALESCE(r.at_ms, {never})"
        query = f"SELECT r.id, {at} {self._from(True)}"
        given = [match, *self.parameters]
        if place:
            query += f" AND ({at}, r.id) {side} (?, ?)"
            given += [place.at_ms, place.record]
        query += f" ORDER BY {at} {way}, r.id {way} LIMIT ?"
        return list(self._connection.execute(query, [*given, rows]))


def _conditions(query: Query, scope: Scope) -> Iterator[tuple[str, list[Any]]]:
    """What a record's row must fulfil beside what the index answers."""
    if scope.sessions is not None and not scope.facets:
        yield "r.session_id IN (SELECT value FROM json_each(?))", [json.dumps(sorted(scope.sessions))]
    if query.after_ms is not None:
        yield "r.at_ms >= ?", [query.after_ms]
    if query.before_ms is not None:
        yield "r.at_ms < ?", [query.before_ms]
    for narrow in query.narrow:
        if narrow.name == "path":
            yield _path(narrow)


def _path(narrow: Narrow) -> tuple[str, list[Any]]:
    """Calls that read or change a file, and their results, by glob over the paths that calls name.

    `+` keeps SQLite from asking the index row by row.
    """
    globs = [glob for value in narrow.values for glob in path_globs(value)]
    wanted = " OR ".join("path GLOB ?" for _ in globs)
    no = "NOT " if narrow.is_not else ""
    return (
        f"+r.id {no}IN (WITH found AS MATERIALIZED (SELECT record_id, result_id FROM archive_toolcall "  # noqa: S608
        f"WHERE path > '' AND ({wanted})) SELECT record_id FROM found "
        "UNION ALL SELECT result_id FROM found WHERE result_id IS NOT NULL)",
        globs,
    )


def path_globs(value: str) -> list[str]:
    """`basket.py` is any such file, `src/` all below, `/home/a.py` that one; `*` and `?` are free."""
    glob = value.replace("[", "[[]")
    if glob.endswith("/"):
        glob += "*"
    return [glob] if glob.startswith(("/", "*")) else [glob, f"*/{glob}"]
