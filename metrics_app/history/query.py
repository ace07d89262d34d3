"""What charts ask: the figures of some series over a span, from the tier that suits it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from metrics_app.history.figures import METRICS, SCOPES, key_metric, key_subject
from metrics_app.history.packing import Chunk, Column
from metrics_app.history.store import chunks_between, keys_between, open_find
from metrics_app.history.tiers import DAY, Tier, tier_for
from sparkweb.refusal import Refused
from sparkweb.streams import StreamsDown

POINTS_LIMIT = 2_000
SERIES_AT_ONCE = 100
LONGEST_SPAN_SECONDS = 3 * 366 * DAY
LISTED_SPAN_SECONDS = 7 * DAY


class SpanRefused(Refused):
    """A question about history that has no answer; the sentence says why."""


@dataclass(frozen=True)
class Lines:
    """One series: a list as long as `t` for each of mean, low and high."""

    mean: list[float | None]
    low: list[float | None]
    high: list[float | None]


@dataclass(frozen=True)
class Samples:
    """The answer: `t` the start of each step in seconds since the epoch, evenly spaced."""

    step: int
    t: list[int]
    series: dict[str, Lines] = field(default_factory=dict)


def samples_read(
    node_name: str,
    keys: list[str],
    *,
    start: float,
    end: float,
    points: int = 1_000,
    now: float | None = None,
    tiers: tuple[Tier, ...] | None = None,
) -> Samples:
    """Read series of one node between two moments (seconds since the epoch), at most `points` points each.

    Raises SpanRefused for a span that is reversed, too long or not finite, for unknown metrics and for too
    many series.
    """
    now = time.time() if now is None else now
    span_check(start, end)
    _keys_check(keys)
    points = max(2, min(points, POINTS_LIMIT))
    start, end = max(0.0, start), min(end, now + DAY)
    tier = tier_for(tiers or settings.HISTORY_TIERS, start=start, end=end, now=now, points=points)
    fold = max(1, math.ceil((end - start) / tier.step / points))
    first = int(start // (tier.step * fold)) * fold
    count = min(points, max(0, math.ceil((end / tier.step - first) / fold)))
    times = [(first + place * fold) * tier.step for place in range(count)]
    builders = {key: _Builder(count) for key in keys}
    for chunk_start, chunk in _chunks(node_name, tier, start, end, keys):
        for key, column in chunk.columns.items():
            if key in builders:
                builders[key].add(column, chunk_start // tier.step - first, fold)
    return Samples(tier.step * fold, times, {key: one.lines() for key, one in builders.items()})


def span_check(start: float, end: float) -> None:
    """Raise SpanRefused for a span that cannot be read."""
    if not (math.isfinite(start) and math.isfinite(end)):
        raise SpanRefused("start and end must be times in seconds since 1970", "span_invalid")
    if end <= start:
        raise SpanRefused("end must come after start", "span_reversed")
    if end - start > LONGEST_SPAN_SECONDS:
        raise SpanRefused("a span of at most three years can be read at once", "span_too_long")


def _keys_check(keys: list[str]) -> None:
    if len(keys) > SERIES_AT_ONCE:
        raise SpanRefused(f"at most {SERIES_AT_ONCE} series can be read at once", "too_many_series")
    for key in keys:
        if key_metric(key) is None:
            raise SpanRefused(f"there is no series {key[:80]!r}", "series_unknown")


class _Builder:
    """Gathers the points of one series; several slots of a chunk may fall into one point."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.sums = [0.0] * count
        self.numbers = [0] * count
        self.low = [math.inf] * count
        self.high = [-math.inf] * count

    def add(self, column: Column, offset: int, fold: int) -> None:
        """Take a chunk's column whose first slot is `offset` steps after the first point."""
        begin, stop = max(0, -offset), min(len(column.mean), self.count * fold - offset)
        mean, low, high = column.mean, column.low, column.high
        sums, numbers, lows, highs = self.sums, self.numbers, self.low, self.high
        for slot in range(begin, stop):  # min() and max() would take twice as long as all the rest
            value = mean[slot]
            if value != value:  # NaN: no reading
                continue
            place = (slot + offset) // fold
            sums[place] += value
            numbers[place] += 1
            if low[slot] < lows[place]:
                lows[place] = low[slot]
            if high[slot] > highs[place]:
                highs[place] = high[slot]

    def lines(self) -> Lines:
        known = [number > 0 for number in self.numbers]
        return Lines(
            [_round(self.sums[n] / self.numbers[n]) if known[n] else None for n in range(self.count)],
            [_round(self.low[n]) if known[n] else None for n in range(self.count)],
            [_round(self.high[n]) if known[n] else None for n in range(self.count)],
        )


def _round(value: float) -> float:
    """As many digits as are kept: more would be noise, and bytes."""
    return float(f"{value:.5g}")


def _chunks(node_name: str, tier: Tier, start: float, end: float, keys: list[str]) -> list[tuple[int, Chunk]]:
    found = dict(chunks_between(node_name, tier, start, end, keys))
    try:
        newest = open_find(node_name, tier, keys)
    except StreamsDown:
        newest = None
    if newest and newest[0] < end:
        found[newest[0]] = newest[1]
    return sorted(found.items())


def series_list(node_name: str, *, now: float | None = None) -> list[dict[str, Any]]:
    """Return the series of a node with readings in the last week, as series_describe tells them."""
    now = time.time() if now is None else now
    keys: dict[str, None] = {}
    for source in (settings.HISTORY_TIERS[2], settings.HISTORY_TIERS[3]):
        keys.update(dict.fromkeys(keys_between(node_name, source, now - LISTED_SPAN_SECONDS, now)))
    rows = [row for key in keys if (row := series_describe(key))]
    places = {name: place for place, name in enumerate(METRICS)}
    return sorted(rows, key=lambda row: (places[row["metric"]], row["subject"]))


def series_describe(key: str) -> dict[str, Any] | None:
    """What a page says of a series; None for a key of no known metric."""
    metric = key_metric(key)
    if metric is None:
        return None
    return {
        "key": key,
        "metric": metric.name,
        "subject": key_subject(key),
        "label": metric.label,
        "unit": metric.unit,
        "scope": metric.scope,
        "scope_label": SCOPES[metric.scope],
    }
