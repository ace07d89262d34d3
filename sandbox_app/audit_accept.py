"""An admin's word that a chain which others remember differently is the one that counts from now on.

Needed after an old backup was restored on purpose: the chain holds, but log, file and nodes remember what
came after it. The acceptance is an entry of the chain itself, with what was remembered; the file of copies
is put aside, not deleted, and nodes keep the new head. What is wrong within the chain is not cured by it.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from sandbox_app.audit import audit_append
from sandbox_app.audit_heads import HeadCopy, copies_known, copy_problems, head_tell, heads_file
from sandbox_app.exceptions import ToolRefused
from sandbox_app.models_audit import AuditKind, AuditRecord
from sparkweb.accounts.actor import Actor, audit

REASON_MOST = 500
COPIES_NOTED = 50


def copies_against() -> list[HeadCopy]:
    """Return the copies of earlier heads that the chain does not agree with, highest number first."""
    return sorted(copy_problems(copies_known()), key=lambda copy: -copy.number)


def audit_accept(*, actor: Actor, reason: str) -> AuditRecord:
    """Accept the chain as it is. Raises ToolRefused where every copy agrees, or without a reason."""
    against = copies_against()
    if not against:
        raise ToolRefused(
            "Every copy of the head agrees with the chain; there is nothing to accept", "agreed"
        )
    if not reason.strip():
        raise ToolRefused("Say why, for the record", "reason_missing")
    with transaction.atomic():
        audit(actor, "tool_audit_accept", reason=reason[:REASON_MOST])
        record = audit_append(
            AuditKind.ACCEPTED,
            user_label=actor.label,
            body={
                "reason": reason[:REASON_MOST],
                "address": actor.address,
                "via": actor.via,
                "remembered": [vars(copy) for copy in against[:COPIES_NOTED]],
            },
        )
        transaction.on_commit(lambda: _heads_renew(record))
    return record


def _heads_renew(record: AuditRecord) -> None:
    path = heads_file()
    if path.exists():
        path.rename(path.with_name(f"{path.name}.until-{timezone.now():%Y%m%dT%H%M%S}"))
    head_tell(record.number, record.mac, accept=True)
