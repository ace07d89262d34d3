"""Windows of a week: pure arithmetic on wall clocks, also when they change."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from models_app.schedule_clock import Bar, Window, active_since, days_text, next_boundary, week_bars

BERLIN = ZoneInfo("Europe/Berlin")
WEEKDAYS = frozenset(range(5))


def window(days: frozenset[int] | set[int], start: str, end: str) -> Window:
    return Window(frozenset(days), time.fromisoformat(start), time.fromisoformat(end))


def at(text: str) -> datetime:
    """A moment by Berlin's clock."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


DAY = window(WEEKDAYS, "08:00", "18:00")
NIGHT = window(WEEKDAYS, "22:00", "06:30")


@pytest.mark.parametrize(
    ("name", "held", "now", "since"),
    [
        ("before it begins", DAY, "2026-11-30 07:59:59", None),
        ("the moment it begins", DAY, "2026-11-30 08:00", "2026-11-30 08:00"),
        ("the moment it ends", DAY, "2026-11-30 18:00", None),
        ("on a Saturday", DAY, "2026-12-05 12:00", None),
        ("past midnight", NIGHT, "2026-12-01 02:00", "2026-11-30 22:00"),
        ("Friday's night on Saturday", NIGHT, "2026-12-05 06:00", "2026-12-04 22:00"),
        ("no night from Sunday", NIGHT, "2026-11-30 02:00", None),
        ("a whole day", window({0}, "00:00", "00:00"), "2026-11-30 23:59", "2026-11-30 00:00"),
        ("a whole day from noon", window({0}, "12:00", "12:00"), "2026-12-01 11:00", "2026-11-30 12:00"),
    ],
)
def test_a_window_holds(name: str, held: Window, now: str, since: str | None) -> None:
    assert active_since(held, at(now), BERLIN) == (at(since) if since else None)


def test_a_night_is_an_hour_longer_or_shorter_when_clocks_change() -> None:
    night = window({5}, "22:00", "06:00")
    for saturday, sunday, hours in (("2026-10-24", "2026-10-25", 9), ("2026-03-28", "2026-03-29", 7)):
        since = active_since(night, at(f"{sunday} 05:59"), BERLIN)
        assert since == at(f"{saturday} 22:00")
        end = next_boundary([night], at(f"{sunday} 05:59"), BERLIN)
        assert end == at(f"{sunday} 06:00")
        assert (end - since).total_seconds() == 3600 * hours


def test_an_hour_that_clocks_skip_counts_as_if_they_had_not() -> None:
    early = window({6}, "02:30", "05:00")
    assert active_since(early, at("2026-03-29 03:29"), BERLIN) is None
    assert active_since(early, at("2026-03-29 03:30"), BERLIN) == at("2026-03-29 03:30")
    assert active_since(window({6}, "02:00", "03:00"), at("2026-03-29 03:00"), BERLIN) is None


def test_an_hour_that_clocks_show_twice_begins_once() -> None:
    early = window({6}, "02:30", "05:00")
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert active_since(early, first, BERLIN) == first
    assert active_since(early, second, BERLIN) == first


def test_the_next_boundary_is_the_nearest_of_all() -> None:
    assert next_boundary([DAY, NIGHT], at("2026-11-30 12:00"), BERLIN) == at("2026-11-30 18:00")
    assert next_boundary([DAY], at("2026-12-04 18:00"), BERLIN) == at("2026-12-07 08:00")
    assert next_boundary([], at("2026-12-04 18:00"), BERLIN) is None


def test_bars_of_a_week_are_cut_at_midnight() -> None:
    assert week_bars(window({0}, "06:00", "12:00")) == [Bar(0, 25, 25)]
    assert week_bars(window({6}, "18:00", "06:00")) == [Bar(6, 75, 25), Bar(0, 0, 25)]
    assert week_bars(window({2}, "00:00", "00:00")) == [Bar(2, 0, 100)]


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (range(7), "every day"),
        ([0, 1, 2, 3, 4], "Monday to Friday"),
        ([6, 5], "Saturday, Sunday"),
        ([0, 2, 4], "Monday, Wednesday, Friday"),
    ],
)
def test_days_in_words(days: list[int], text: str) -> None:
    assert days_text(days) == text
