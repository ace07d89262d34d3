"""How finely history is kept, and for how long. Pure but for the settings that it is made from.

Each tier holds one point for each step; a chunk is the points of one period, packed into one row.
"""

from __future__ import annotations

from dataclasses import dataclass

HOUR = 3_600
DAY = 86_400
FOLD_LIMIT = 4
KEEP_SLACK = 1.01


@dataclass(frozen=True)
class Tier:
    """`step` seconds between points, `period` seconds in a chunk, `keep` seconds until it is pruned.

    `containers`: how many containers are kept, None for all.
    """

    number: int
    step: int
    period: int
    keep: int
    containers: int | None = None

    @property
    def slots(self) -> int:
        """Points in a chunk."""
        return self.period // self.step

    def start_of(self, at: float) -> int:
        """The start of the chunk that a moment (seconds since the epoch) falls into."""
        return int(at // self.period) * self.period

    @property
    def folds(self) -> bool:
        """Whether a point stands for several readings: then minimum and maximum are kept beside the mean."""
        return self.step > 1


def tiers_make(*, raw: int, ten: int, minute: int, quarter: int, largest: int = 20) -> tuple[Tier, ...]:
    """The tiers for the seconds that each is kept. The coarsest is what charts of years are read from."""
    return (
        Tier(0, 1, 300, raw),
        Tier(1, 10, HOUR, ten),
        Tier(2, 60, 6 * HOUR, minute),
        Tier(3, 900, 4 * DAY, quarter, largest),
        Tier(4, 6 * HOUR, 90 * DAY, quarter, largest),
    )


def tier_for(tiers: tuple[Tier, ...], *, start: float, end: float, now: float, points: int) -> Tier:
    """The finest tier that reaches back to `start` and has at most four steps for each of `points` points.

    Where none reaches back that far, the one that reaches furthest; where all have too many
    steps, the coarsest. A tier reaches back a hundredth further than it is kept: the last hour
    is asked for a moment after it has begun.
    """
    reaching = [tier for tier in tiers if start >= now - tier.keep * KEEP_SLACK] or [tiers[-1]]
    fitting = [tier for tier in reaching if (end - start) / tier.step <= FOLD_LIMIT * points]
    return (fitting or [reaching[-1]])[0]
