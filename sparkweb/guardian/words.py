"""Sentences about what the guardian did. Pure."""

from __future__ import annotations

from sparkweb.guardian.decide import BELOW_FLOOR, FALLING, KILL, SPARE, Floors, Reading, Verdict, slope

GIB = 2**30


def gibibytes(count: float) -> str:
    """A size with one decimal, in MiB below one GiB.

    >>> gibibytes(3 * 2**30), gibibytes(300 * 2**20)
    ('3.0 GiB', '300 MiB')
    """
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / 2**20:.0f} MiB"


def sentence(verdict: Verdict, readings: list[Reading], floors: Floors) -> str:
    """Say what was done, by which figures, and why this one."""
    shortage = _shortage(verdict, readings, floors)
    if verdict.action == SPARE and verdict.victim:
        return (
            f"{shortage}. Only ready models are left, and SPARKWEB_GUARDIAN_PROTECT_READY keeps them; "
            f"{verdict.victim.name} would have been the next to go"
        )
    if verdict.action != KILL or verdict.victim is None:
        return f"{shortage}, and nothing of SparkWeb runs here that could be stopped"
    return f"stopped by the memory guardian: {shortage}. {_why_this_one(verdict)}"


def _shortage(verdict: Verdict, readings: list[Reading], floors: Floors) -> str:
    now = readings[-1]
    had = f"{gibibytes(now.available_bytes)} of memory were available"
    if verdict.victim and verdict.victim.kind == "ready":
        return f"{had}, less than the lower floor of {gibibytes(floors.lower_floor_bytes)}"
    if verdict.cause == BELOW_FLOOR:
        return f"{had}, less than the floor of {gibibytes(floors.floor_bytes)}"
    if verdict.cause == FALLING:
        lost = gibibytes(-slope(readings))
        return (
            f"{had}, {lost} less each second, so the lower floor of {gibibytes(floors.lower_floor_bytes)} "
            f"was {floors.horizon_seconds:g} s away at most"
        )
    return f"{had}, and everything waited for memory {now.stall_percent:.0f} % of the time"


def _why_this_one(verdict: Verdict) -> str:
    victim = verdict.victim
    assert victim
    if victim.kind == "ready":
        among = "Every model left was pinned, and it" if victim.pinned else "It"
        return f"{among} had the lowest priority of those that were ready ({victim.priority})"
    return {
        "start": "It was the newest start",
        "sandbox": "It was the newest run in the sandbox",
        "download": "It was the newest download",
    }[victim.kind]
