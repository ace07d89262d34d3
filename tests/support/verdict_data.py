"""Nodes whose figures are played to the verdicts' bench, second by second, without waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metrics_app.verdicts.bench import Bench
from metrics_app.verdicts.stragglers import Group
from tests.support import frames

WALL = 1_790_000_000.0
Made = dict[str, Any] | Callable[[int], dict[str, Any]]


class Played:
    """A bench with a clock of its own."""

    def __init__(self, groups: list[Group] | None = None, model: str | None = None) -> None:
        self.now = 1_000.0
        self.told: dict[str, dict[str, Any]] = {}
        self.bench = Bench(groups=lambda: groups or [], model_of=lambda _: model, clock=lambda: self.now)

    def play(self, seconds: int, **nodes: Made) -> dict[str, Any]:
        """Report each second from each node (a function is given the second); returns the last answer."""
        told: dict[str, Any] = {}
        for second in range(seconds):
            for name, made in nodes.items():
                report = made(second) if callable(made) else made
                told = self.bench.take(name, report, WALL + self.now)
                self.told[name] = told
            self.now += 1
        return told

    def kinds(self, name: str = "spark") -> set[str]:
        """The kinds of verdict that stand on a node."""
        return {one["kind"] for one in self.told[name]["found"]}


def judged(
    report: dict[str, Any], *, now: float, model: str | None = None, seconds: int = 130
) -> dict[str, Any]:
    """What two minutes of one report would be told, as if they ended at `now`."""
    played = Played(model=model)
    told = played.play(seconds, spark=report)
    for one in told["found"]:
        one["since"] = now - 100
    return told


def report(**changes: Any) -> dict[str, Any]:
    """A report of a DGX Spark with a model that is well."""
    made = frames.report(member="1" * 16)
    return {**made, **changes}


def machine(**changes: Any) -> dict[str, Any]:
    """A report in which the machine's own figures differ."""
    return report(host=frames.host(**changes))


def card(**changes: Any) -> dict[str, Any]:
    """A report in which figures of the GPU differ."""
    return report(gpus=[frames.gb10() | changes])
