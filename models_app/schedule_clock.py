"""When the windows of a week begin and end, in a time zone that may change its clocks. Pure.

A window begins on its days at a time of the wall clock and ends at another; an
end that is not after the beginning lies on the next day (22:00 to 08:00; equal
times are a whole day). A time that the clocks skip counts as if they had not:
02:30 on such a night is 03:30. One that they show twice is the first of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LOOK_AHEAD_DAYS = 8


@dataclass(frozen=True)
class Window:
    """Days (0 is Monday) and times of a wall clock."""

    days: frozenset[int]
    starts_at: time
    ends_at: time

    @property
    def ends_next_day(self) -> bool:
        return self.ends_at <= self.starts_at


def active_since(window: Window, now: datetime, zone: tzinfo) -> datetime | None:
    """Return when the window that holds at `now` began (UTC); None outside of it."""
    begun = [start for start, end in occurrences(window, now, zone) if start <= now < end]
    return max(begun) if begun else None


def next_boundary(windows: Iterable[Window], now: datetime, zone: tzinfo) -> datetime | None:
    """Return the next moment after `now` (UTC) at which a window begins or ends; None without windows."""
    moments = (edge for window in windows for pair in occurrences(window, now, zone) for edge in pair)
    return min((edge for edge in moments if edge > now), default=None)


def occurrences(window: Window, now: datetime, zone: tzinfo) -> Iterator[tuple[datetime, datetime]]:
    """Yield beginning and end (UTC) of each occurrence from two days before `now` to eight after."""
    today = now.astimezone(zone).date()
    for offset in range(-2, LOOK_AHEAD_DAYS + 1):
        day = today + timedelta(days=offset)
        if day.weekday() in window.days:
            start = _moment(day, window.starts_at, zone)
            end = _moment(day + timedelta(days=window.ends_next_day), window.ends_at, zone)
            if start < end:
                yield start, end


def _moment(day: date, at: time, zone: tzinfo) -> datetime:
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True)
class Bar:
    """A piece of one day that a window covers, in percent of 24 hours of the wall clock."""

    day: int
    left: float
    width: float


def week_bars(window: Window) -> list[Bar]:
    """Return what a window covers of a week, cut at midnight; Sunday's night ends on Monday."""
    start, end = _percent(window.starts_at), _percent(window.ends_at)
    bars = []
    for day in sorted(window.days):
        if not window.ends_next_day:
            bars.append(Bar(day, start, end - start))
            continue
        bars.append(Bar(day, start, 100 - start))
        if end:
            bars.append(Bar((day + 1) % 7, 0, end))
    return bars


def _percent(at: time) -> float:
    return round((at.hour * 60 + at.minute) / 14.4, 3)


def days_text(days: Iterable[int]) -> str:
    """Write days as people do: `Monday to Friday`, `Saturday, Sunday`, `every day`."""
    wanted = sorted(set(days))
    if len(wanted) == 7:
        return "every day"
    if len(wanted) > 2 and wanted == list(range(wanted[0], wanted[-1] + 1)):
        return f"{DAY_NAMES[wanted[0]]} to {DAY_NAMES[wanted[-1]]}"
    return ", ".join(DAY_NAMES[day] for day in wanted)
