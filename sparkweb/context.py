"""What every page's template may use."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from sparkweb import config
from sparkweb.accounts.models import RANK, Role, User

VERSION = "0.1.0"


def page(request: HttpRequest) -> dict[str, Any]:
    """Return what the signed-in user may do, and facts of this installation.

    `can_operate`, `can_admin`: the role; `local_node`: name of the node on this
    machine; `sparkweb_version`.
    """
    user = getattr(request, "user", None)
    rank = RANK[Role(user.role)] if isinstance(user, User) else 0
    return {
        "can_operate": rank >= RANK[Role.OPERATOR],
        "can_admin": rank >= RANK[Role.ADMIN],
        "local_node": config.NODE_NAME,
        "sparkweb_version": VERSION,
    }
