"""From findings to verdicts: begun once they held, over once they were gone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from metrics_app.verdicts.judges import exhausted_in, judged
from metrics_app.verdicts.kinds import KINDS, Finding, Place
from metrics_app.verdicts.memory import ledger
from metrics_app.verdicts.reading import Reading, reading_of
from metrics_app.verdicts.stragglers import Group, stragglers
from metrics_app.verdicts.window import Window

VERDICTS_MOST = 50
FORGET_SECONDS = 30.0
SEVERITIES = ("critical", "warning", "info")


@dataclass
class Standing:
    """A finding and since when it holds, by the steady clock; `since` is a wall clock's, of its beginning."""

    finding: Finding
    held_since: float
    since: float
    gone_since: float | None = None
    begun: bool = False


@dataclass(frozen=True)
class Change:
    """A verdict that began or ended on a node."""

    node_name: str
    finding: Finding
    begun: bool


@dataclass
class NodeState:
    """What is remembered of one node."""

    window: Window = field(default_factory=Window)
    standing: dict[Place, Standing] = field(default_factory=dict)
    heard_at: float = 0.0

    def step(self, findings: list[Finding], now: float, wall: float) -> list[tuple[Finding, bool]]:
        """Take what is the matter at `now`; returns what began (True) and ended (False)."""
        changes = []
        found = {(one.kind, one.subject): one for one in findings[:VERDICTS_MOST]}
        for place, finding in found.items():
            one = self.standing.setdefault(place, Standing(finding, now, wall))
            one.finding, one.gone_since = finding, None
            if not one.begun and now - one.held_since >= KINDS[finding.kind].begins:
                one.begun = True
                changes.append((finding, True))
        for place in self.standing.keys() - found.keys():
            if self._leaves(self.standing[place], now):
                one = self.standing.pop(place)
                if one.begun:
                    changes.append((one.finding, False))
        return changes

    def active(self) -> frozenset[Place]:
        return frozenset(place for place, one in self.standing.items() if one.begun)

    def _leaves(self, one: Standing, now: float) -> bool:
        """What has not begun is forgotten at once; a verdict after it was gone for its time."""
        if one.gone_since is None:
            one.gone_since = now
        return not one.begun or now - one.gone_since >= KINDS[one.finding.kind].ends


class Bench:
    """The verdicts of all nodes. One thread owns it: that which takes reports."""

    def __init__(
        self,
        *,
        groups: Callable[[], list[Group]] = list,
        model_of: Callable[[str], str | None] = lambda _member: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._groups = groups
        self._model_of = model_of
        self._clock = clock
        self._nodes: dict[str, NodeState] = {}
        self.changes: list[Change] = []

    def take(self, node_name: str, report: dict[str, Any], wall: float) -> dict[str, Any]:
        """Judge a report that came at `wall` (seconds since the epoch); returns the frame's `verdicts`."""
        now = self._clock()
        state = self._nodes.setdefault(node_name, NodeState())
        if now - state.heard_at > FORGET_SECONDS:
            state.window = Window()  # nothing is said across a silence
        state.heard_at = now
        reading = reading_of(report)
        state.window.add(now, reading)
        active = state.active()
        findings = judged(reading, state.window, active)
        windows = {
            name: one.window for name, one in self._nodes.items() if now - one.heard_at < FORGET_SECONDS
        }
        findings += stragglers(node_name, self._groups(), windows, active)
        changed = state.step(findings, now, wall)
        self.changes += [Change(node_name, finding, begun) for finding, begun in changed]
        return self._told(state, reading)

    def active(self, node_name: str) -> frozenset[Place]:
        """Which verdicts stand on a node."""
        state = self._nodes.get(node_name)
        return state.active() if state else frozenset()

    def _told(self, state: NodeState, reading: Reading) -> dict[str, Any]:
        models = self._models(reading)
        seconds = exhausted_in(reading, state.window)
        begun = [one for one in state.standing.values() if one.begun]
        begun.sort(key=lambda one: (SEVERITIES.index(one.finding.severity), one.since))
        return {
            "found": [_verdict(one) for one in begun],
            "memory": ledger(reading, models),
            "exhausted_in_seconds": None if seconds is None else round(seconds),
            "sampler": {"cpu_percent": state.window.sampler_cpu.mean(), "rss_bytes": reading.sampler_rss},
            "models": models,
        }

    def _models(self, reading: Reading) -> dict[str, str]:
        """The model of each container that is one, by the container's id."""
        named = ((one.id, self._model_of(one.member)) for one in reading.containers or () if one.member)
        return {container_id: slug for container_id, slug in named if slug}


def _verdict(one: Standing) -> dict[str, Any]:
    finding = one.finding
    return {
        "kind": finding.kind,
        "subject": finding.subject,
        "severity": str(finding.severity),
        "title": finding.title,
        "sentence": finding.sentence,
        "evidence": [row.to_json() for row in finding.evidence],
        "since": round(one.since, 1),
    }
