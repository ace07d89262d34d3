"""Applying facts from nodes: each exactly once, in order, with its cursor in one transaction."""

from __future__ import annotations

import enum
import logging
import time
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F
from django.utils import timezone

from sparkweb.node_link import registry
from sparkweb.node_link.envelope import Envelope
from sparkweb.node_link.models import JournalCursor, RejectedFact

logger = logging.getLogger(__name__)

# A fact whose handler alone meets database errors for so long, while the database answers
# otherwise, is rejected: it would block its node for ever.
PATIENCE_SECONDS = 120.0
PATIENCE_ATTEMPTS = 10
LOGGED_PAYLOAD_CHARS = 2_000


class DatabaseWaits(Exception):
    """The database did not answer or was locked; nothing was applied. Try the same fact again."""


class FactRefused(Exception):
    """The fact cannot be applied by anybody: no such verb, or not of the right shape."""


class Outcome(enum.Enum):
    """What became of a fact: now applied (or rejected for good), known already, or too early."""

    APPLIED = "applied"
    KNOWN = "known"
    EARLY = "early"


class _CursorMoved(Exception):
    """Another process applied this fact meanwhile."""


@dataclass
class _Trouble:
    sequence: int
    since: float
    attempts: int = 0


class FactApplier:
    """Applies the facts of all nodes. Used by one thread; two processes at once do no harm."""

    def __init__(self) -> None:
        self._cursors: dict[tuple[str, str], JournalCursor] = {}
        self._troubles: dict[str, _Trouble] = {}

    def apply(self, node_name: str, envelope: Envelope) -> Outcome:
        """Apply one verified fact. Raises DatabaseWaits; every other trouble ends in a RejectedFact."""
        try:
            outcome = self._apply(node_name, envelope)
        except _CursorMoved:
            self._cursors.clear()
            outcome = Outcome.EARLY  # its resend will be known
        except (OperationalError, InterfaceError) as error:
            self._cursors.clear()
            if not self._out_of_patience(node_name, envelope):
                raise DatabaseWaits(str(error)) from error
            logger.exception("%s: fact %s is rejected after long trouble", node_name, envelope.sequence)
            outcome = self._reject(node_name, envelope, f"{type(error).__name__}: {error}")
        self._troubles.pop(node_name, None)
        return outcome

    def acknowledgement(self, node_name: str, journal: str) -> str:
        """The text for `ack:<node>`: what is committed. Raises DatabaseWaits."""
        try:
            return f"{journal}:{self._cursor(node_name, journal).applied}"
        except (OperationalError, InterfaceError) as error:
            raise DatabaseWaits(str(error)) from error

    # Within --------------------------------------------------------------------

    def _apply(self, node_name: str, envelope: Envelope) -> Outcome:
        cursor = self._cursor(node_name, envelope.origin)
        if envelope.sequence <= cursor.applied:
            return Outcome.KNOWN
        if envelope.sequence > cursor.applied + 1 and not self._jump(cursor, envelope):
            return Outcome.EARLY
        try:
            with transaction.atomic():
                self._move(cursor, envelope.sequence)
                _handle(node_name, envelope)
        except (_CursorMoved, OperationalError, InterfaceError):
            raise
        except Exception as error:
            logger.exception(
                "%s: fact %s failed: %s",
                node_name,
                envelope.sequence,
                envelope.payload[:LOGGED_PAYLOAD_CHARS],
            )
            return self._reject(node_name, envelope, f"{type(error).__name__}: {error}")
        cursor.applied = envelope.sequence
        return Outcome.APPLIED

    def _cursor(self, node_name: str, journal: str) -> JournalCursor:
        cursor = self._cursors.get((node_name, journal))
        if cursor is None:
            cursor, _ = JournalCursor.objects.get_or_create(node_name=node_name, journal=journal)
            self._cursors[node_name, journal] = cursor
        return cursor

    def _move(self, cursor: JournalCursor, sequence: int) -> None:
        here = JournalCursor.objects.filter(pk=cursor.pk, applied=sequence - 1)
        if not here.update(applied=sequence, updated_at=timezone.now()):
            raise _CursorMoved

    def _jump(self, cursor: JournalCursor, envelope: Envelope) -> bool:
        """Skip what the node no longer has; True if this fact is the next one now.

        The node forgets only what was acknowledged: so this database is older than it was.
        """
        oldest = envelope.oldest or 0
        if oldest <= cursor.applied + 1:
            return False
        logger.error(
            "%s: facts %s to %s are neither in this database nor on the node; was a copy restored?",
            cursor.node_name,
            cursor.applied + 1,
            oldest - 1,
        )
        JournalCursor.objects.filter(pk=cursor.pk, applied__lt=oldest - 1).update(applied=oldest - 1)
        cursor.applied = oldest - 1
        return envelope.sequence == oldest

    def _reject(self, node_name: str, envelope: Envelope, reason: str) -> Outcome:
        """Keep the fact for an admin and move on, unless it was committed after all (`on_commit` raised)."""
        self._cursors.clear()
        cursor = self._cursor(node_name, envelope.origin)
        if cursor.applied >= envelope.sequence:
            return Outcome.APPLIED
        with transaction.atomic():
            self._move(cursor, envelope.sequence)
            RejectedFact.objects.create(
                node_name=node_name,
                journal=envelope.origin,
                sequence=envelope.sequence,
                verb=_verb(envelope.payload)[:64],
                payload=envelope.payload.replace("\0", ""),
                reason=reason.replace("\0", "")[:2_000],
            )
        cursor.applied = envelope.sequence
        return Outcome.APPLIED

    def _out_of_patience(self, node_name: str, envelope: Envelope) -> bool:
        now = time.monotonic()
        trouble = self._troubles.get(node_name)
        if trouble is None or trouble.sequence != envelope.sequence:
            trouble = self._troubles[node_name] = _Trouble(envelope.sequence, now)
        trouble.attempts += 1
        if trouble.attempts < PATIENCE_ATTEMPTS or now - trouble.since < PATIENCE_SECONDS:
            return False
        try:
            with transaction.atomic():
                cursors = JournalCursor.objects.filter(node_name=node_name, journal=envelope.origin)
                cursors.update(applied=F("applied"))
        except (OperationalError, InterfaceError):
            return False
        return True


def _handle(node_name: str, envelope: Envelope) -> None:
    fact = _parse(envelope.payload)
    verb, data = fact.get("verb"), fact.get("data")
    handler = registry.fact_handlers.get(verb) if isinstance(verb, str) else None
    if handler is None:
        raise FactRefused(f"verb {verb!r} is none that nodes may send")
    if not isinstance(data, dict):
        raise FactRefused(f"data of {verb!r} is no object")
    handler(node_name, data)


def _parse(payload: str) -> dict[str, Any]:
    try:
        fact = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise FactRefused(f"payload is no JSON: {error}") from None
    if not isinstance(fact, dict):
        raise FactRefused("payload is no object")
    return fact


def _verb(payload: str) -> str:
    try:
        return str(_parse(payload).get("verb")).replace("\0", "")
    except FactRefused:
        return ""
