"""Failed tool calls and errors of the API, across the projects that somebody may see."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from django.db import connections
from django.db.models import Q

from sparkweb.accounts.models import User
from transcripts_app.access import projects_visible
from transcripts_app.archive.models import Project, Record, ToolCall
from transcripts_app.archive.router import ARCHIVE
from transcripts_app.insight.atlas import Failure, Group, grouped, message_normal

DAY_MS = 86_400_000
SPANS = (7, 30, 90, 365)
FOLLOWED_MOST = 20  # of a group's newest failures are looked at for what followed
OCCURRENCES_SHOWN = 100
IDS_AT_ONCE = 500
PROJECTS_MOST = 500


@dataclass(frozen=True, slots=True)
class ErrorFilter:
    """Which failures are asked for; empty means all. `days` back from now, 0 for ever."""

    kind: str = ""  # tool, api
    tool: str = ""
    project: str = ""  # key
    model: str = ""
    text: str = ""
    days: int = 0


@dataclass(slots=True)
class Followed:
    """What came after a failure: the same tool (on the same file) again, and after how many responses it
    worked. `turns` None: it did not work any more in that transcript."""

    is_retried: bool
    turns: int | None


@dataclass(slots=True)
class Atlas:
    """Groups of failures, and what the filters can be set to."""

    groups: list[Group]
    total: int
    sessions: int
    start_ms: int
    end_ms: int
    tools: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    projects: list[Project] = field(default_factory=list)

    def group(self, key: str) -> Group | None:
        return next((group for group in self.groups if group.key == key), None)


def atlas_read(user: User, wanted: ErrorFilter, *, newest: int = FOLLOWED_MOST) -> Atlas:
    """Return failures in groups, the largest first, each with its `newest` ones."""
    now = time.time_ns() // 1_000_000
    everything = failures_read(user, replace(wanted, tool="", model="", text=""), now)
    found = [one for one in everything if _fits(one, wanted)]
    known = [one.at_ms for one in found if one.at_ms is not None and one.at_ms <= now]
    start = now - wanted.days * DAY_MS if wanted.days else min(known, default=now - DAY_MS)
    groups = grouped(found, start, now, newest)
    keys = {one.project for one in everything}
    return Atlas(
        groups, len(found), len({one.session for one in found}), start, now,
        tools=sorted({one.tool for one in everything if one.tool}),
        models=sorted({one.model for one in everything if one.model}),
        projects=sorted(_projects(user, keys, wanted.project), key=lambda one: one.name.lower()),
    )  # fmt: skip


def failures_read(user: User, wanted: ErrorFilter, now_ms: int) -> list[Failure]:
    """Return failures of visible projects: of calls, and of the API; unordered. Copies do not count twice."""
    visible = projects_visible(user)
    since = now_ms - wanted.days * DAY_MS if wanted.days else None
    failures: list[Failure] = []
    if wanted.kind != "api":
        calls = ToolCall.objects.filter(is_error=True)
        calls = calls if visible is None else calls.filter(session__project__in=visible)
        calls = calls.filter(session__project__key=wanted.project) if wanted.project else calls
        calls = calls if since is None else calls.filter(started_ms__gte=since)
        rows = calls.values_list(
            "pk", "record_id", "session__key", "session__project__key", "name", "record__model", "started_ms",
            "error",
        )  # fmt: skip
        failures += [Failure("tool", *row) for row in rows.iterator(chunk_size=2000)]
    if wanted.kind != "tool":
        records = Record.objects.filter(is_error=True, subtype="api_error", copy_of=None)
        records = records.exclude(session=None)
        records = records if visible is None else records.filter(session__project__in=visible)
        records = records.filter(session__project__key=wanted.project) if wanted.project else records
        records = records if since is None else records.filter(at_ms__gte=since)
        told = records.values_list("pk", "session__key", "session__project__key", "model", "at_ms", "preview")
        failures += [
            Failure("api", pk, pk, session, project, "", model, at_ms, message)
            for pk, session, project, model, at_ms, message in told.iterator(chunk_size=2000)
        ]
    return failures


def _fits(one: Failure, wanted: ErrorFilter) -> bool:
    if wanted.tool and one.tool != wanted.tool:
        return False
    if wanted.model and one.model != wanted.model:
        return False
    text = wanted.text.lower()
    return not text or text in one.message.lower() or text in message_normal(one.message).lower()


def _projects(user: User, keys: set[str], chosen: str) -> list[Project]:
    """Projects that have failures; with one chosen, the others too, so that another can be chosen."""
    visible = projects_visible(user)
    projects = Project.objects.all() if visible is None else Project.objects.filter(pk__in=visible)
    if not chosen:
        return list(projects.filter(key__in=sorted(keys)[:PROJECTS_MOST]))
    failing = ToolCall.objects.filter(is_error=True).values("session__project")
    return list(projects.filter(Q(pk__in=failing) | Q(key=chosen))[:PROJECTS_MOST])


FOLLOWED_CALLS = """
WITH failed AS (
  SELECT c.id, c.session_id, c.name, c.path, r.file_id, r.line
  FROM archive_toolcall c JOIN archive_record r ON r.id = c.record_id WHERE c.id IN ({marks})
), after AS (
  SELECT f.*,
    EXISTS (SELECT 1 FROM archive_toolcall n JOIN archive_record m ON m.id = n.record_id
      WHERE n.session_id = f.session_id AND n.id > f.id AND n.name = f.name AND n.path = f.path
        AND m.file_id = f.file_id AND m.line > f.line) AS retried,
    (SELECT MIN(m.line) FROM archive_toolcall n JOIN archive_record m ON m.id = n.record_id
      WHERE n.session_id = f.session_id AND n.id > f.id AND n.name = f.name AND n.path = f.path
        AND NOT n.is_error AND n.result_id IS NOT NULL
        AND m.file_id = f.file_id AND m.line > f.line) AS worked
  FROM failed f
)
SELECT id, retried, CASE WHEN worked IS NULL THEN NULL ELSE (
  SELECT COUNT(DISTINCT response) FROM archive_record r
  WHERE r.file_id = after.file_id AND r.line > after.line AND r.line <= after.worked AND response IS NOT NULL
) END FROM after
"""

FOLLOWED_API = """
WITH failed AS (
  SELECT id, file_id, line FROM archive_record WHERE id IN ({marks})
), after AS (
  SELECT f.*, (SELECT MIN(r.line) FROM archive_record r WHERE r.file_id = f.file_id AND r.line > f.line
    AND r.response IS NOT NULL AND NOT r.is_error AND NOT r.is_synthetic) AS worked
  FROM failed f
)
SELECT id, worked IS NOT NULL OR EXISTS (SELECT 1 FROM archive_record r WHERE r.file_id = after.file_id
    AND r.line > after.line AND r.is_error AND r.subtype = 'api_error'),
  CASE WHEN worked IS NULL THEN NULL ELSE 1 + (
    SELECT COUNT(*) FROM archive_record r WHERE r.file_id = after.file_id AND r.line > after.line
      AND r.line < after.worked AND r.is_error AND r.subtype = 'api_error') END
FROM after
"""


def followed_read(failures: list[Failure]) -> dict[tuple[str, int], Followed]:
    """Return what came after each of these failures, in its own transcript, by kind and id."""
    found: dict[tuple[str, int], Followed] = {}
    for kind, query in (("tool", FOLLOWED_CALLS), ("api", FOLLOWED_API)):
        ids = [one.id for one in failures if one.kind == kind]
        for at in range(0, len(ids), IDS_AT_ONCE):
            part = ids[at : at + IDS_AT_ONCE]
            with connections[ARCHIVE].cursor() as cursor:
                cursor.execute(query.format(marks=", ".join(["%s"] * len(part))), part)
                for number, retried, turns in cursor.fetchall():
                    found[kind, number] = Followed(bool(retried), turns)
    return found
