"""The tool audit: entries are appended, each bound to the one before it by a key outside the database."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from sandbox_app.audit_chain import body_text, line, record_mac, time_text
from sandbox_app.masking import mask
from sandbox_app.models_audit import AuditHead, AuditKind, AuditRecord
from sparkweb.installation import audit_key_read

log = structlog.get_logger(__name__)

__all__ = ["audit_append", "audit_key", "mask", "record_hash"]

HEAD_COPY_EVERY = 256


@lru_cache(maxsize=4)
def _key(data_dir: Path) -> bytes:
    return audit_key_read(data_dir)


def audit_key() -> bytes:
    """Return this installation's key of the chain. It never enters the database, a log or an answer."""
    return _key(settings.DATA_DIR)


@transaction.atomic(savepoint=False)
def audit_append(
    kind: AuditKind,
    *,
    run_uid: str = "",
    tool_name: str = "",
    user_label: str = "",
    outcome: str = "",
    body: dict[str, Any],
    covers: int | None = None,
) -> AuditRecord:
    """Append one entry in the caller's transaction, and return it.

    The head's row is locked until that transaction ends: on PostgreSQL by SELECT FOR UPDATE, on SQLite
    because our transactions are IMMEDIATE. So numbers have no gap and no two entries follow the same one;
    and so it should be the last thing that a transaction does. `body` must be masked already.
    """
    number, mac = _head_lock()
    record = AuditRecord(
        number=number + 1,
        at=timezone.now(),
        kind=AuditKind(kind).value,
        run_uid=line(run_uid, 16),
        tool_name=line(tool_name, 64),
        user_label=line(user_label, 160),
        outcome=line(outcome, 10),
        covers=covers,
        body=body_text(body),
        previous=mac,
    )
    record.mac = record_hash(record)
    _write(record)
    if record.number % HEAD_COPY_EVERY == 0:
        transaction.on_commit(_head_copy_ask)
    return record


def _head_lock() -> tuple[int, str]:
    """Return number and hash of the newest entry, and let nobody else append before this transaction ends."""
    lock = " FOR UPDATE" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT number, mac FROM sandbox_app_audithead WHERE id = 1{lock}")  # noqa: S608
        found: tuple[int, str] | None = cursor.fetchone()
    if found is None:
        head, _ = AuditHead.objects.select_for_update().get_or_create(pk=1)
        found = head.number, head.mac
    return found


def _write(record: AuditRecord) -> None:
    """Store an entry and move the head: by plain SQL, for each call of a tool waits for it."""
    at = connection.ops.adapt_datetimefield_value(record.at)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sandbox_app_auditrecord (number, at, kind, run_uid, tool_name, user_label, outcome, "
            "covers, body, previous, mac) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [record.number, at, record.kind, record.run_uid, record.tool_name, record.user_label,
             record.outcome, record.covers, record.body, record.previous, record.mac],
        )  # fmt: skip
        cursor.execute(
            "UPDATE sandbox_app_audithead SET number = %s, mac = %s WHERE id = 1", [record.number, record.mac]
        )
    record._state.adding, record._state.db = False, connection.alias


def record_hash(record: AuditRecord) -> str:
    """Return the keyed hash that an entry must bear."""
    return record_mac(
        audit_key(),
        previous=record.previous,
        number=record.number,
        at=time_text(record.at),
        kind=record.kind,
        run_uid=record.run_uid,
        tool_name=record.tool_name,
        user_label=record.user_label,
        outcome=record.outcome,
        covers=record.covers,
        body=record.body,
    )


def _head_copy_ask() -> None:
    """Have the head copied now; where Redis does not answer, the next minute does it."""
    from sandbox_app.audit_tasks import audit_head_copy

    try:
        audit_head_copy.apply_async(retry=False)
    except OperationalError as error:
        log.info("the audit head is copied later", error=str(error))
