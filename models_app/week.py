"""The week of the schedules as the page draws it, and what is due now."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from models_app.models_schedules import Schedule
from models_app.schedule_clock import DAY_NAMES, Bar, active_since, next_boundary, week_bars
from models_app.schedules import schedule_zone

COLOURS = 4


@dataclass(frozen=True)
class WeekBar:
    """A bar on the line of a day, in percent of its width and `lane` from the top."""

    schedule: Schedule
    colour: int
    left: float
    width: float
    lane: int


@dataclass
class WeekDay:
    name: str
    is_today: bool
    bars: list[WeekBar] = field(default_factory=list)

    @property
    def lanes(self) -> int:
        return max((bar.lane for bar in self.bars), default=0) + 1


@dataclass(frozen=True)
class ScheduleRow:
    """A schedule in the list: whether its window holds now and when it next begins or ends."""

    schedule: Schedule
    colour: int
    since: datetime | None
    next_at: datetime | None


def schedule_rows(schedules: list[Schedule], now: datetime) -> list[ScheduleRow]:
    """Return the rows of the list, each with its colour (0 to 3)."""
    zone = schedule_zone()
    return [
        ScheduleRow(
            schedule,
            place % COLOURS,
            active_since(schedule.window, now, zone) if schedule.enabled else None,
            next_boundary([schedule.window], now, zone) if schedule.enabled else None,
        )
        for place, schedule in enumerate(schedules)
    ]


def week(rows: list[ScheduleRow], now: datetime) -> list[WeekDay]:
    """Return the seven days, Monday first, with the bars of enabled schedules; none covers another."""
    today = timezone.localtime(now, schedule_zone()).weekday()
    days = [WeekDay(name, place == today) for place, name in enumerate(DAY_NAMES)]
    for row in rows:
        if row.schedule.enabled:
            for bar in week_bars(row.schedule.window):
                _place(days[bar.day], row, bar)
    return days


def _place(day: WeekDay, row: ScheduleRow, bar: Bar) -> None:
    taken = {
        other.lane
        for other in day.bars
        if bar.left < other.left + other.width and other.left < bar.left + bar.width
    }
    lane = next(number for number in range(len(day.bars) + 1) if number not in taken)
    day.bars.append(WeekBar(row.schedule, row.colour, bar.left, bar.width, lane))


def now_percent(now: datetime) -> float:
    """Return how much of today has passed by the wall clock, in percent."""
    local = timezone.localtime(now, schedule_zone())
    passed = timedelta(hours=local.hour, minutes=local.minute)
    return round(100 * passed / timedelta(days=1), 2)
