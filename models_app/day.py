"""What control does through a day without being asked: idle unload, schedules, start on boot."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.utils import timezone

from models_app.idle import idle_unload
from models_app.schedules import schedules_round

EVERY_SECONDS = 2.0
IDLE_EVERY_SECONDS = 10.0


@dataclass
class Day:
    """One look at the clock each time; at what has nothing to do, less often."""

    clock: Callable[[], float] = time.monotonic
    idle_due: float = 0.0

    def round(self) -> None:
        now = self.clock()
        if now >= self.idle_due:
            self.idle_due = now + IDLE_EVERY_SECONDS
            idle_unload(now)
        schedules_round(timezone.now())


DAY = Day()
