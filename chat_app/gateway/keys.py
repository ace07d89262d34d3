"""API keys as the gateway knows them: looked up by hash, kept for seconds; no request waits for Django."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

from django.db import DatabaseError

from chat_app.gateway.errors import GatewayError, key_invalid
from chat_app.gateway.limits import Limit
from chat_app.gateway.threads import DATABASE, Shared
from chat_app.limits import limits_read
from sparkweb.accounts.models import ApiKey, Scope

FRESH_SECONDS = 2.0  # served as it is
STALE_SECONDS = 4.0  # served once more while it is read anew; beyond, the request waits for that
WITHOUT_DATABASE_SECONDS = 300.0  # a key that was good goes on while the database is away
KEPT_MOST = 10_000
READS_MOST = 64
OPENING = {Scope.USE.value, Scope.OPERATE.value, Scope.ADMIN.value}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds a key; `refusal` says why it opens nothing."""

    key_id: int
    key_label: str
    user_id: int
    user_label: str
    refusal: str = ""
    limits: tuple[Limit, ...] = ()


class Keys:
    """Callers by key hash. For one event loop."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[Caller, float]] = OrderedDict()
        self._reads = Shared()

    async def caller(self, key: str) -> Caller:
        """Return who holds a key. Raises GatewayError (401 for a key that opens nothing, 503)."""
        if not key:
            raise key_invalid("No API key. Send it as `Authorization: Bearer <key>`.")
        hashed = ApiKey.hash_of(key)
        known, age = self._look(hashed)
        if age > STALE_SECONDS:
            if known is None and len(self._reads) >= READS_MOST:
                # Strangers who guess must not make those wait who have a key.
                raise GatewayError(429, "rate_limit_exceeded", "Too many keys are asked for.", None, 1)
            known = await self._reads.result(hashed, partial(self._read, hashed, known, age))
        elif age > FRESH_SECONDS:
            DATABASE.spawn(self._reads.result(hashed, partial(self._read, hashed, known, age)))
        if known is None:
            raise key_invalid("This API key is not known. Make a new one on the page API keys.")
        if known.refusal:
            raise key_invalid(known.refusal)
        return known

    def _look(self, hashed: str) -> tuple[Caller | None, float]:
        if hashed not in self._known:
            return None, float("inf")
        caller, at = self._known[hashed]
        return caller, time.monotonic() - at

    async def _read(self, hashed: str, before: Caller | None, age: float) -> Caller | None:
        try:
            caller = await DATABASE.run(lambda: caller_read(hashed))
        except DatabaseError:
            if before is not None and age < WITHOUT_DATABASE_SECONDS:
                return before
            raise GatewayError(
                503, "database_unavailable", "The database does not answer.", retry_after=5
            ) from None
        if caller is None:
            self._known.pop(hashed, None)  # nobody who guesses drives out a key that is known
            return None
        self._known[hashed] = (caller, time.monotonic())
        self._known.move_to_end(hashed)
        while len(self._known) > KEPT_MOST:
            self._known.popitem(last=False)
        return caller


def caller_read(hashed: str) -> Caller | None:
    """Read a key and its owner from the database; None for a key that is not known."""
    key = ApiKey.objects.select_related("user").filter(key_hash=hashed).first()
    if key is None:
        return None
    label = f"{key.name or 'API key'} ({key.prefix}…)"
    return Caller(key.pk, label, key.user_id, key.user.username, _refusal(key), limits_read(key))


def _refusal(key: ApiKey) -> str:
    if key.revoked_at:
        return f"The API key {key.prefix}… was revoked."
    if not key.user.is_active:
        return f"The owner of the API key {key.prefix}… is no longer active."
    if not key.is_usable:
        return f"The API key {key.prefix}… expired on {key.expires_at:%Y-%m-%d}."
    if not OPENING & set(key.scopes):
        return f"The API key {key.prefix}… may not use models: give it the scope {Scope.USE.value}."
    return ""
