"""Retention of the tool audit: a signed checkpoint is appended, then what it stands for is deleted.

First what is to go is verified: a chain that does not hold is not pruned, for that would hide it. Then
an entry of kind checkpoint is committed with the range, the count, the last hash and a digest of all
hashes that go. Only now do the database's triggers let these rows be deleted, lowest first and few at a
time; a crash in between leaves a beginning that verification still follows up to the checkpoint's last
hash, and the next round deletes the rest.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import structlog
from django.db import connection, transaction

from sandbox_app.audit import audit_append
from sandbox_app.audit_verify import chain_verify, ends_read
from sandbox_app.models_audit import AuditKind, AuditRecord
from sparkweb.refusal import Refused

log = structlog.get_logger(__name__)

CHECKPOINT_ROWS_MOST = 50_000
CHECKPOINT_ROWS_LEAST = 1_000
DELETE_ROWS = 500


class AuditBroken(Refused):
    """The chain does not hold where it should be pruned."""


def audit_prune(
    before: datetime, most: int = CHECKPOINT_ROWS_MOST, least: int = CHECKPOINT_ROWS_LEAST
) -> int:
    """Prune entries older than `before`, at most `most` at a time, and only once there are `least`.

    Returns how many entries a new checkpoint covers, 0 for none. Raises AuditBroken.
    """
    covered_delete()
    ends = ends_read()
    through = min(_last_older(before, ends.head), ends.head - 1, ends.lowest + most - 1)
    if not ends.lowest or through - ends.lowest + 1 < least:
        return 0
    verdict = chain_verify(upto=through)
    if not verdict.ok:
        raise AuditBroken(f"The audit was not pruned: {verdict.sentence}", "audit_broken")
    checkpoint_append(ends.lowest, through, ends.checkpoint, before)
    covered_delete()
    return through - ends.lowest + 1


def checkpoint_append(first: int, through: int, earlier: int, before: datetime) -> AuditRecord:
    """Append what stands for entries `first` to `through`. Nothing is deleted yet."""
    digest, count, last = hashlib.sha256(), 0, ""
    rows = AuditRecord.objects.filter(number__gte=first, number__lte=through).order_by("number")
    for number, mac in rows.values_list("number", "mac").iterator(chunk_size=5_000):
        digest.update(f"{number} {mac}\n".encode())
        count, last = count + 1, mac
    body = {
        "first": first,
        "through": through,
        "count": count,
        "last_mac": last,
        "digest": digest.hexdigest(),
        "older_than": before.isoformat(timespec="seconds"),
        "earlier_checkpoint": earlier or None,
    }
    record = audit_append(AuditKind.CHECKPOINT, user_label="system", body=body, covers=through)
    log.info("audit checkpoint", number=record.number, mac=record.mac, through=through, count=count)
    return record


def covered_delete() -> int:
    """Delete what checkpoints stand for, lowest first. Returns how many entries."""
    ends, deleted = ends_read(), 0
    while ends.lowest and ends.lowest <= ends.covers:
        upto = min(ends.lowest + DELETE_ROWS - 1, ends.covers)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM sandbox_app_auditrecord WHERE number <= %s", [upto])
            deleted += cursor.rowcount
        ends = ends_read()
    return deleted


def _last_older(before: datetime, head: int) -> int:
    """Return the number up to which all entries are older than `before`."""
    younger = (
        AuditRecord.objects.filter(at__gte=before)
        .order_by("at", "number")
        .values_list("number", flat=True)
        .first()
    )
    return head if younger is None else younger - 1
