"""The memory of the last seconds before a guardian acted, as a line for SVG. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 320.0, 80.0
HEADROOM = 1.1
SECONDS_MOST = 30.0


@dataclass(frozen=True)
class ActChart:
    """`points` for a polyline in a box of 320 by 80; heights of both floors; how many seconds it spans."""

    points: str
    floor_y: float
    lower_floor_y: float
    seconds: float


def act_chart(
    readings: Sequence[Sequence[float | None]], floor_bytes: int, lower_floor_bytes: int
) -> ActChart | None:
    """Draw rows of (seconds before the act, available bytes, …); None for fewer than two usable ones."""
    rows = [
        (row[0], row[1])
        for row in readings
        if len(row) >= 2 and row[0] is not None and row[1] is not None and -SECONDS_MOST <= row[0] <= 0
    ]
    if len(rows) < 2 or rows[-1][0] <= rows[0][0]:
        return None
    first = rows[0][0]
    top = max(*(value for _, value in rows), floor_bytes, 1) * HEADROOM
    seconds = rows[-1][0] - first

    def height(value: float) -> float:
        return round(HEIGHT * (1 - value / top), 1)

    points = " ".join(f"{WIDTH * (at - first) / seconds:.1f},{height(value)}" for at, value in rows)
    return ActChart(points, height(floor_bytes), height(lower_floor_bytes), seconds)
