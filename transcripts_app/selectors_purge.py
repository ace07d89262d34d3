"""The purge clock: which sessions Claude Code will delete when, and whether all of them is here.

Source: Claude Code's settings, `cleanupPeriodDays` (30 unless set): sessions without a change for
that long are deleted when it starts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import F, Max, Q, Sum

from sparkweb.accounts.models import User
from transcripts_app.archive.models import Session, Source
from transcripts_app.selectors_sessions import sessions_visible

DAYS_DEFAULT = 30
SETTINGS_BYTES = 2**20
SHOWN = 200


@dataclass
class PurgeRow:
    """A session that is still at its source."""

    session: Session
    due_at: datetime
    missing: int  # bytes that are not here yet

    @property
    def is_due(self) -> bool:
        """It goes at the next start of Claude Code."""
        return self.due_at <= datetime.now(UTC)


@dataclass
class PurgeSource:
    """How long one source keeps."""

    source: Source
    days: int | None  # None: never deletes
    is_known: bool  # read from its settings, not assumed


@dataclass
class PurgePage:
    """What goes next, and what has gone."""

    rows: list[PurgeRow]
    total: int
    sources: list[PurgeSource]
    gone: int
    unsafe: int


def purge_page(user: User, most: int = SHOWN) -> PurgePage:
    """What Claude Code deletes next of the sessions that a user may see, soonest first."""
    sources = {row.source.pk: row for row in map(_source, Source.objects.exclude(kind="upload"))}
    visible = sessions_visible(user)
    here = Q(files__gone_ms=None, files__role__in=("session", "agent"))
    rows = visible.filter(gone_ms=None, source__in=sources).annotate(
        touched_ns=Max("files__mtime_ns", filter=here),
        missing=Sum(F("files__size") - F("files__read_to"), filter=here),
    )
    found = []
    for session in rows.filter(touched_ns__gt=0).select_related("project", "source"):
        days = sources[session.source_id].days
        if days is not None:
            touched = datetime.fromtimestamp(min(session.touched_ns / 1e9, 4e9), UTC)
            missing = max(0, session.missing or 0)
            found.append(PurgeRow(session, touched + timedelta(days=days), missing))
    found.sort(key=lambda row: row.due_at)
    return PurgePage(
        rows=found[:most],
        total=len(found),
        sources=list(sources.values()),
        gone=visible.exclude(gone_ms=None).count(),
        unsafe=sum(1 for row in found if row.missing),
    )


def _source(source: Source) -> PurgeSource:
    days = _days(Path(source.root)) if source.node == settings.NODE_NAME else None
    return PurgeSource(source, DAYS_DEFAULT if days is None else days, days is not None)


def _days(root: Path) -> int | None:
    """cleanupPeriodDays beside a folder of projects: the usual one if unset, None if unreadable."""
    try:
        with (root.parent / "settings.json").open("rb") as file:
            told = json.loads(file.read(SETTINGS_BYTES))
    except FileNotFoundError:
        return DAYS_DEFAULT if root.is_dir() else None
    except (OSError, ValueError, RecursionError):
        return None
    days = told.get("cleanupPeriodDays", DAYS_DEFAULT) if isinstance(told, dict) else None
    return days if type(days) is int and 0 <= days < 100_000 else None
