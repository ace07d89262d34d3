"""What models were used for: sums of the ledger, for pages, the API and files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncDay, TruncHour
from django.utils import timezone

from chat_app.models import UsageOutcome, UsageRecord
from sparkweb.accounts.models import Role, User

SPANS = ((1, "A day"), (7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "A year"))
DAYS_MOST = 3650
HOUR, DAY = 3600, 86400
LINES_MOST = 8
GROUPED = {"model": "model", "user": "user_label", "key": "key_label", "endpoint": "endpoint"}
FAILED = Q(outcome__in=[UsageOutcome.ERROR, UsageOutcome.CUT])


@dataclass(frozen=True)
class UsageFilter:
    """Which entries: the last `days`, of one model, user, key or endpoint where named."""

    days: int = 30
    model: str = ""
    user: str = ""
    key: str = ""
    endpoint: str = ""


def usage_records(user: User, wanted: UsageFilter) -> QuerySet[UsageRecord]:
    """Return the entries that a user may see: their own; admins see all."""
    since = timezone.now() - timedelta(days=wanted.days)
    records = UsageRecord.objects.filter(at__gte=since)
    if not user.has_role(Role.ADMIN):
        records = records.filter(user=user)
    for name, column in GROUPED.items():
        if value := getattr(wanted, name):
            records = records.filter(**{column: value})
    return records


def usage_total(records: QuerySet[UsageRecord]) -> dict[str, Any]:
    """Return requests, failures and tokens in all. Tokens that nobody told count as none."""
    return {name: value or 0 for name, value in records.aggregate(**_SUMS).items()}


def usage_by(records: QuerySet[UsageRecord], by: str) -> list[dict[str, Any]]:
    """Return sums by `by` (a name of GROUPED), most output first; times in ms, tokens a second of streams."""
    rows = records.order_by().values(name=F(GROUPED[by])).annotate(**_SPEEDS).annotate(**_SUMS)
    found: list[dict[str, Any]] = [
        {name: 0 if value is None and name in _SUMS else value for name, value in row.items()} for row in rows
    ]
    for row in found:
        writing = (row.pop("stream_ms") or 0) / 1000
        row["tokens_per_second"] = row.pop("stream_tokens") / writing if writing > 0 else None
    return sorted(found, key=lambda row: (-row["output_tokens"], -row["requests"], row["name"]))


def usage_series(records: QuerySet[UsageRecord], days: int) -> dict[str, Any]:
    """Return requests and tokens over time (UTC), by model, the most used eight.

    Shape: {"t": [seconds], "step": seconds, "lines": [{"name", "requests": [], "tokens": []}], "left_out"}.
    """
    step, cut = (HOUR, TruncHour) if days <= 1 else (DAY, TruncDay)
    now = timezone.now()
    first = int((now - timedelta(days=days)).timestamp()) // step * step
    buckets = list(range(first, int(now.timestamp()) + 1, step))
    rows = records.order_by().annotate(bucket=cut("at", tzinfo=UTC)).values("model", "bucket")
    counts: dict[str, dict[int, tuple[int, int]]] = {}
    for row in rows.annotate(requests=Count("pk"), tokens=Sum("output_tokens")):
        at = int(row["bucket"].timestamp())
        counts.setdefault(row["model"], {})[at] = (row["requests"], row["tokens"] or 0)
    ranked = sorted(counts, key=lambda name: -sum(requests for requests, _ in counts[name].values()))
    lines = [
        {
            "name": name,
            "requests": [counts[name].get(at, (0, 0))[0] for at in buckets],
            "tokens": [counts[name].get(at, (0, 0))[1] for at in buckets],
        }
        for name in ranked[:LINES_MOST]
    ]
    return {"t": buckets, "step": step, "lines": lines, "left_out": max(0, len(ranked) - LINES_MOST)}


CSV_COLUMNS = (
    "at", "user_label", "key_label", "model", "node_name", "endpoint", "streamed", "status", "outcome",
    "error", "input_tokens", "output_tokens", "cached_tokens", "is_estimated", "first_ms", "duration_ms",
)  # fmt: skip


def usage_rows(records: QuerySet[UsageRecord]) -> Iterator[list[Any]]:
    """Yield entries for a file, oldest first, in the order of CSV_COLUMNS."""
    for row in records.order_by("at", "pk").values_list(*CSV_COLUMNS).iterator(chunk_size=2000):
        yield [value.isoformat() if isinstance(value, datetime) else value for value in row]


def usage_prune(before: datetime) -> int:
    """Delete entries older than `before`, some at a time; returns how many."""
    old = UsageRecord.objects.filter(at__lt=before).order_by("at").values_list("pk", flat=True)[:5000]
    return UsageRecord.objects.filter(pk__in=list(old)).delete()[0]


_STREAMED = Q(streamed=True, outcome=UsageOutcome.OK, output_tokens__gt=1, first_ms__isnull=False)
_SUMS = {
    "requests": Count("pk"),
    "failed": Count("pk", filter=FAILED),
    "input_tokens": Sum("input_tokens"),
    "output_tokens": Sum("output_tokens"),
    "cached_tokens": Sum("cached_tokens"),
}
# In this order: an annotation hides the column that it is named after.
_SPEEDS = {
    "stream_tokens": Sum("output_tokens", filter=_STREAMED, default=0),
    "stream_ms": Sum(F("duration_ms") - F("first_ms"), filter=_STREAMED),
    "first_ms": Avg("first_ms", filter=_STREAMED),
}
