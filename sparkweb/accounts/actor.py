"""Who asks for something: passed to every service that writes an audit entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkweb.accounts.models import RANK, AuditEntry, Role

if TYPE_CHECKING:
    from sparkweb.accounts.models import User


@dataclass(frozen=True)
class Actor:
    """A user or the system itself, with the means and the address it came by.

    `rank` is what the caller may do at most (1 viewer, 2 operator, 3 admin): that of an API key's
    scopes. None: whatever the user's role allows.
    """

    user: User | None
    label: str
    via: str
    address: str | None = None
    rank: int | None = None

    def may(self, role: str) -> bool:
        """Say whether the caller may do what needs `role`; the system itself may everything."""
        if self.user is None:
            return self.rank is None
        return self.user.has_role(role) and (self.rank is None or self.rank >= RANK[Role(role)])


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
