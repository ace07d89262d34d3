"""What control does through a day without being asked: idle unload, schedules, start on boot."""

from __future__ import annotations

import time

from django.utils import timezone

from models_app.idle import idle_unload
from models_app.schedules import schedules_round

EVERY_SECONDS = 2.0


def day_round() -> None:
    """One look at the clock and at what runs."""
    idle_unload(time.monotonic())
    schedules_round(timezone.now())
