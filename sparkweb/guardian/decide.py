"""Whether to act, on whom, and why. Pure: no clock, no files, no processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

KINDS = ("start", "sandbox", "download", "ready")
"""Classes of victims in the order in which they go; `ready` only below the lower floor."""

SUSTAINED = 2  # readings in a row: one alone may be a glitch
FALLING_READINGS = 3
SLOPE_SECONDS = 2.0
STALL_PERCENT = 20.0
SETTLE_SECONDS = 3.0  # freeing the memory of what was ended takes the kernel a while
URGENT_SETTLE_SECONDS = 1.0
RECOVER_SECONDS = 15.0
STALL_MEMORY_SECONDS = 20.0  # the kernel's figure is an average over ten seconds
FAST_SECONDS = 0.1
CALM_SECONDS = 1.0
REARM = 1.25

BELOW_FLOOR = "below_floor"
FALLING = "falling"
STALLED = "stalled"

KILL = "kill"
SPARE = "spare"
NOTHING_LEFT = "nothing_left"


class Reading(NamedTuple):
    """Memory at one moment. `at` in monotonic seconds; `stall_percent` is PSI's `full avg10` or None."""

    at: float
    available_bytes: int
    stall_percent: float | None = None


@dataclass(frozen=True)
class Floors:
    """When to act: below `floor_bytes` on what is not ready, below `lower_floor_bytes` on ready launches."""

    floor_bytes: int
    lower_floor_bytes: int
    horizon_seconds: float = 3.0
    protect_ready: bool = False

    @property
    def warning_bytes(self) -> int:
        """Below it the guardian looks ten times a second."""
        return 2 * self.floor_bytes


def floors_of(
    total_bytes: int, floor_mb: int, lower_floor_mb: int, horizon_seconds: float, protect_ready: bool
) -> Floors:
    """The floors of a machine. 0 for a floor: 2.5 % of its memory, from 256 MiB to 3 GiB; the lower one half.

    A lower floor above the floor counts as the floor. 3 GiB is what a DGX Spark
    needs beside its models (llamastash/llamastash PR 81).
    """
    mebibyte = 2**20
    sized = min(max(total_bytes * 25 // 1000, 256 * mebibyte), 3072 * mebibyte)
    floor = floor_mb * mebibyte or sized
    lower = min(lower_floor_mb * mebibyte or floor // 2, floor)
    return Floors(floor, lower, horizon_seconds, protect_ready)


@dataclass(frozen=True)
class Victim:
    """Something of ours that may be ended.

    `scope` says what belongs to it: the `container` of `container_id`, the
    `session` that `pid` leads (a script), or the `process` `pid` alone. `pid` is its
    first process as the host counts it and `start_ticks` when that began (field 22 of
    /proc/PID/stat), `cgroup` a folder that has its `cgroup.procs`; None where unknown.
    `started_at` in seconds since the epoch.
    """

    key: str
    kind: str
    name: str
    container_id: str
    started_at: float = 0.0
    priority: int = 0
    pinned: bool = False
    pid: int | None = None
    start_ticks: int | None = None
    cgroup: str | None = None
    scope: str = "container"


@dataclass(frozen=True)
class Past:
    """What was done before. `dealt_with` holds keys; `told` says that this shortage was told already."""

    acted_at: float = float("-inf")
    dealt_with: frozenset[str] = frozenset()
    told: bool = False


@dataclass(frozen=True)
class Verdict:
    """`action` is `kill`, `spare` (it would have been a ready launch's turn) or `nothing_left`."""

    action: str
    cause: str
    victim: Victim | None = None


def decide(
    readings: Sequence[Reading], victims: Iterable[Victim], floors: Floors, past: Past
) -> Verdict | None:
    """Say what to do now; None: nothing. `readings` are the newest last, `victims` all that may ever go.

    At most one victim at a time, and the next only once the memory of the last
    had time to come back. Nobody is chosen twice.
    """
    cause = shortage(readings, floors, past)
    if cause is None or _must_wait(readings, floors, past):
        return None
    left = [one for one in victims if one.key not in past.dealt_with and one.kind in KINDS]
    if first := _first_to_go([one for one in left if one.kind != "ready"]):
        return Verdict(KILL, cause, first)
    if not is_critical(readings, floors):
        return None
    ready = _first_to_go(left)
    if ready and not floors.protect_ready:
        return Verdict(KILL, cause, ready)
    if past.told:
        return None
    return Verdict(SPARE, cause, ready) if ready else Verdict(NOTHING_LEFT, cause)


def shortage(readings: Sequence[Reading], floors: Floors, past: Past) -> str | None:
    """Return why memory is short, None while it is not.

    Below the floor twice in a row; or below the warning level and falling so that
    the lower floor is reached within the horizon; or below it while everything
    waits for memory a fifth of the time.
    """
    if not readings or readings[-1].available_bytes >= floors.warning_bytes:
        return None
    if _stays_below(readings, floors.floor_bytes):
        return BELOW_FLOOR
    now = readings[-1]
    if _falls(readings):
        soon = now.available_bytes + slope(readings) * floors.horizon_seconds
        if soon < floors.lower_floor_bytes:
            return FALLING
    stalls = now.stall_percent is not None and now.stall_percent >= STALL_PERCENT
    return STALLED if stalls and now.at - past.acted_at > STALL_MEMORY_SECONDS else None


def is_critical(readings: Sequence[Reading], floors: Floors) -> bool:
    """Whether even ready launches may go."""
    return _stays_below(readings, floors.lower_floor_bytes)


def slope(readings: Sequence[Reading]) -> float:
    """Bytes a second over the last two seconds; negative while memory is taken."""
    now = readings[-1]
    window = [one for one in readings if now.at - one.at <= SLOPE_SECONDS]
    seconds = now.at - window[0].at
    return (now.available_bytes - window[0].available_bytes) / seconds if seconds > 0 else 0.0


def past_after(past: Past, verdict: Verdict, now: float) -> Past:
    """The past once a verdict was carried out."""
    if verdict.action == KILL and verdict.victim:
        return replace(past, acted_at=now, dealt_with=past.dealt_with | {verdict.victim.key})
    return replace(past, told=True)


def past_seen(past: Past, reading: Reading, floors: Floors) -> Past:
    """The past after a reading: once memory is well above the floor, the next shortage is a new one."""
    if past.told and reading.available_bytes >= floors.floor_bytes * REARM:
        return replace(past, told=False)
    return past


def interval_seconds(readings: Sequence[Reading], floors: Floors) -> float:
    """How long to wait until the next look: a tenth of a second once the warning level is near."""
    if not readings:
        return CALM_SECONDS
    now = readings[-1].available_bytes
    near = now + min(0.0, slope(readings)) * 2 * CALM_SECONDS < floors.warning_bytes
    return FAST_SECONDS if near else CALM_SECONDS


def _must_wait(readings: Sequence[Reading], floors: Floors, past: Past) -> bool:
    """Whether what was ended last may still be giving its memory back."""
    since = readings[-1].at - past.acted_at
    if is_critical(readings, floors):
        return since < URGENT_SETTLE_SECONDS
    return since < SETTLE_SECONDS or (since < RECOVER_SECONDS and slope(readings) > 0)


def _first_to_go(victims: list[Victim]) -> Victim | None:
    """Starts, then sandbox, then downloads, the newest first; ready ones by priority, pinned ones last."""

    def turn(one: Victim) -> tuple[int, bool, int, float]:
        by_rank = (one.pinned, one.priority) if one.kind == "ready" else (False, 0)
        return (KINDS.index(one.kind), *by_rank, -one.started_at)

    return min(victims, key=turn, default=None)


def _stays_below(readings: Sequence[Reading], level: int) -> bool:
    last = list(readings)[-SUSTAINED:]
    return len(last) == SUSTAINED and all(one.available_bytes < level for one in last)


def _falls(readings: Sequence[Reading]) -> bool:
    last = list(readings)[-FALLING_READINGS:]
    falling = all(a.available_bytes > b.available_bytes for a, b in pairwise(last))
    return len(last) == FALLING_READINGS and falling
