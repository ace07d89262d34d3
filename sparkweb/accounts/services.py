"""What changes users and keys, each with its audit entry."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from sparkweb.accounts.actor import Actor, audit
from sparkweb.accounts.models import RANK, SCOPE_RANK, ApiKey, Role, Scope, User
from sparkweb.accounts.permissions import scopes_rank

KEY_MARK = "sw_"
PREFIX_LENGTH = 11
ADMIN_NAME = "admin"


def actor_of(request: Any, via: str = "page") -> Actor:
    """Return who asks, from a request of a page, the API or the admin.

    With an API key the label names the key, and `via` is api.
    """
    django_request: HttpRequest = getattr(request, "_request", request)
    user, key = request.user, getattr(request, "auth", None)
    if isinstance(key, ApiKey):
        label = f"{user.get_username()} (key {key.prefix}…)"
        return Actor(user, label, "api", _address(django_request), scopes_rank(key.scopes))
    return Actor(user, user.get_username(), via, _address(django_request))


@transaction.atomic
def api_key_create(
    *, user: User, scopes: list[str], actor: Actor, name: str = "", days: int | None = None
) -> tuple[ApiKey, str]:
    """Make a key for `user` and return it with its text, which is shown this once and not kept.

    Raises ValidationError when a scope is unknown or exceeds the role of its owner.
    """
    allowed = RANK[Role(user.role)]
    if not scopes:
        raise ValidationError({"scopes": "Name at least one scope: use, read, operate or admin."})
    for scope in scopes:
        if scope not in Scope.values:
            raise ValidationError({"scopes": f"{scope!r} is no scope; there are {', '.join(Scope.values)}."})
        if SCOPE_RANK[Scope(scope)] > allowed:
            raise ValidationError(
                {"scopes": f"{user.username} is {user.role}; the scope {scope} exceeds that."}
            )
    text = KEY_MARK + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        user=user,
        name=name,
        prefix=text[:PREFIX_LENGTH],
        key_hash=ApiKey.hash_of(text),
        scopes=sorted(set(scopes), key=Scope.values.index),
        expires_at=timezone.now() + timedelta(days=days) if days else None,
    )
    audit(actor, "api_key_create", user.username, key=key.prefix, scopes=key.scopes, days=days)
    return key, text


@transaction.atomic
def api_key_revoke(*, key: ApiKey, actor: Actor) -> ApiKey:
    """End a key at once. Revoking it again changes nothing."""
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at"])
        audit(actor, "api_key_revoke", key.user.username, key=key.prefix)
    return key


@transaction.atomic
def user_save(*, user: User, actor: Actor, password: str | None = None) -> User:
    """Create or change a user; the last active admin stays one.

    A password set by someone else must be changed at the next login.
    Raises ValidationError.
    """
    before = User.objects.select_for_update().filter(pk=user.pk).first()
    if before is not None:
        _keep_an_admin(before, stays=user.is_active and user.role == Role.ADMIN)
    if password is not None:
        try:
            validate_password(password, user)
        except ValidationError as error:
            raise ValidationError({"password": error.messages}) from None
        user.set_password(password)
        user.must_change_password = actor.user is None or actor.user.pk != user.pk
    elif before is None and not user.password:
        user.set_unusable_password()
    user.full_clean(exclude=["password"])
    user.save()
    changed = ["created"] if before is None else _changes(before, user)
    audit(
        actor,
        "user_create" if before is None else "user_change",
        user.username,
        changed=changed,
        role=user.role,
    )
    return user


@transaction.atomic
def user_delete(*, user: User, actor: Actor) -> None:
    """Remove a user with all their keys. Raises ValidationError for the last active admin."""
    _keep_an_admin(user, stays=False)
    audit(actor, "user_delete", user.username)
    user.delete()


@transaction.atomic
def password_changed(*, user: User, actor: Actor) -> None:
    """Note that a user has set a password of their own: the one-time password is done with."""
    User.objects.filter(pk=user.pk).update(must_change_password=False)
    user.must_change_password = False
    audit(actor, "password_change", user.username)


@transaction.atomic
def admin_ensure(*, password: str, actor: Actor) -> str | None:
    """Create the first user, admin, unless there is any admin. Returns a one-time password to print, or None.

    `password` is SPARKWEB_ADMIN_PASSWORD; when it is empty a one-time password
    is made, which must be changed at the first login.
    """
    if User.objects.filter(role=Role.ADMIN, is_active=True).exists():
        return None
    once = "" if password else secrets.token_urlsafe(12)
    user = User.objects.filter(username=ADMIN_NAME).first() or User(username=ADMIN_NAME)
    user.role, user.is_active, user.must_change_password = Role.ADMIN, True, bool(once)
    user.set_password(password or once)
    user.save()
    audit(actor, "user_create", ADMIN_NAME, role=Role.ADMIN, one_time_password=bool(once))
    return once or None


def _keep_an_admin(user: User, *, stays: bool) -> None:
    if stays or user.role != Role.ADMIN or not user.is_active:
        return
    if not User.objects.filter(role=Role.ADMIN, is_active=True).exclude(pk=user.pk).exists():
        raise ValidationError({"role": f"{user.username} is the only admin; make someone else admin first."})


def _changes(before: User, after: User) -> list[str]:
    fields = ("username", "first_name", "last_name", "email", "role", "is_active", "password")
    return [name for name in fields if getattr(before, name) != getattr(after, name)]


def _address(request: HttpRequest) -> str | None:
    return request.META.get("REMOTE_ADDR") or None
