"""The last minutes of a node, as short series of numbers. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from metrics_app.verdicts.reading import Reading

MEMORY_SECONDS = 30.0
MINUTE = 60.0
DISK_SECONDS = 600.0
DISK_STEP_SECONDS = 10.0


class Series:
    """Points of the last `seconds`, at least `step` seconds apart. Times are of one steady clock."""

    def __init__(self, seconds: float, step: float = 0.0) -> None:
        self._seconds = seconds
        self._step = step
        self._points: deque[tuple[float, float]] = deque(maxlen=200)

    def add(self, now: float, value: float | None) -> None:
        """Take a value; None (not told) drops what was before: nothing is said across a gap."""
        if value is None:
            self._points.clear()
            return
        if self._points and now - self._points[-1][0] < self._step:
            return
        self._points.append((now, value))
        while now - self._points[0][0] > self._seconds:
            self._points.popleft()

    @property
    def span(self) -> float:
        """Seconds between the oldest and the newest point."""
        return self._points[-1][0] - self._points[0][0] if self._points else 0.0

    def mean(self) -> float | None:
        return sum(value for _, value in self._points) / len(self._points) if self._points else None

    def slope(self, last: float | None = None) -> float | None:
        """Change per second by least squares, of all or the `last` seconds; None of fewer than 3 points."""
        since = self._points[-1][0] - last if last and self._points else float("-inf")
        points = [point for point in self._points if point[0] >= since]
        if len(points) < 3 or points[0][0] == points[-1][0]:
            return None
        at = sum(time for time, _ in points) / len(points)
        level = sum(value for _, value in points) / len(points)
        above = sum((time - at) * (value - level) for time, value in points)
        return above / sum((time - at) ** 2 for time, _ in points)


@dataclass
class Window:
    """What is remembered of a node."""

    available: Series = field(default_factory=lambda: Series(MEMORY_SECONDS))
    utilization: Series = field(default_factory=lambda: Series(MINUTE))
    sampler_cpu: Series = field(default_factory=lambda: Series(MINUTE))
    sampler_late: Series = field(default_factory=lambda: Series(MINUTE))
    disks: dict[str, Series] = field(default_factory=dict)

    def add(self, now: float, reading: Reading) -> None:
        """Take a reading at `now`."""
        self.available.add(now, reading.memory_available)
        busy = [gpu.utilization for gpu in reading.gpus if gpu.utilization is not None]
        self.utilization.add(now, sum(busy) / len(busy) if busy else None)
        self.sampler_cpu.add(now, reading.sampler_cpu)
        self.sampler_late.add(now, reading.sampler_late)
        mounts = {disk.mount: disk for disk in reading.disks}
        self.disks = {mount: series for mount, series in self.disks.items() if mount in mounts}
        for mount, disk in mounts.items():
            self.disks.setdefault(mount, Series(DISK_SECONDS, DISK_STEP_SECONDS)).add(now, disk.used)
