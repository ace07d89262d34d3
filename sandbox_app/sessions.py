"""Sessions of tools: begun, looked up, extended, ended. One serves its owner and nobody else.

A session is a row first. Its node makes workspace and container with the first run or file, and
removes both when told that it ends: `ending` until the node says that nothing of it is left.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from sandbox_app.dispatch import queue_lock
from sandbox_app.models import SessionState, ToolRun, ToolSession
from sandbox_app.services import tool_run_cancel
from sparkweb.accounts.actor import SYSTEM, Actor, audit
from sparkweb.accounts.models import Role, User
from sparkweb.node_link import commands
from sparkweb.refusal import Refused

MIB = 2**20
SIZE_LEAST_MB = 32
HOURS_MOST = 720
BYTES_PER_INODE = 16 * 1024
INODES_LEAST = 1024
USED_NOTED_SECONDS = 10
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LIVE = (SessionState.LIVE, SessionState.ENDING)


class SessionInvalid(Refused):
    """What was asked for has a wrong shape."""

    status = 400


class SessionUnknown(Refused):
    """No such session, or somebody else's: both are told the same."""

    status = 404


class SessionRefused(Refused):
    """A session that cannot be begun or changed now."""


def session_find(uid: str, user: User) -> ToolSession:
    """The session with this uid that the user owns, whatever its state.

    Raises SessionInvalid for anything but a UUID as they are made here, SessionUnknown.
    """
    if not isinstance(uid, str) or not _UID.fullmatch(uid):
        raise SessionInvalid(f"{str(uid)[:60]!r} is no session id.", "session_invalid")
    found = ToolSession.objects.select_related("node", "owner").filter(uid=uid, owner=user).first()
    if found is None:
        raise SessionUnknown("There is no such session.", "session_unknown")
    return found


def session_seen(uid: str, actor: Actor) -> ToolSession:
    """As `session_find`, but an admin sees everybody's: to look at and to end, never its files."""
    if actor.may(Role.ADMIN) and _UID.fullmatch(uid):
        found = ToolSession.objects.select_related("node", "owner").filter(uid=uid).first()
        if found is not None:
            return found
    if actor.user is None:
        raise SessionUnknown("There is no such session.", "session_unknown")
    return session_find(uid, actor.user)


def session_live(uid: str, user: User) -> ToolSession:
    """The user's session, if it may be used now. Raises as `session_find`, and as `usable`."""
    return usable(session_find(uid, user))


def usable(session: ToolSession) -> ToolSession:
    """The session itself. Raises SessionRefused (session_ended) for one that ends or whose time is over."""
    if session.state != SessionState.LIVE or session.expires_at <= timezone.now():
        raise SessionRefused("This session has ended; begin another one.", "session_ended")
    return session


def sessions_visible(actor: Actor) -> QuerySet[ToolSession]:
    """Admins see all sessions, others their own."""
    sessions = ToolSession.objects.select_related("node", "owner")
    return sessions if actor.may(Role.ADMIN) else sessions.filter(owner=actor.user)


def sessions_of_node(node: Node) -> list[str]:
    """What keeps a node from being removed: the sessions whose files lie there."""
    rows = ToolSession.objects.filter(node=node, state__in=_LIVE).select_related("owner")[:10]
    return [f"the session {row} of {row.owner}" for row in rows]


@transaction.atomic
def tool_session_create(
    *,
    owner: User,
    node: Node,
    actor: Actor,
    label: str = "",
    size_mb: int | None = None,
    hours: int | None = None,
) -> ToolSession:
    """Begin a session of `owner` on a node; its workspace is made there when it is first needed.

    Raises SessionInvalid (size_invalid, hours_invalid, label_invalid) and SessionRefused
    (role_missing, sessions_many, node_offline).
    """
    size = settings.SANDBOX_SESSION_MB if size_mb is None else size_mb
    lasts = settings.SANDBOX_SESSION_HOURS if hours is None else hours
    most = max(settings.SANDBOX_SESSION_MB, settings.SANDBOX_SESSION_MB_MOST)
    if not SIZE_LEAST_MB <= size <= most:
        raise SessionInvalid(f"A workspace has {SIZE_LEAST_MB} to {most} MiB.", "size_invalid")
    _hours_check(lasts)
    if len(label) > 120 or "\0" in label:
        raise SessionInvalid("A name has at most 120 characters, none of them NUL.", "label_invalid")
    if not owner.has_role(Role.OPERATOR):
        raise SessionRefused(f"Tools need the role operator; {owner} is {owner.role}.", "role_missing")
    User.objects.select_for_update().get(pk=owner.pk)  # two at once are counted one after the other
    live = ToolSession.objects.filter(owner=owner, state__in=_LIVE).count()
    if live >= settings.SANDBOX_SESSIONS:
        raise SessionRefused(
            f"{owner} has {live} sessions, and may have {settings.SANDBOX_SESSIONS}; end one first.",
            "sessions_many",
        )
    if node.status not in (NodeStatus.ONLINE, NodeStatus.STALE):
        raise SessionRefused(f"{node} is {node.get_status_display().lower()}.", "node_offline")
    now = timezone.now()
    session = ToolSession.objects.create(
        owner=owner,
        label=label.strip(),
        node=node,
        node_name=node.name,
        size_bytes=size * MIB,
        inodes=max(INODES_LEAST, size * MIB // BYTES_PER_INODE),
        created_at=now,
        used_at=now,
        expires_at=now + timedelta(hours=lasts),
    )
    audit(actor, "tool_session_create", session.uid, node=node.name, owner=owner.username, size_mb=size)
    return session


@transaction.atomic
def tool_session_extend(*, session: ToolSession, actor: Actor, hours: int) -> ToolSession:
    """Let a session last for `hours` from now, unless it lasts longer. Raises as create and `usable`."""
    _hours_check(hours)
    row = usable(ToolSession.objects.select_for_update().get(pk=session.pk))
    until = timezone.now() + timedelta(hours=hours)
    if until > row.expires_at:
        row.expires_at = until
        row.save(update_fields=["expires_at"])
        audit(actor, "tool_session_extend", row.uid, hours=hours)
    return row


@transaction.atomic
def tool_session_end(*, session: ToolSession, actor: Actor, reason: str = "") -> ToolSession:
    """End a session with its container, files and runs; one that ends already stays as it is."""
    queue_lock()  # before the row, as a run that begins does
    row = ToolSession.objects.select_for_update().get(pk=session.pk)
    if row.state != SessionState.LIVE:
        return row
    row.state, row.generation = SessionState.ENDING, row.generation + 1
    row.end_reason = (reason or f"ended by {actor.label}")[:200]
    row.save(update_fields=["state", "generation", "end_reason"])
    audit(actor, "tool_session_end", row.uid, owner=row.owner.username, reason=row.end_reason)
    for run in ToolRun.objects.filter(session=row, live=True):
        tool_run_cancel(run=run, actor=SYSTEM, reason="its session ended")
    if row.node_id is None:
        session_gone(row)
    else:
        transaction.on_commit(lambda: end_send(row))
    return row


def session_gone(session: ToolSession, reason: str = "", now: datetime | None = None) -> None:
    """Nothing of a session is left on its node."""
    ToolSession.objects.filter(pk=session.pk).exclude(state=SessionState.ENDED).update(
        state=SessionState.ENDED,
        ended_at=now or timezone.now(),
        end_reason=(session.end_reason or reason)[:200],
        used_bytes=None,
    )


def sessions_prune(before: datetime, at_once: int = 500) -> int:
    """Delete the rows of sessions that ended before a moment; their runs stay. Returns how many."""
    old = ToolSession.objects.filter(state=SessionState.ENDED, ended_at__lt=before).order_by("pk")
    gone = list(old.values_list("pk", flat=True)[:at_once])
    ToolSession.objects.filter(pk__in=gone).delete()
    return len(gone)


def session_used(session: ToolSession) -> None:
    """Note that a session was used just now; what idles too long ends."""
    now = timezone.now()
    if now - session.used_at > timedelta(seconds=USED_NOTED_SECONDS):
        ToolSession.objects.filter(pk=session.pk).update(used_at=now)
        session.used_at = now


def end_send(session: ToolSession) -> bool:
    """Tell the node to remove what it has of a session; as often as needed."""
    return commands.send(
        session.node_name, "sandbox.session_end", session=session.uid, generation=session.generation
    )


def why_over(session: ToolSession, now: datetime) -> str:
    """Why a live session ends by itself now; "" for one that goes on."""
    if session.node_id is None:
        return f"{session.node_name} was removed"
    if not session.owner.has_role(Role.OPERATOR):
        return f"{session.owner} may no longer run tools"
    if session.expires_at <= now:
        return "its time was over"
    idle = settings.SANDBOX_SESSION_IDLE_HOURS
    if idle and now - session.used_at > timedelta(hours=idle):
        return f"nobody used it for {idle} hours"
    return ""


def session_over(session: ToolSession, reason: str) -> ToolSession:
    """End a session for a reason of its own."""
    return tool_session_end(session=session, actor=SYSTEM, reason=reason)


def _hours_check(hours: int) -> None:
    if not 1 <= hours <= HOURS_MOST:
        raise SessionInvalid(f"A session lasts 1 to {HOURS_MOST} hours.", "hours_invalid")
