"""Who asks for something: passed to every service that writes an audit entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkweb.accounts.models import AuditEntry

if TYPE_CHECKING:
    from sparkweb.accounts.models import User


@dataclass(frozen=True)
class Actor:
    """A user or the system itself, with the means and the address it came by."""

    user: User | None
    label: str
    via: str
    address: str | None = None


SYSTEM = Actor(None, "system", "system")


def audit(actor: Actor, action: str, target: object = "", **detail: object) -> AuditEntry:
    """Write one audit entry in the caller's transaction. `detail` must be JSON-able and free of secrets."""
    return AuditEntry.objects.create(
        actor=actor.user,
        actor_label=actor.label,
        via=actor.via,
        address=actor.address,
        action=action,
        target=str(target)[:200],
        detail=detail,
    )
