"""A fact handler for tests: writes one row per fact, so that the database says what was applied."""

from __future__ import annotations

from typing import Any

from sparkweb.accounts.models import AuditEntry

ACTION = "test.noted"


def noted(node_name: str, data: dict[str, Any]) -> None:
    """Note one fact."""
    AuditEntry.objects.create(actor_label=node_name, via="system", action=ACTION, target=str(data["n"]))


def numbers_noted(node_name: str = "spark-1") -> list[int]:
    """The numbers applied so far, in the order of their commits."""
    rows = AuditEntry.objects.filter(action=ACTION, actor_label=node_name).order_by("pk")
    return [int(row.target) for row in rows]
