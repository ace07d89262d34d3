"""How long a start will still take, learned from earlier ones of the same definition, image and node. Pure.

Nothing is claimed without an earlier start, nor once this one takes longer than all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from models_app.stage_clock import STAGES

# A start that is late by less than this is not worth a word.
SLACK_SECONDS = 5.0


@dataclass(frozen=True)
class Spread:
    """The median of some seconds, the least and the most."""

    median_seconds: float
    low_seconds: float
    high_seconds: float

    @property
    def words(self) -> str:
        """Such as "about 3 min, 2 to 5 min"; without the range where it says nothing more."""
        middle, range_ = _span(self.median_seconds), self.range_words
        return f"about {middle}" + (f", {range_}" if range_ != middle else "")

    @property
    def range_words(self) -> str:
        """Such as "2 to 5 min"."""
        low, high = _span(self.low_seconds), _span(self.high_seconds)
        if low == high:
            return low
        short = low.rpartition(" ")[0] if low.split()[-1] == high.split()[-1] and low.count(" ") == 1 else low
        return f"{short} to {high}"


@dataclass(frozen=True)
class StageTime:
    """One stage: how long this start was in it (None: not yet), and what earlier ones took (None: never)."""

    stage: str
    seconds: float | None
    usual: Spread | None


@dataclass(frozen=True)
class TimeToGo:
    """`left` is None where nothing can be said of it; `sentence` says what can."""

    starts: int
    left: Spread | None
    exceeded: bool
    sentence: str


def spread_of(seconds: list[float]) -> Spread | None:
    """Median and range; None of nothing."""
    return Spread(median(seconds), min(seconds), max(seconds)) if seconds else None


def time_to_go(earlier: list[dict[str, float]], stage: str, seconds: dict[str, float]) -> TimeToGo | None:
    """What is left of a start that is in `stage` now ("": none yet); None without an earlier start.

    `earlier` holds the seconds by stage of each start that became ready, `seconds`
    those of this one so far.
    """
    if not earlier:
        return None
    starts = len(earlier)
    of = "the one earlier start" if starts == 1 else f"{starts} earlier starts"
    position = STAGES.index(stage) if stage in STAGES else -1
    after = spread_of([sum(run.get(name, 0.0) for name in STAGES[position + 1 :]) for run in earlier])
    assert after is not None
    if position < 0:
        return TimeToGo(starts, after, False, f"{after.words}, by {of}")
    now = seconds.get(stage, 0.0)
    usual = spread_of([run[stage] for run in earlier if run.get(stage)])
    if usual is None:
        return TimeToGo(starts, None, False, f"{after.words} after this stage, which {of} had not")
    if now > usual.high_seconds + SLACK_SECONDS:
        return TimeToGo(starts, None, True, f"longer in this stage than {of}: {usual.range_words}")
    rest = [
        max(0.0, run.get(stage, 0.0) - now) + sum(run.get(name, 0.0) for name in STAGES[position + 1 :])
        for run in earlier
    ]
    left = spread_of(rest)
    assert left is not None
    return TimeToGo(starts, left, False, f"{left.words} to go, by {of}")


def stage_times(earlier: list[dict[str, float]], seconds: dict[str, float]) -> list[StageTime]:
    """This start beside earlier ones, stage by stage; stages that no start had are left out."""
    rows = [
        StageTime(name, seconds.get(name), spread_of([run[name] for run in earlier if run.get(name)]))
        for name in STAGES
    ]
    return [row for row in rows if row.seconds is not None or row.usual]


def _span(seconds: float) -> str:
    """Seconds as people say them: "20 s", "3 min", "1 h 10 min"."""
    if seconds < 10:
        return f"{round(seconds)} s"
    if seconds < 57.5:
        return f"{5 * round(seconds / 5)} s"
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(5 * round(minutes / 5), 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
