"""Whether the login, or the API key, behind a socket still holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.sessions.models import Session
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed

from sparkweb.accounts.authentication import bearer_key
from sparkweb.accounts.models import RANK, ApiKey, Role, User
from sparkweb.accounts.permissions import scopes_rank


@dataclass(frozen=True)
class Access:
    """The login that a socket was opened with, or the API key: then `key_id`, and no session.

    `rank` is what the login or key may do: 1 viewer, 2 operator, 3 admin.
    """

    session_key: str
    user_id: int
    username: str
    role: str
    auth_hash: str
    key_id: int = 0
    rank: int = 0

    def reaches(self, role: str) -> bool:
        """Say whether it may see what is for `role` and higher ones."""
        return self.rank >= RANK[Role(role)]


def access_of(user: Any, session: Any) -> Access | None:
    """Return the login of a handshake, or None when nobody (usable) is logged in."""
    if not isinstance(user, User) or not user.is_active or user.must_change_password:
        return None
    if not session.session_key:
        return None
    rank, auth_hash = RANK[Role(user.role)], user.get_session_auth_hash()
    return Access(session.session_key, user.pk, user.username, user.role, auth_hash, rank=rank)


def key_access(header: str) -> Access | None:
    """Return the access of an Authorization header, or None for one that opens nothing."""
    try:
        key = bearer_key(header)
    except AuthenticationFailed:
        return None
    if key is None or not scopes_rank(key.scopes):
        return None
    rank = min(RANK[Role(key.user.role)], scopes_rank(key.scopes))
    return Access("", key.user_id, key.user.username, key.user.role, "", key.pk, rank)


def access_lost(accesses: list[Access]) -> set[Access]:
    """Return the accesses that ended, of sessions and of keys. At most three queries for any number."""
    keys = {one for one in accesses if one.key_id}
    return _logins_lost(set(accesses) - keys) | _keys_lost(keys)


def _keys_lost(wanted: set[Access]) -> set[Access]:
    """Those whose key was revoked, deleted or has expired, or reads no more, or whose owner is disabled."""
    if not wanted:
        return set()
    rows = ApiKey.objects.select_related("user").filter(pk__in={one.key_id for one in wanted})
    held = {key.pk for key in rows if key.is_usable and scopes_rank(key.scopes)}
    return {one for one in wanted if one.key_id not in held}


def _logins_lost(wanted: set[Access]) -> set[Access]:
    """Those that logged out, expired, were disabled, have a new password or another role."""
    if not wanted:
        return set()
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
