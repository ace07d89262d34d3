"""What pages and API read of the tool audit: filtered lists by number, never by counting, and charts.

A chain of a million entries is paged by the number that a page ends with. One condition on a column has an
index of its own; several at once, or a text, are looked for in so many entries at a time, and the page says
how far it has looked.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db.models import QuerySet

from sandbox_app.models import Outcome, ToolRun
from sandbox_app.models_audit import AuditHead, AuditKind, AuditRecord
from sparkweb.accounts.models import User

PAGE_ROWS = 50
PAGE_ROWS_MOST = 500
SCAN_ROWS = 30_000
TEXT_SCAN_ROWS = 8_000
EXPORT_ROWS = 2_000
LABELS_MOST = 200
LABELS_CACHED_SECONDS = 30
FAILED = "failed"
FAILED_OUTCOMES = tuple(value for value in Outcome.values if value != Outcome.OK)


@dataclass(frozen=True)
class AuditFilter:
    """What a list is narrowed to. `outcome` may be "failed": any but ok. `before`: numbers below it alone."""

    kind: str = ""
    tool: str = ""
    user: str = ""
    outcome: str = ""
    run: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcomes it lets through; () for every one."""
        if self.outcome == FAILED:
            return FAILED_OUTCOMES
        return (self.outcome,) if self.outcome else ()

    @property
    def conditions(self) -> int:
        """How many columns it is about."""
        return sum(bool(value) for value in (self.kind, self.tool, self.user, self.outcome))

    @property
    def narrows(self) -> bool:
        """Whether it leaves anything out but by page."""
        return replace(self, before=None) != AuditFilter()


@dataclass(frozen=True)
class AuditPage:
    """Entries newest first. `next_before` is where the next page begins, None at the end.

    `looked_back_to` is set where the search stopped before the page was full: there may be more.
    """

    records: list[AuditRecord] = field(default_factory=list)
    next_before: int | None = None
    looked_back_to: int | None = None


def audit_page(wanted: AuditFilter, rows: int = PAGE_ROWS) -> AuditPage:
    """Return one page of entries, without their bodies' digests computed anew."""
    low, high = _bounds(wanted)
    if high < low:
        return AuditPage()
    if wanted.run:
        return _page(list(_narrowed(wanted, low, high).order_by("-number")[: rows + 1]), rows)
    if wanted.text or wanted.conditions > 1:
        return _scanned(wanted, low, high, rows)
    return _page(_merged(wanted, low, high, rows + 1), rows)


def _page(found: list[AuditRecord], rows: int) -> AuditPage:
    more = len(found) > rows
    return AuditPage(found[:rows], found[rows - 1].number if more else None)


def _scanned(wanted: AuditFilter, low: int, high: int, rows: int) -> AuditPage:
    """Look through so many entries below `high`; what is not found there may lie further back."""
    floor = max(low, high - (TEXT_SCAN_ROWS if wanted.text else SCAN_ROWS) + 1)
    found = list(_narrowed(wanted, floor, high).order_by("-number")[: rows + 1])
    if len(found) > rows:
        return _page(found, rows)
    return AuditPage(found, floor, floor) if floor > low else AuditPage(found)


def _merged(wanted: AuditFilter, low: int, high: int, rows: int) -> list[AuditRecord]:
    """One index answers one value in order; several values are several questions, merged."""
    base = _narrowed(replace(wanted, user="", outcome=""), low, high).order_by("-number")
    if wanted.user:
        parts = [base.filter(user_label=label) for label in labels_of(wanted.user)]
    elif wanted.outcomes:
        parts = [base.filter(outcome=outcome) for outcome in wanted.outcomes]
    else:
        parts = [base]
    lists = (list(part[:rows]) for part in parts)
    return list(heapq.merge(*lists, key=lambda record: -record.number))[:rows]


def _narrowed(wanted: AuditFilter, low: int, high: int) -> QuerySet[AuditRecord]:
    records = AuditRecord.objects.filter(number__gte=low, number__lte=high)
    for column, value in (("kind", wanted.kind), ("tool_name", wanted.tool), ("run_uid", wanted.run)):
        if value:
            records = records.filter(**{column: value})
    if wanted.user:
        records = records.filter(user_label__in=labels_of(wanted.user))
    if wanted.outcomes:
        records = records.filter(outcome__in=wanted.outcomes)
    if wanted.text:
        # Bodies are ASCII: what is looked for is written as it stands there.
        records = records.filter(body__icontains=json.dumps(wanted.text)[1:-1])
    return records


def _bounds(wanted: AuditFilter) -> tuple[int, int]:
    """Return the lowest and highest number that may match. Numbers follow time, so an index finds them."""
    head = AuditHead.objects.filter(pk=1).values_list("number", flat=True).first() or 0
    high = head if wanted.before is None else min(head, wanted.before - 1)
    low = 1
    times = AuditRecord.objects.order_by("at", "number").values_list("number", flat=True)
    if wanted.since:
        first = times.filter(at__gte=wanted.since).first()
        low = head + 1 if first is None else first
    if wanted.until:
        after = times.filter(at__gte=wanted.until).first()
        high = high if after is None else min(high, after - 1)
    return low, high


# Labels ------------------------------------------------------------------------------


def labels_of(user: str) -> list[str]:
    """Return the labels that a person's entries bear: the name, and the name with each of its keys."""
    return [label for label in user_labels() if label == user or label.startswith(f"{user} (")] or [user]


def user_labels() -> list[str]:
    """Return who stands in the audit, by name, 200 at most."""
    return _distinct("user_label")


def tool_names() -> list[str]:
    """Return which tools stand in the audit, by name, 200 at most."""
    return _distinct("tool_name")


def _distinct(column: str) -> list[str]:
    """Step through an index from value to value: a DISTINCT would read it whole."""
    key = f"audit-{column}"
    known = cache.get(key)
    if isinstance(known, list):
        return known
    found: list[str] = []
    values = AuditRecord.objects.order_by(column).values_list(column, flat=True)
    while len(found) < LABELS_MOST:
        value = values.filter(**{f"{column}__gt": found[-1] if found else ""}).first()
        if value is None:
            break
        found.append(value)
    cache.set(key, found, LABELS_CACHED_SECONDS)
    return found


# One entry, and all of them ------------------------------------------------------------


def may_see(user: User, record: AuditRecord, *, admin: bool) -> bool:
    """Admins see every entry; others those of runs that they asked for."""
    if admin or not record.run_uid:
        return admin
    return ToolRun.objects.filter(uid=record.run_uid, user=user).exists()


def records_of_run(uid: str) -> list[AuditRecord]:
    """Return the entries of one run, oldest first."""
    return list(AuditRecord.objects.filter(run_uid=uid).order_by("number")) if uid else []


def export_batches(wanted: AuditFilter) -> Iterator[list[AuditRecord]]:
    """Yield every entry that matches, newest first, in batches; each batch is a query of its own."""
    low, high = _bounds(wanted)
    while high >= low:
        floor = max(low, high - SCAN_ROWS + 1)
        records = list(_narrowed(wanted, floor, high).order_by("-number")[:EXPORT_ROWS])
        if records:
            yield records
        high = records[-1].number - 1 if len(records) == EXPORT_ROWS else floor - 1


def record_json(record: AuditRecord) -> dict[str, Any]:
    """Return an entry as exports and API show it: all that is hashed, and the hash."""
    return {
        "number": record.number,
        "at": record.at.isoformat(),
        "kind": record.kind,
        "run": record.run_uid,
        "tool": record.tool_name,
        "user": record.user_label,
        "outcome": record.outcome,
        "covers": record.covers,
        "body": record.content,
        "previous": record.previous,
        "mac": record.mac,
    }


def kinds() -> list[tuple[str, str]]:
    """Return the kinds of entries with their labels."""
    return list(AuditKind.choices)
