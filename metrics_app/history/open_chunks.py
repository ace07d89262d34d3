"""The chunks that are being written: one for each tier of a node, in memory. Pure.

A reading falls into a slot by its time. Within a slot that folds several readings the mean, minimum and
maximum are kept up to date, so that a chunk is right at every moment. A reading of another period closes
the chunk; one that comes late, or after the clock was set back, is merged into what was kept of its period.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from metrics_app.history.figures import Figures, key_metric, key_subject
from metrics_app.history.packing import Chunk, Column, column_empty
from metrics_app.history.tiers import Tier


@dataclass(frozen=True)
class Closed:
    """A chunk that is complete for now: where it belongs, and what is in it."""

    node_name: str
    tier: Tier
    start: int
    chunk: Chunk


@dataclass
class OpenChunk:
    """The chunk of one tier that readings go into. `counts`: of how many readings a slot's mean is."""

    node_name: str
    tier: Tier
    start: int
    chunk: Chunk
    counts: dict[str, int] = field(default_factory=dict)
    slot: int = -1
    changed: bool = False

    def take(self, at: float, figures: Figures) -> None:
        """Put the readings of one moment into their slot."""
        slot = int((at - self.start) // self.tier.step)
        if slot != self.slot:
            self.slot, self.counts = slot, {}
        self.changed = True
        for key, value in figures.items():
            column = self.chunk.columns.get(key)
            if column is None:
                column = self.chunk.columns[key] = column_empty(self.tier.slots, self.tier.folds)
            self._fold(key, column, slot, value)

    def _fold(self, key: str, column: Column, slot: int, value: float) -> None:
        before = column.mean[slot]
        if not self.tier.folds or math.isnan(before):
            column.mean[slot] = column.low[slot] = column.high[slot] = value
            self.counts[key] = 1
            return
        # After a restart how many readings the mean is of is not known: the new one counts like the old mean.
        count = self.counts[key] = self.counts.get(key, 1) + 1
        column.mean[slot] = before + (value - before) / count
        column.low[slot] = min(column.low[slot], value)
        column.high[slot] = max(column.high[slot], value)


def chunks_merge(below: Chunk, above: Chunk) -> Chunk:
    """Two chunks of one period: where both have a reading, that of `above`."""
    for key, column in above.columns.items():
        under = below.columns.get(key)
        if under is None:
            below.columns[key] = column
            continue
        for slot, value in enumerate(column.mean):
            if not math.isnan(value):
                under.mean[slot] = value
                under.low[slot], under.high[slot] = column.low[slot], column.high[slot]
    return below


class OpenChunks:
    """All open chunks. `find` gives what is kept of a period (node, tier, start), or None."""

    def __init__(self, tiers: tuple[Tier, ...], find: Callable[[str, Tier, int], Chunk | None]) -> None:
        self.tiers = tiers
        self._find = find
        self._open: dict[tuple[str, int], OpenChunk] = {}

    def take(self, node_name: str, at: float, figures: Figures) -> list[Closed]:
        """Take one report's figures at `at` seconds; returns the chunks that this closed."""
        closed = []
        for tier in self.tiers:
            start = tier.start_of(at)
            place = (node_name, tier.number)
            chunk = self._open.get(place)
            if chunk is not None and chunk.start != start:
                closed.append(Closed(node_name, tier, chunk.start, chunk.chunk))
                chunk = None
            if chunk is None:
                kept = self._find(node_name, tier, start) or Chunk(tier.slots, tier.folds)
                chunk = self._open[place] = OpenChunk(node_name, tier, start, kept)
            chunk.take(at, largest_only(figures, tier.containers))
        return closed

    def changed(self) -> list[OpenChunk]:
        """The open chunks with readings since the last call."""
        found = [chunk for chunk in self._open.values() if chunk.changed]
        for chunk in found:
            chunk.changed = False
        return found

    def all(self) -> list[Closed]:
        """All open chunks as they are, when there will be no more readings."""
        return [Closed(one.node_name, one.tier, one.start, one.chunk) for one in self._open.values()]


def largest_only(figures: Figures, containers: int | None) -> Figures:
    """The figures, those of containers only for the so many that hold the most memory."""
    if containers is None:
        return figures
    held = {
        key_subject(key): value for key, value in figures.items() if key.startswith("container_memory_bytes|")
    }
    if len(held) <= containers:
        return figures
    kept = set(sorted(held, key=lambda name: held[name], reverse=True)[:containers])

    def stays(key: str) -> bool:
        metric = key_metric(key)
        return metric is None or metric.scope != "container" or key_subject(key) in kept

    return {key: value for key, value in figures.items() if stays(key)}
