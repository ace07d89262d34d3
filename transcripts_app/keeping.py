"""Who sees a project, and what people put beside sessions: changes, each asked for by who may."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django.db import transaction

from sparkweb.accounts.actor import Actor, audit
from sparkweb.accounts.models import Role, User
from sparkweb.refusal import Refused
from transcripts_app.archive.models import Project, Record, Session
from transcripts_app.models import ProjectAccess, Visibility
from transcripts_app.models_keeping import NOTE_MOST, SessionNote, SessionStar, SessionTag

TAGS_MOST = 30
NOTES_MOST = 1000
STARS_MOST = 5000
TAG = re.compile(r"[\w][\w .:/+#-]{0,39}")


class KeepingRefused(Refused):
    """Something beside a session that cannot be."""

    status = 400


def may_share(user: User, project: Project) -> bool:
    """Whether a user says who sees a project: an admin, or its owner."""
    if user.has_role(Role.ADMIN):
        return True
    access = ProjectAccess.objects.filter(project_key=project.key).first()
    if access is not None and access.owner_id is not None:
        return access.owner_id == user.pk
    return Session.objects.filter(project=project, source__owner=user.username).exists()


@transaction.atomic
def project_access_set(
    *, project: Project, visibility: str, users: Sequence[User], owner: User | None, actor: Actor
) -> ProjectAccess:
    """Say who sees a project; `owner` counts where an admin asks. The caller has asked `may_share`."""
    access, made = ProjectAccess.objects.get_or_create(project_key=project.key)
    if actor.may(Role.ADMIN):
        access.owner = owner
    elif made or access.owner is None:
        access.owner = actor.user
    access.visibility = visibility
    access.save()
    access.users.set(users if visibility == Visibility.USERS else [])
    audit(
        actor, "transcript_access", project.path[:200], project=project.key, visibility=visibility,
        owner=access.owner.username if access.owner else "",
        users=sorted(user.username for user in access.users.all()),
    )  # fmt: skip
    return access


def tag_add(*, session: Session, name: str, actor: Actor) -> SessionTag:
    """Put a word on a session. Raises KeepingRefused."""
    word = " ".join(name.split()).lower()
    if not TAG.fullmatch(word):
        raise KeepingRefused(
            "A tag has 1 to 40 letters, digits, spaces and . : / + # - and begins with a letter or digit.",
            "tag_invalid",
        )
    if SessionTag.objects.filter(session_key=session.key).count() >= TAGS_MOST:
        raise KeepingRefused(f"A session has at most {TAGS_MOST} tags.", "tags_many")
    tag, _ = SessionTag.objects.get_or_create(
        session_key=session.key, name=word, defaults={"added_label": actor.label}
    )
    return tag


def tag_remove(*, session: Session, name: str) -> None:
    """Take a word off a session."""
    SessionTag.objects.filter(session_key=session.key, name=name.replace("\0", "").lower()).delete()


def star_set(*, session: Session, user: User, starred: bool, record: Record | None = None) -> None:
    """Mark a session, or a message of it, for oneself. Raises KeepingRefused."""
    uid = uid_of_record(record)
    rows = SessionStar.objects.filter(user=user)
    if not starred:
        rows.filter(session_key=session.key, record_uid=uid).delete()
    elif rows.count() >= STARS_MOST:
        raise KeepingRefused(f"You have {STARS_MOST:,} stars; take some away first.", "stars_many")
    else:
        SessionStar.objects.get_or_create(user=user, session_key=session.key, record_uid=uid)


def note_add(*, session: Session, text: str, actor: Actor, record: Record | None = None) -> SessionNote:
    """Write something beside a session, or a message of it. Raises KeepingRefused."""
    clean = text.replace("\r\n", "\n").strip()
    if not clean or "\0" in clean or len(clean) > NOTE_MOST:
        raise KeepingRefused(f"A note has 1 to {NOTE_MOST:,} characters.", "note_invalid")
    if SessionNote.objects.filter(session_key=session.key).count() >= NOTES_MOST:
        raise KeepingRefused(f"A session has at most {NOTES_MOST:,} notes.", "notes_many")
    return SessionNote.objects.create(
        session_key=session.key, record_uid=uid_of_record(record), text=clean, author=actor.user,
        author_label=actor.label,
    )  # fmt: skip


def note_remove(*, note: SessionNote, actor: Actor) -> None:
    """Take a note away: its author may, and an admin. Raises Refused."""
    mine = actor.user is not None and note.author_id == actor.user.pk
    if not mine and not actor.may(Role.ADMIN):
        refusal = Refused("Only its author and admins may take a note away.", "note_of_another")
        refusal.status = 403
        raise refusal
    if not mine:
        audit(actor, "transcript_note_remove", note.session_key, author=note.author_label)
    note.delete()


def uid_of_record(record: Record | None) -> str:
    """How a message is known beside the archive. Raises KeepingRefused for one without uuid."""
    if record is None:
        return ""
    if not record.uid:
        raise KeepingRefused("This line has no uuid, so that nothing can be put beside it.", "record_no_uid")
    return bytes(record.uid).hex()
