"""What stands beside sessions, for pages, API and filters of lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from sparkweb.accounts.models import User
from transcripts_app.access import projects_visible
from transcripts_app.archive.models import Record, Session
from transcripts_app.models_keeping import SessionNote, SessionStar, SessionTag

KEYS_MOST = 20_000


@dataclass
class NoteRow:
    """A note with the message that it is about, where it is about one."""

    note: SessionNote
    record: Record | None = None


@dataclass
class Keeping:
    """What stands beside one session."""

    starred: bool
    tags: list[str]
    notes: list[NoteRow] = field(default_factory=list)
    stars: list[Record] = field(default_factory=list)  # messages that the user marked


def keeping_of(user: User, session: Session) -> Keeping:
    """What stands beside a session, for one who may see it."""
    stars = set(
        SessionStar.objects.filter(user=user, session_key=session.key).values_list("record_uid", flat=True)
    )
    notes = list(SessionNote.objects.filter(session_key=session.key))
    records = _records(session, {note.record_uid for note in notes} | stars)
    return Keeping(
        starred="" in stars,
        tags=list(SessionTag.objects.filter(session_key=session.key).values_list("name", flat=True)),
        notes=[NoteRow(note, records.get(note.record_uid)) for note in notes],
        stars=[records[uid] for uid in sorted(stars) if uid in records],
    )


def sessions_kept(
    user: User, sessions: QuerySet[Session], *, starred: bool = False, tag: str = "", noted: bool = False
) -> QuerySet[Session]:
    """Leave out sessions that the user has not starred, that have not this tag, or no note."""
    asked: list[QuerySet[Any, str]] = []
    if starred:
        asked.append(SessionStar.objects.filter(user=user).values_list("session_key", flat=True))
    if tag:
        asked.append(SessionTag.objects.filter(name=tag.lower()).values_list("session_key", flat=True))
    if noted:
        asked.append(SessionNote.objects.values_list("session_key", flat=True))
    for keys in asked:
        sessions = sessions.filter(key__in=set(keys[:KEYS_MOST]))
    return sessions


def tags_known(user: User) -> list[str]:
    """Every tag on a session that a user may see."""
    visible = projects_visible(user)
    rows = SessionTag.objects.all()
    if visible is not None:
        keys = set(rows.values_list("session_key", flat=True).distinct()[:KEYS_MOST])
        seen = Session.objects.filter(key__in=list(keys), project__in=visible).values_list("key", flat=True)
        rows = rows.filter(session_key__in=list(seen))
    return sorted(set(rows.values_list("name", flat=True)))


def _records(session: Session, uids: set[str]) -> dict[str, Record]:
    wanted = [bytes.fromhex(uid) for uid in uids if uid]
    rows = Record.objects.filter(session=session, uid__in=wanted) if wanted else Record.objects.none()
    return {bytes(row.uid).hex(): row for row in rows if row.uid}
