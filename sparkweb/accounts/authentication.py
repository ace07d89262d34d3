"""How callers of the API say who they are: an API key, or the session of a page."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import OperationalError, transaction
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from sparkweb.accounts.middleware import CHALLENGE
from sparkweb.accounts.models import ApiKey, User
from sparkweb.locks import lock_wait

USED_EVERY = timedelta(seconds=60)
NOTE_WAIT_SECONDS = 0.05


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>`. `request.auth` is the ApiKey."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        key = bearer_key(request.META.get("HTTP_AUTHORIZATION", ""))
        return (key.user, key) if key else None

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class LoginSessionAuthentication(SessionAuthentication):
    """The session of a browser, with its CSRF token for whatever changes something."""

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def bearer_key(header: str) -> ApiKey | None:
    """Return the API key of an Authorization header; None where it is of another kind.

    Raises AuthenticationFailed for a key that is not known or not usable.
    """
    kind, _, text = header.partition(" ")
    if kind.lower() != "bearer":
        return None
    key = ApiKey.objects.select_related("user").filter(key_hash=ApiKey.hash_of(text.strip())).first()
    if key is None:
        raise AuthenticationFailed("This API key is not known. Make a new one on the page API keys.")
    if not key.is_usable:
        raise AuthenticationFailed(_why_unusable(key))
    _note_use(key)
    return key


def _why_unusable(key: ApiKey) -> str:
    if key.revoked_at:
        return f"The API key {key.prefix}… was revoked."
    if not key.user.is_active:
        return f"The owner of the API key {key.prefix}… is no longer active."
    return f"The API key {key.prefix}… expired on {key.expires_at:%Y-%m-%d}."


def _note_use(key: ApiKey) -> None:
    """Remember when a key was used, at most once a minute: no write for each read.

    While the database is locked the note is left to the next call: a read waits for no writer.
    """
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at >= USED_EVERY:
        with suppress(OperationalError), lock_wait(NOTE_WAIT_SECONDS), transaction.atomic():
            ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "API key, made on the page API keys."}


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = LoginSessionAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sparkweb_session"}
