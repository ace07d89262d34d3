"""Exports by page and API: asked for as a row, made by a process of their own, gone after a day."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone
from kombu.exceptions import OperationalError

from sparkweb.accounts.actor import Actor, audit
from sparkweb.accounts.models import Role, User
from sparkweb.config import DISK_RESERVE_GB
from sparkweb.refusal import Refused
from transcripts_app.access import project_of, session_of
from transcripts_app.archive.models import Project, Session
from transcripts_app.export.out import ExportRefused, ZipOut
from transcripts_app.export.run import export_run
from transcripts_app.export.selection import Format, Selection, What, sessions_selected
from transcripts_app.models_export import LIVE, SILENT_AFTER, ExportState, TranscriptExport
from transcripts_app.models_redaction import RedactionProfile, frozen
from transcripts_app.redaction.display import may_reveal

log = structlog.get_logger(__name__)

TOLD_EVERY_SECONDS = 0.5
LONGEST_SECONDS = 6 * 3600
USER_LIVE_MOST = 2
LIVE_MOST = 4
NICE = 10


class Stopped(Exception):
    """Its owner wants it no more."""


def export_request(
    *,
    what: str,
    key: str,
    query: str,
    format: str,
    profile: RedactionProfile | None,
    user: User,
    actor: Actor,
) -> TranscriptExport:
    """Have an export made. Raises Refused: nothing to export, no room, too many at once, Redis silent.

    Without a profile secrets are in it: for those alone who may see them unmasked on pages.
    """
    selection = Selection(What(what), key, query, user)
    try:
        sessions = sessions_selected(selection)
    except ExportRefused as refused:
        raise Refused(str(refused), "nothing") from None
    if profile is None:
        _unmasked_check(sessions, user)
    _room_check(sessions)
    with transaction.atomic():
        exports_silent_fail()
        live = TranscriptExport.objects.filter(state__in=LIVE)
        if live.filter(user=user).count() >= USER_LIVE_MOST or live.count() >= LIVE_MOST:
            raise Refused("Other exports are under way; wait for them or cancel one", "busy")
        row = TranscriptExport.objects.create(
            user=user, what=what, key=key, query=query, label=_label(selection, user)[:200],
            format=Format(format),
            profile=frozen(profile) if profile else None, total=sessions.count(),
        )  # fmt: skip
        audit(actor, "transcript_export", row.uid, what=what, key=key, format=format,
              profile=row.profile_name, sessions=row.total)  # fmt: skip
    _start(row)
    return row


def export_cancel(*, export: TranscriptExport) -> TranscriptExport:
    """End an export; one that has not begun ends at once."""
    TranscriptExport.objects.filter(pk=export.pk, state=ExportState.WAITING).update(
        state=ExportState.CANCELLED, ended_at=timezone.now()
    )
    TranscriptExport.objects.filter(pk=export.pk, state=ExportState.RUNNING).update(is_cancelled=True)
    export.refresh_from_db()
    return export


def export_delete(*, export: TranscriptExport) -> None:
    """Take an export's row and file away, ending it first where it runs."""
    export_cancel(export=export)
    export.path.unlink(missing_ok=True)
    if not export.live:
        export.delete()


def exports_of(user: User) -> QuerySet[TranscriptExport]:
    """Exports that a user asked for."""
    return TranscriptExport.objects.filter(user=user)


def export_run_apart(uid: str) -> None:
    """Make an export in a child process: it keeps a processor busy, and control has other things to do."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "export_transcripts", "--job", uid]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
        reason = (ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    _end(
        TranscriptExport.objects.filter(uid=uid, state__in=LIVE),
        ExportState.FAILED,
        f"It broke off: {reason}",
    )


def export_carry_out(uid: str) -> None:
    """Make an export now, in this process; its row tells how far it is and how it ended."""
    row = TranscriptExport.objects.select_related("user").filter(uid=uid, state=ExportState.WAITING).first()
    if row is None:
        return
    mine = TranscriptExport.objects.filter(pk=row.pk)
    if not mine.filter(state=ExportState.WAITING).update(state=ExportState.RUNNING, told_at=timezone.now()):
        return
    told = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= TOLD_EVERY_SECONDS or done == total:
            told = time.monotonic()
            if not mine.filter(is_cancelled=False).update(done=done, total=total, told_at=timezone.now()):
                raise Stopped

    try:
        # What its owner may see is asked anew: it may have changed since.
        selection = Selection(What(row.what), row.key, row.query, row.user)
        result = export_run(
            sessions_selected(selection),
            ZipOut(row.path),
            format=row.format,
            profile=row.profile,
            progress=progress,
        )
    except Stopped:
        _end(mine, ExportState.CANCELLED, "")
    except ExportRefused as refused:
        _end(mine, ExportState.FAILED, f"{refused}")
    except OSError as error:
        _end(mine, ExportState.FAILED, f"{error.strerror or error}")
    except Exception as error:
        _end(mine, ExportState.FAILED, f"It broke: {type(error).__name__}")
        log.exception("export failed", export=uid)
        raise
    else:
        mine.update(
            state=ExportState.DONE, done=result.sessions, total=result.sessions, masked=result.masked,
            size_bytes=row.path.stat().st_size, ended_at=timezone.now(),
        )  # fmt: skip


def exports_prune() -> int:
    """Take expired exports away, and files that no row knows. Returns how many rows."""
    exports_silent_fail()
    old = list(TranscriptExport.objects.filter(expires_at__lt=timezone.now()).exclude(state__in=LIVE)[:500])
    for row in old:
        row.path.unlink(missing_ok=True)
        row.delete()
    folder = settings.DATA_DIR / "exports"
    known = set(TranscriptExport.objects.values_list("uid", flat=True))
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.name.strip(".").partition(".")[0] not in known:
            path.unlink(missing_ok=True)
    return len(old)


def exports_silent_fail() -> None:
    """An export that was not heard of for an hour did not end."""
    running = TranscriptExport.objects.filter(
        state=ExportState.RUNNING, told_at__lt=timezone.now() - SILENT_AFTER
    )
    _end(running, ExportState.FAILED, "It was interrupted: its process stopped")


def _start(row: TranscriptExport) -> None:
    from transcripts_app.export.tasks import export_make

    try:
        export_make.apply_async((row.uid,), retry=False)
    except OperationalError:
        row.delete()
        raise Refused("Redis does not answer; nothing was exported", "redis_down") from None


def _end(rows: QuerySet[TranscriptExport], state: ExportState, reason: str) -> None:
    rows.update(state=state, reason=reason[:300], ended_at=timezone.now())


def _label(selection: Selection, user: User) -> str:
    if selection.what == What.PROJECT:
        project = project_of(user, selection.key)
        return f"Project {project.name}" if project else "A project"
    if selection.what == What.SESSION:
        session = session_of(user, selection.key)
        return f"Session {session.key}" if session else "A session"
    return f"Search {selection.query}" if selection.what == What.SEARCH else "Everything"


def _unmasked_check(sessions: QuerySet[Session], user: User) -> None:
    if user.has_role(Role.ADMIN):
        return
    ids = set(sessions.order_by().values_list("project", flat=True))
    if not all(may_reveal(user, project) for project in Project.objects.filter(pk__in=ids)):
        raise Refused(
            "Only a project's owner and admins may export it unmasked; choose a profile", "needs_profile"
        )


def _room_check(sessions: QuerySet[Session]) -> None:
    """A ZIP file of transcripts takes well below their own size; refuse before the disk is full."""
    folder = settings.DATA_DIR / "exports"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = sessions.aggregate(bytes=Sum("bytes"))["bytes"] or 0
    free = shutil.disk_usage(folder).free - DISK_RESERVE_GB * 10**9
    if wanted > free:
        raise Refused(
            f"It may take {wanted / 10**9:.1f} GB, and the disk has {max(0, free) / 10**9:.1f} GB to give",
            "no_room",
        )
