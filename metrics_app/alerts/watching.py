"""One rule on one series: when it is pending, when it fires, when it is over. Pure.

    quiet ─ met ─► pending ─ met for `for_seconds` ─► firing ─ clear for `hold_seconds` ─► quiet
              ◄─ not met ─┘                              └ met again: the clear time begins anew ┘

An alert fires once and is over once, in turn; between two firings of one alert lie at least
`hold_seconds` and `for_seconds`. That is why nobody is told twice, and why a figure that swings around its
threshold makes one alert and not a hundred.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

HOLD_SECONDS = 60.0
# A pending alert whose figure stays away this long is pending no more.
PENDING_WITHOUT_SECONDS = 30.0
RATE_POINTS = 4_000


class Kind(StrEnum):
    """What a rule asks of a series."""

    ABOVE = "above"
    BELOW = "below"
    RISING = "rising"
    ABSENT = "absent"


class Change(StrEnum):
    """What a reading did to an alert."""

    NOTHING = ""
    PENDING = "pending"
    FIRED = "fired"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Condition:
    """When an alert is met. `clear`: the figure at which it is over, None for `value` (hysteresis).

    `value` is in the series' unit; for `rising` in that unit per second, over `window_seconds`.
    """

    kind: Kind
    value: float = 0.0
    clear: float | None = None
    for_seconds: float = 0.0
    hold_seconds: float = HOLD_SECONDS
    window_seconds: float = 60.0

    def met(self, figure: float) -> bool:
        return figure < self.value if self.kind == Kind.BELOW else figure > self.value

    def over(self, figure: float) -> bool:
        edge = self.value if self.clear is None else self.clear
        return figure >= edge if self.kind == Kind.BELOW else figure <= edge


@dataclass
class Watch:
    """The state of one rule on one series. Times are seconds of one steady clock."""

    condition: Condition
    firing: bool = False
    met_since: float | None = None
    clear_since: float | None = None
    seen_at: float | None = None
    figure: float | None = None
    began_at: float | None = None
    _points: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=RATE_POINTS))

    @property
    def pending(self) -> bool:
        return not self.firing and self.met_since is not None

    def step(self, figure: float | None, now: float) -> Change:
        """Take a reading, None for none, at `now`; returns what changed."""
        if self.began_at is None:
            self.began_at = now
        if self.condition.kind == Kind.ABSENT:
            return self._absent(figure, now)
        if self.condition.kind == Kind.RISING:
            figure = self._rate(figure, now)
        if figure is None:
            return self._without(now)
        self.figure, self.seen_at = figure, now
        return self._judge(self.condition.met(figure), self.condition.over(figure), now)

    def _judge(self, met: bool, over: bool, now: float) -> Change:
        if self.firing:
            return self._while_firing(over, now)
        if not met:
            self.met_since = None
            return Change.NOTHING
        fresh = self.met_since is None
        if self.met_since is None:
            self.met_since = now
        if now - self.met_since < self.condition.for_seconds:
            return Change.PENDING if fresh else Change.NOTHING
        self.firing, self.clear_since = True, None
        return Change.FIRED

    def _while_firing(self, over: bool, now: float) -> Change:
        if not over:
            self.clear_since = None
            return Change.NOTHING
        if self.clear_since is None:
            self.clear_since = now
        if now - self.clear_since < self.condition.hold_seconds:
            return Change.NOTHING
        self.firing, self.met_since, self.clear_since = False, None, None
        return Change.RESOLVED

    def _without(self, now: float) -> Change:
        """No reading says nothing: what fires goes on, what was pending is forgotten after a while."""
        self.clear_since = None
        if self.pending and now - (self.seen_at or now) > PENDING_WITHOUT_SECONDS:
            self.met_since = None
        return Change.NOTHING

    def _absent(self, figure: float | None, now: float) -> Change:
        if figure is not None:
            self.figure, self.seen_at = figure, now
        return self._judge(figure is None, figure is not None, now)

    def _rate(self, figure: float | None, now: float) -> float | None:
        """The growth per second over the window; None until half of it was seen."""
        if figure is not None:
            if self._points and figure < self._points[-1][1] / 2:
                self._points.clear()  # a counter that began anew
            self._points.append((now, figure))
        while self._points and now - self._points[0][0] > self.condition.window_seconds:
            self._points.popleft()
        if figure is None or len(self._points) < 2:
            return None
        span = now - self._points[0][0]
        return (figure - self._points[0][1]) / span if span >= self.condition.window_seconds / 2 else None
