"""Which sessions a search reaches: what its user may see, narrowed by project, session, person, machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from django.db import connections
from django.db.models import QuerySet

from sparkweb.accounts.models import User
from transcripts_app.access import projects_visible
from transcripts_app.archive.models import Project, Session
from transcripts_app.models import ProjectAccess
from transcripts_app.models_keeping import SessionStar
from transcripts_app.search.query import Narrow, Query

IN_INDEX_MOST = 48
"""So many sessions are named in the index's expression; more are checked row by row."""


@dataclass(frozen=True)
class Scope:
    """`sessions`: None reaches everything, records without a session too."""

    sessions: frozenset[int] | None = None

    @property
    def is_nothing(self) -> bool:
        return self.sessions is not None and not self.sessions

    @property
    def facets(self) -> tuple[str, ...]:
        """Words of the index that stand for the sessions, where these are few."""
        if self.sessions is None or len(self.sessions) > IN_INDEX_MOST:
            return ()
        return tuple(f"s{session}" for session in sorted(self.sessions))

    def has(self, session: int | None) -> bool:
        """Whether a record of this session may be shown."""
        return self.sessions is None or session in self.sessions

    def sessions_of(self, sessions: QuerySet[Session]) -> QuerySet[Session]:
        """Those of a list of sessions that may be shown, however many."""
        if self.sessions is None:
            return sessions
        within = "archive_session.id IN (SELECT value FROM json_each(%s))"
        return sessions.extra(where=[within], params=[json.dumps(sorted(self.sessions))])  # noqa: S610


def scope_of(user: User | None, query: Query) -> Scope:
    """Return what a search of this user reaches; None is whoever owns the machine."""
    visible = projects_visible(user) if user else None
    narrows = [one for one in query.narrow if one.name == "is" or one.name in _CONDITIONS]
    if visible is None and not narrows:
        return Scope()
    wanted: list[str] = []
    parameters: list[Any] = []
    if visible is not None:
        wanted.append("project_id IN (SELECT value FROM json_each(?))")
        parameters.append(json.dumps(sorted(visible)))
    for narrow in narrows:
        condition, values = _states(narrow, user) if narrow.name == "is" else _CONDITIONS[narrow.name](narrow)
        wanted.append(f"NOT ({condition})" if narrow.is_not else f"({condition})")
        parameters.extend(values)
    rows = archive().execute(
        f"SELECT id FROM archive_session WHERE {' AND '.join(wanted)}",  # noqa: S608
        parameters,
    )
    return Scope(frozenset(row[0] for row in rows))


def archive() -> Any:
    """The thread's own connection to the archive, as `sqlite3` has it."""
    connection = connections["archive"]
    connection.ensure_connection()
    return connection.connection


def like(value: str, *names: str) -> bool:
    """Whether a value with `*` and `?` is one of the names, or without them stands in one; case is alike."""
    wanted, known = value.lower(), [name.lower() for name in names]
    if any(letter in wanted for letter in "*?"):
        return any(fnmatchcase(name, wanted.replace("[", "[[]")) for name in known)
    return any(wanted in name for name in known)


def _of_projects(ids: Iterable[int]) -> tuple[str, list[Any]]:
    return "project_id IN (SELECT value FROM json_each(?))", [json.dumps(sorted(ids))]


def _project(narrow: Narrow) -> tuple[str, list[Any]]:
    """By name or key where one is called exactly so, else by a part of name or path."""
    rows = list(Project.objects.values_list("pk", "key", "name", "path"))
    found: set[int] = set()
    for value in narrow.values:
        exact = {pk for pk, key, name, path in rows if value.lower() in (key, name.lower(), path.lower())}
        found |= exact or {pk for pk, _, name, path in rows if like(value, name, path)}
    return _of_projects(found)


def _session(narrow: Narrow) -> tuple[str, list[Any]]:
    values = [value.lower() for value in narrow.values]
    wanted = " OR ".join(
        "key = ? OR session_id = ? OR (? >= 6 AND substr(session_id, 1, ?) = ?)" for _ in values
    )
    return wanted, [part for one in values for part in (one, one, len(one), len(one), one)]


def _user(narrow: Narrow) -> tuple[str, list[Any]]:
    """Projects that somebody owns, or whose source is theirs."""
    rows = ProjectAccess.objects.exclude(owner=None).values_list("project_key", "owner__username")
    keys = [key for key, name in rows if any(name.lower() == value.lower() for value in narrow.values)]
    ids = set(Project.objects.filter(key__in=keys).values_list("pk", flat=True))
    sent = Session.objects.filter(source__owner__in=narrow.values).values_list("project", flat=True)
    return _of_projects(ids | set(sent))


def _node(narrow: Narrow) -> tuple[str, list[Any]]:
    rows = Project.objects.values_list("pk", "node")
    return _of_projects(pk for pk, node in rows if any(like(value, node) for value in narrow.values))


def _states(narrow: Narrow, user: User | None) -> tuple[str, list[Any]]:
    """Warm-ups; sessions that the user starred, or a message of them."""
    wanted, given = [], []
    if "warmup" in narrow.values:
        wanted.append("is_warmup")
    if "starred" in narrow.values:
        keys = SessionStar.objects.filter(user=user).values_list("session_key", flat=True) if user else ()
        wanted.append("key IN (SELECT value FROM json_each(?))")
        given.append(json.dumps(sorted(set(keys))))
    return " OR ".join(wanted), given


_CONDITIONS: dict[str, Callable[[Narrow], tuple[str, list[Any]]]] = {
    "project": _project,
    "session": _session,
    "user": _user,
    "node": _node,
}
