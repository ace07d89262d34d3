"""When a rule fires and when it is over: no alert twice, none that flaps, whatever the figures do."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_app.alerts.watching import Change, Condition, Kind, Watch
from metrics_app.alerts.words import figure_words, fired_words

HOT = Condition(Kind.ABOVE, value=85, clear=80, for_seconds=10, hold_seconds=20)
readings = st.lists(st.one_of(st.none(), st.floats(0, 100)), min_size=1, max_size=300)
kinds = st.sampled_from([Kind.ABOVE, Kind.BELOW, Kind.ABSENT, Kind.RISING])


def changes(
    condition: Condition, figures: list[float | None], step: float = 1.0
) -> list[tuple[float, Change]]:
    watch = Watch(condition)
    told = [(place * step, watch.step(figure, place * step)) for place, figure in enumerate(figures)]
    return [(at, change) for at, change in told if change]


def test_it_fires_after_its_time_and_is_over_after_the_hold() -> None:
    figures: list[float | None] = [86.0] * 15 + [82.0] * 30 + [79.0] * 25
    assert changes(HOT, figures) == [(0, Change.PENDING), (10, Change.FIRED), (65, Change.RESOLVED)]


def test_a_spike_fires_nothing() -> None:
    assert changes(HOT, [86.0] * 9 + [84.0] + [86.0] * 9) == [(0, Change.PENDING), (10, Change.PENDING)]


def test_a_figure_that_stays_away_says_nothing_while_it_fires() -> None:
    figures = [86.0] * 12 + [None] * 100 + [86.0]
    assert [change for _, change in changes(HOT, figures)] == [Change.PENDING, Change.FIRED]


def test_absence() -> None:
    gone = Condition(Kind.ABSENT, for_seconds=30, hold_seconds=10)
    figures = [1.0] * 5 + [None] * 40 + [1.0] * 20
    assert changes(gone, figures) == [(5, Change.PENDING), (35, Change.FIRED), (55, Change.RESOLVED)]


def test_rising_counts_over_its_window_and_a_counter_reset_is_no_fall() -> None:
    fast = Condition(Kind.RISING, value=5, for_seconds=0, hold_seconds=10, window_seconds=10)
    assert changes(fast, [float(n) for n in range(40)]) == []
    rising = [10.0 * n for n in range(20)]
    assert changes(fast, [*rising, *[0.0] * 3])[0][1] == Change.FIRED


@settings(max_examples=200, deadline=None)
@given(readings, kinds, st.floats(1, 60), st.floats(0, 30), st.floats(5, 60), st.floats(0, 40))
def test_fired_and_resolved_take_turns_and_lie_apart(
    figures: list[float | None], kind: Kind, value: float, for_seconds: float, hold: float, gap: float
) -> None:
    clear = value + gap if kind == Kind.BELOW else max(0.0, value - gap)
    condition = Condition(kind, value, clear, for_seconds, hold, window_seconds=10)
    told = [one for one in changes(condition, figures) if one[1] != Change.PENDING]
    assert [change for _, change in told] == [Change.FIRED, Change.RESOLVED] * (len(told) // 2) + [
        Change.FIRED
    ] * (len(told) % 2)
    fired = [at for at, change in told if change == Change.FIRED]
    for before, after in pairwise(fired):
        assert after - before >= hold + for_seconds - 1e-6
    resolved = [at for at, change in told if change == Change.RESOLVED]
    assert all(over - at >= hold - 1e-6 for at, over in zip(fired, resolved, strict=False))


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (85, "°C", "85 °C"),
        (12.5 * 2**30, "bytes", "12.5 GiB"),
        (0, "bytes", "0 B"),
        (3.2e6, "bytes/s", "3.2 MB/s"),
        (97.25, "percent", "97.2 %"),
        (0.0125, "s", "0.013 s"),
        (4, "", "4"),
    ],
)
def test_figures_in_words(value: float, unit: str, words: str) -> None:
    assert figure_words(value, unit) == words


def test_sentences() -> None:
    hot = fired_words(kind="above", key="gpu_temperature_celsius|0", value=85, figure=88, for_seconds=60)
    assert hot == "GPU 0 temperature is 88 °C, above 85 °C for 60 s"
    gone = fired_words(kind="absent", key="disk_used_bytes|/data", value=None, figure=None, for_seconds=30)
    assert gone == "Used on /data is not told any more for 30 s"
