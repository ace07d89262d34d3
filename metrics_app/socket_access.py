"""Whether the login behind a socket still holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.sessions.models import Session
from django.utils import timezone

from sparkweb.accounts.models import User


@dataclass(frozen=True)
class Access:
    """The login that a socket was opened with."""

    session_key: str
    user_id: int
    username: str
    role: str
    auth_hash: str


def access_of(user: Any, session: Any) -> Access | None:
    """Return the login of a handshake, or None when nobody (usable) is logged in."""
    if not isinstance(user, User) or not user.is_active or user.must_change_password:
        return None
    if not session.session_key:
        return None
    return Access(session.session_key, user.pk, user.username, user.role, user.get_session_auth_hash())


def access_lost(accesses: list[Access]) -> set[Access]:
    """Return the logins that ended: logged out, expired, disabled, new password or other role.

    Two queries for any number of sockets.
    """
    wanted = set(accesses)
    sessions = set(
        Session.objects.filter(
            session_key__in={one.session_key for one in wanted}, expire_date__gt=timezone.now()
        ).values_list("session_key", flat=True)
    )
    users = User.objects.filter(pk__in={one.user_id for one in wanted}, is_active=True)
    held = {user.pk: (user.role, user.get_session_auth_hash()) for user in users}
    return {
        one
        for one in wanted
        if one.session_key not in sessions or held.get(one.user_id) != (one.role, one.auth_hash)
    }
