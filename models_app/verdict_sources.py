"""What models_app tells the verdicts: which models run on several nodes, and whose a member is."""

from __future__ import annotations

import time

import structlog
from django.db import DatabaseError

from metrics_app.verdicts.stragglers import Group
from models_app.history import slug_of
from models_app.models import LaunchMember, LaunchState

log = structlog.get_logger(__name__)

GROUPS_EVERY_SECONDS = 5.0
_groups: tuple[float, list[Group]] = (-GROUPS_EVERY_SECONDS, [])


def groups_ready() -> list[Group]:
    """Return the ready models of several nodes, at most 5 s old, or the last known without a database."""
    global _groups
    if time.monotonic() - _groups[0] < GROUPS_EVERY_SECONDS:
        return _groups[1]
    try:
        found = groups_read()
    except DatabaseError as error:
        log.warning("models of several nodes are not read again", error=str(error))
        found = _groups[1]
    _groups = (time.monotonic(), found)
    return found


def groups_read() -> list[Group]:
    """Read the ready models of several nodes."""
    rows = LaunchMember.objects.filter(
        live=True, node__isnull=False, attempt__launch__live=True, attempt__launch__state=LaunchState.READY
    ).values_list("attempt__launch__uid", "attempt__launch__definition_slug", "node__name")
    nodes: dict[tuple[str, str], list[str]] = {}
    for uid, slug, name in rows.order_by("rank"):
        nodes.setdefault((uid, slug), []).append(name)
    return [
        Group(slug, tuple(dict.fromkeys(names))) for (_, slug), names in nodes.items() if len(set(names)) > 1
    ]


def model_of(member: str) -> str | None:
    """Return the slug of a member's model; None for one that nobody knows, or while the database is away."""
    try:
        return slug_of(member)
    except DatabaseError:
        return None
