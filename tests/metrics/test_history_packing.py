"""Chunks of history: what goes in comes out, a reading falls where it belongs, and the right tier is read."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_app.history.figures import report_figures
from metrics_app.history.open_chunks import OpenChunks, chunks_merge, largest_only
from metrics_app.history.packing import (
    Chunk,
    ChunkDamaged,
    chunk_keys,
    chunk_pack,
    chunk_unpack,
    column_empty,
)
from metrics_app.history.tiers import DAY, HOUR, Tier, tier_for, tiers_make
from tests.support import frames

TIERS = tiers_make(raw=HOUR, ten=DAY, minute=30 * DAY, quarter=730 * DAY)
TEN = Tier(1, 10, 60, DAY)
figure = st.floats(min_value=1e-3, max_value=1e15, allow_nan=False)


def filled(values: dict[int, float], slots: int = 12, folds: bool = False) -> Chunk:
    chunk = Chunk(slots, folds, {"cpu_percent": column_empty(slots, folds)})
    column = chunk.columns["cpu_percent"]
    for slot, value in values.items():
        column.mean[slot] = column.low[slot] = column.high[slot] = value
    return chunk


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(0, 11), figure), st.booleans())
def test_figures_come_back_to_one_in_eight_thousand_and_gaps_stay_gaps(
    values: dict[int, float], folds: bool
) -> None:
    column = chunk_unpack(chunk_pack(filled(values, folds=folds))).columns["cpu_percent"]
    for plane in (column.mean, column.low, column.high):
        for slot in range(12):
            if slot in values:
                assert math.isclose(plane[slot], values[slot], rel_tol=1 / 8192)
            else:
                assert math.isnan(plane[slot])


def test_zero_is_zero_and_not_a_gap() -> None:
    assert chunk_unpack(chunk_pack(filled({3: 0.0}))).columns["cpu_percent"].mean[3] == 0.0


def test_only_the_asked_series_are_unpacked() -> None:
    chunk = filled({0: 1.0})
    chunk.columns["load"] = column_empty(12, False)
    data = chunk_pack(chunk)
    assert chunk_keys(data) == ["cpu_percent", "load"]
    assert list(chunk_unpack(data, ["load", "absent"]).columns) == ["load"]


@pytest.mark.parametrize("data", [b"", b"\1", b"\x04\0\0\0abcd", chunk_pack(filled({1: 2.0}))[:-3]])
def test_damaged_bytes_are_said_to_be(data: bytes) -> None:
    with pytest.raises(ChunkDamaged):
        chunk_unpack(data)


def opened() -> OpenChunks:
    return OpenChunks((TEN,), lambda node, tier, start: None)


def test_a_point_is_mean_low_and_high_of_its_readings() -> None:
    chunks = opened()
    for at, value in ((100, 10.0), (104, 40.0), (109.9, 10.0), (110, 7.0)):
        assert chunks.take("n", at, {"cpu_percent": value}) == []
    (closed,) = chunks.all()
    column = closed.chunk.columns["cpu_percent"]
    assert closed.start == 60
    assert (column.mean[4], column.low[4], column.high[4]) == (20.0, 10.0, 40.0)
    assert column.mean[5] == 7.0
    assert math.isnan(column.mean[3])


def test_the_next_period_closes_a_chunk_and_a_clock_set_back_merges() -> None:
    chunks = opened()
    chunks.take("n", 61, {"cpu_percent": 1.0})
    (first,) = chunks.take("n", 125, {"cpu_percent": 2.0})
    assert first.start == 60
    (second,) = chunks.take("n", 75, {"cpu_percent": 3.0})  # the clock went back
    assert second.start == 120
    (late,) = chunks.all()
    merged = chunks_merge(first.chunk, late.chunk).columns["cpu_percent"]
    assert [merged.mean[0], merged.mean[1]] == [1.0, 3.0]


def test_only_the_largest_containers_are_kept_in_coarse_tiers() -> None:
    figures = {f"container_memory_bytes|c{n}": float(n) for n in range(30)}
    figures |= {f"container_cpu_percent|c{n}": 1.0 for n in range(30)} | {"cpu_percent": 5.0}
    kept = largest_only(figures, 20)
    assert len(kept) == 41
    assert "container_cpu_percent|c29" in kept
    assert "container_cpu_percent|c9" not in kept
    assert largest_only(figures, None) == figures


@pytest.mark.parametrize(
    ("ago", "span", "step"),
    [
        (900, 900, 1),
        (HOUR + 5, HOUR, 1),
        (2 * HOUR, 2 * HOUR, 10),
        (DAY - 60, DAY - 60, 60),
        (7 * DAY, 7 * DAY, 900),
        (30 * DAY, 30 * DAY, 900),
        (2 * DAY, 2 * HOUR, 60),
        (400 * DAY, DAY, 900),
        (700 * DAY, 700 * DAY, 6 * HOUR),
    ],
)
def test_the_finest_tier_that_reaches_back_is_read(ago: int, span: int, step: int) -> None:
    now = 2_000_000_000.0
    assert tier_for(TIERS, start=now - ago, end=now - ago + span, now=now, points=2_000).step == step


def test_figures_of_a_report() -> None:
    figures = report_figures("spark-1", frames.report(now=0.0))
    assert figures["gpu_utilization_percent|0"] == 71
    assert figures["gpu_memory_bytes|0"] == int(46.2 * frames.GIB), "what processes hold, on unified memory"
    assert "gpu_fan_percent|0" not in figures, "GB10 tells none"
    assert {"cpu_percent", "memory_available_bytes"} <= figures.keys()


@pytest.mark.parametrize(
    "odd", [float("nan"), float("inf"), -1, 9.2e18, 2**64 - 1, "12", None, True, [1], 101]
)
def test_what_cannot_be_true_is_no_figure(odd: object) -> None:
    report = {"gpus": [frames.gpu(utilization_percent=odd)], "host": {"cpu_percent": odd}}
    figures = report_figures("n", report)
    assert "gpu_utilization_percent|0" not in figures
    assert "cpu_percent" not in figures


@pytest.mark.parametrize("odd", [{}, {"gpus": 3, "host": [], "containers": {"a": 1}}, {"gpus": [None]}])
def test_odd_reports_have_no_figures(odd: dict) -> None:
    assert report_figures("n", odd) == {}
