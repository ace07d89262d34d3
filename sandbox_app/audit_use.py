"""How much tools are used and how often that fails, over time: counts from the audit itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from sandbox_app.models import Outcome
from sandbox_app.models_audit import AuditKind, AuditRecord

SPANS = ((1, "A day"), (7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "A year"))
HOUR, DAY = 3_600, 86_400
LINES_MOST = 8
CACHED_SECONDS = 60
GROUPED = ("tool", "user")

Counts = dict[str, dict[int, list[int]]]


def audit_use(days: int, by: str) -> dict[str, Any]:
    """Return runs and failures by hour, six hours or day (UTC), for the eight most used of `by` each.

    `by` is "tool" or "user". Shape: {"t": [seconds], "step": seconds, "lines": [{"name", "runs": [int],
    "failed": [int]}], "left_out": int, "total": {"runs", "failed"}}. Counted anew each minute.
    """
    key = f"audit-use-{by}-{days}"
    known = cache.get(key)
    if isinstance(known, dict):
        return known
    step = HOUR if days == 1 else 6 * HOUR if days <= 7 else DAY
    now = timezone.now()
    first = int((now - timedelta(days=days)).timestamp()) // step * step + step
    counts = _counts(datetime.fromtimestamp(first, UTC), step, by)
    buckets = list(range(first, int(now.timestamp()) + 1, step))
    ranked = sorted(counts, key=lambda name: -sum(runs for runs, _ in counts[name].values()))
    lines = [
        {
            "name": name,
            "runs": [counts[name].get(at, (0, 0))[0] for at in buckets],
            "failed": [counts[name].get(at, (0, 0))[1] for at in buckets],
        }
        for name in ranked[:LINES_MOST]
    ]
    every = [pair for one in counts.values() for pair in one.values()]
    use = {
        "t": buckets,
        "step": step,
        "lines": lines,
        "left_out": max(0, len(ranked) - LINES_MOST),
        "total": {"runs": sum(runs for runs, _ in every), "failed": sum(failed for _, failed in every)},
    }
    cache.set(key, use, CACHED_SECONDS)
    return use


def _counts(since: datetime, step: int, by: str) -> Counts:
    """Count ends of runs by name and bucket: [runs, failed]."""
    first = AuditRecord.objects.filter(at__gte=since).order_by("at").values_list("number", flat=True).first()
    if first is None:
        return {}
    # UTC as text up to the hour or day: what a vendor makes of dates costs more than the counting.
    length = 10 if step == DAY else 13
    at = "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24')" if connection.vendor == "postgresql" else "at"
    column = "tool_name" if by == "tool" else "user_label"
    counts: Counts = {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {column}, substr({at}, 1, {length}), count(*), "  # noqa: S608 - columns of ours
            "sum(CASE WHEN outcome = %s THEN 0 ELSE 1 END) FROM sandbox_app_auditrecord "
            f"WHERE kind = %s AND number >= %s GROUP BY {column}, substr({at}, 1, {length})",
            [Outcome.OK.value, AuditKind.ENDED.value, first],
        )
        for name, bucket, runs, failed in cursor.fetchall():
            place = counts.setdefault(_person(name) if by == "user" else name or "–", {})
            seconds = _seconds(bucket) // step * step
            before = place.get(seconds, [0, 0])
            place[seconds] = [before[0] + int(runs), before[1] + int(failed)]
    return counts


def _person(label: str) -> str:
    """Return whose label it is, whichever key was used."""
    return label.partition(" (key ")[0] or "–"


def _seconds(bucket: str) -> int:
    moment = datetime.strptime(bucket, "%Y-%m-%d %H" if len(bucket) > 10 else "%Y-%m-%d")
    return int(moment.replace(tzinfo=UTC).timestamp())
