"""Which waiting runs may begin now. Pure.

Fair between users: whoever has the fewest runs under way comes first, then the oldest run.
A session serves one run at a time. A run that waits for memory lets smaller ones pass for
half a minute, then keeps its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

KEEPS_ITS_PLACE_AFTER_SECONDS = 30.0


@dataclass(frozen=True)
class Call:
    """One run as the queue sees it. `begun`: its node has told that it runs."""

    uid: str
    user: int | None
    tool: str
    tool_limit: int
    session: int | None
    node: str
    memory_bytes: int
    waits_seconds: float = 0.0
    begun: bool = False


@dataclass(frozen=True)
class Limits:
    """How much may run at once; `free_bytes` by node is what runs may take there (left out: unknown)."""

    user_runs: int
    node_runs: int
    free_bytes: Mapping[str, int] = field(default_factory=dict)


class _Counts:
    """What runs, and what is promised to those that were let in."""

    def __init__(self, running: Iterable[Call], limits: Limits) -> None:
        self.limits = limits
        self.users: Counter[int | None] = Counter()
        self.tools: Counter[str] = Counter()
        self.nodes: Counter[str] = Counter()
        self.sessions: set[int] = set()
        self.promised: Counter[str] = Counter()
        for call in running:
            self.take(call)

    def take(self, call: Call) -> None:
        self.users[call.user] += 1
        self.tools[call.tool] += 1
        self.nodes[call.node] += 1
        if call.session is not None:
            self.sessions.add(call.session)
        if not call.begun:  # what has begun shows in the node's report
            self.promised[call.node] += call.memory_bytes

    def has_room(self, call: Call) -> bool:
        return (
            self.users[call.user] < self.limits.user_runs
            and self.tools[call.tool] < call.tool_limit
            and self.nodes[call.node] < self.limits.node_runs
            and call.session not in self.sessions
        )

    def fits(self, call: Call) -> bool:
        free = self.limits.free_bytes.get(call.node)
        return free is None or call.memory_bytes + self.promised[call.node] <= free


def next_runs(waiting: Iterable[Call], running: Iterable[Call], limits: Limits) -> list[str]:
    """Return the uids of those that may begin now, in the order in which they should."""
    counts, left, chosen = _Counts(running, limits), list(waiting), []
    while found := _first(left, counts):
        left.remove(found)
        counts.take(found)
        chosen.append(found.uid)
    return chosen


def _first(left: list[Call], counts: _Counts) -> Call | None:
    kept: set[str] = set()
    for call in sorted(left, key=lambda one: (counts.users[one.user], -one.waits_seconds)):
        if call.node in kept or not counts.has_room(call):
            continue
        if counts.fits(call):
            return call
        if call.waits_seconds > KEEPS_ITS_PLACE_AFTER_SECONDS:
            kept.add(call.node)
    return None
