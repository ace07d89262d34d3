"""The tool audit: entries are appended, each bound to the one before it by a key outside the database."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
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


@transaction.atomic
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
    head, _ = AuditHead.objects.select_for_update().get_or_create(pk=1)
    record = AuditRecord(
        number=head.number + 1,
        at=timezone.now(),
        kind=AuditKind(kind).value,
        run_uid=line(run_uid, 16),
        tool_name=line(tool_name, 64),
        user_label=line(user_label, 160),
        outcome=line(outcome, 10),
        covers=covers,
        body=body_text(body),
        previous=head.mac,
    )
    record.mac = record_hash(record)
    record.save(force_insert=True)
    AuditHead.objects.filter(pk=1).update(number=record.number, mac=record.mac)
    if record.number % HEAD_COPY_EVERY == 0:
        transaction.on_commit(_head_copy_ask)
    return record


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
