"""The tree of a transcript: which records lead to its end, and what was left on the way. No Django here.

Records name their parent. A rewind gives one parent two children; a compaction begins anew and names
its logical parent; answers to parallel calls hang beside the chain. Whatever a damaged file says, each
record has one parent here at most, and no walk goes round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

ROOT = -1


class Node(NamedTuple):
    """A record with a uuid, in file order. `is_prompt` says that a person begins something with it:
    only there a branch can begin; what hangs beside the path without one belongs to the path."""

    id: int
    uid: bytes | None
    parent_uid: bytes | None
    logical_parent_uid: bytes | None = None
    is_prompt: bool = True


@dataclass(frozen=True, slots=True)
class Branch:
    """One way through a transcript from where it leaves another: ids of records in file order."""

    fork: int | None  # the record that it leaves from; None: it begins by itself
    first: int
    leaf: int
    ids: tuple[int, ...]
    is_active: bool


def active_path(nodes: Sequence[Node], leaf: bytes | None = None) -> list[int]:
    """Return the ids of the records that lead to the leaf, in file order.

    The leaf is the last node unless a uuid is given. Records beside the path are in it as long as
    no prompt is among them: results of parallel calls, progress, notices.
    """
    tree = _Tree(nodes, leaf)
    return [node.id for at, node in enumerate(nodes) if tree.label[at] == 0]


def branches(nodes: Sequence[Node], leaf: bytes | None = None) -> list[Branch]:
    """Return the active branch, then every other one, in the order in which they begin in the file."""
    tree = _Tree(nodes, leaf)
    members: list[list[int]] = [[] for _ in tree.fork]
    for at in range(len(nodes)):
        members[tree.label[at]].append(at)
    return [
        Branch(
            nodes[fork].id if fork != ROOT else None, nodes[ats[0]].id, nodes[ats[-1]].id,
            tuple(nodes[at].id for at in ats), label == 0,
        )
        for label, (fork, ats) in enumerate(zip(tree.fork, members, strict=True))
        if ats
    ]  # fmt: skip


class _Tree:
    """Each node's branch: `label` 0 is the active one; `fork` says where each branch leaves another."""

    def __init__(self, nodes: Sequence[Node], leaf: bytes | None) -> None:
        places: dict[bytes, list[int]] = {}
        for at, node in enumerate(nodes):
            if node.uid is not None:
                places.setdefault(node.uid, []).append(at)
        self.parents = [_parent(nodes, at, places) for at in range(len(nodes))]
        _cycles_cut(self.parents)
        self.children: list[list[int]] = [[] for _ in nodes]
        self.roots: list[int] = []
        for at, parent in enumerate(self.parents):
            (self.roots if parent == ROOT else self.children[parent]).append(at)
        order = self._order()
        self.prompted = [node.is_prompt for node in nodes]
        for at in reversed(order):
            if self.prompted[at] and self.parents[at] != ROOT:
                self.prompted[self.parents[at]] = True
        self.active = self._active(len(nodes), places.get(leaf) if leaf else None)
        self.fork: list[int] = [ROOT]
        self.label = [0] * len(nodes)
        self._label(order)

    def _order(self) -> list[int]:
        """Every node behind its parent, else in file order where that is possible."""
        order: list[int] = []
        waiting = list(reversed(self.roots))
        while waiting:
            at = waiting.pop()
            order.append(at)
            waiting.extend(reversed(self.children[at]))
        return order

    def _active(self, count: int, places: list[int] | None) -> set[int]:
        at = places[-1] if places else count - 1
        path: set[int] = set()
        while at != ROOT:
            path.add(at)
            at = self.parents[at]
        return path

    def _label(self, order: list[int]) -> None:
        goes_on = {ROOT: self._goes_on(self.roots)}
        for at in order:
            parent = self.parents[at]
            if parent not in goes_on:
                goes_on[parent] = self._goes_on(self.children[parent])
            if not self.prompted[at] or at == goes_on[parent]:
                self.label[at] = self.label[parent] if parent != ROOT else 0
            else:
                self.label[at] = len(self.fork)
                self.fork.append(parent)

    def _goes_on(self, children: list[int]) -> int:
        """Of several children with prompts, the one on the path, else the last, goes on; the others leave."""
        for at in children:
            if at in self.active:
                return at
        return next((at for at in reversed(children) if self.prompted[at]), ROOT)


def _parent(nodes: Sequence[Node], at: int, places: dict[bytes, list[int]]) -> int:
    """Where a node's parent stands. With one uuid several times, the last before the node.

    A parent that is not there (a bad line, say) is taken to be the record before; so is that of a
    later beginning which is no prompt, as compactions of old versions are.
    """
    node = nodes[at]
    for uid in (node.parent_uid, node.logical_parent_uid):
        found = places.get(uid) if uid is not None else None
        if found:
            before = [place for place in found if place < at] if len(found) > 1 else found
            place = (before or found)[-1]
            if place != at:
                return place
    if node.parent_uid is None and node.logical_parent_uid is None and node.is_prompt:
        return ROOT
    return at - 1


def _cycles_cut(parents: list[int]) -> None:
    """Make the first record of each circle a beginning."""
    done = [False] * len(parents)
    for begin in range(len(parents)):
        walk: dict[int, None] = {}
        at = begin
        while at != ROOT and not done[at] and at not in walk:
            walk[at] = None
            at = parents[at]
        if at in walk:
            ring = list(walk)
            parents[min(ring[ring.index(at) :])] = ROOT
        for place in walk:
            done[place] = True
