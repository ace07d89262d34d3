"""Notices that this process stood still: stopped, swapped out, or the machine slept."""

from __future__ import annotations

import time
from collections.abc import Callable

NOTABLE_SECONDS = 5.0


class Watch:
    """beat() once a second; stood_still_since() tells the longest pause since a moment.

    Jobs that wake up late ask it before they touch Docker: meanwhile control may
    have given up on them. All times by the monotonic clock, which goes on while a
    process is stopped.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_beat = clock()
        self._pauses: list[tuple[float, float]] = []

    def beat(self) -> None:
        now = self._clock()
        pause = now - self._last_beat
        if pause > NOTABLE_SECONDS:
            self._pauses = [*self._pauses[-99:], (now, pause)]
        self._last_beat = now

    def now(self) -> float:
        return self._clock()

    def stood_still_since(self, moment: float) -> float:
        """Seconds of the longest pause that ended after `moment`, or is going on."""
        ended = [pause for end, pause in self._pauses if end > moment]
        return max([self._clock() - self._last_beat, *ended])
