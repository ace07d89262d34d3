"""Two ways that a conversation took, from where they part. No Django here."""

from __future__ import annotations

from collections.abc import Sequence

from transcripts_app.format.tree import Branch


def parents_of(branches: Sequence[Branch]) -> list[int | None]:
    """Return for each branch the index of the one that it leaves; None for one that begins by itself."""
    holds = {record: index for index, branch in enumerate(branches) for record in branch.ids}
    return [holds.get(branch.fork) if branch.fork is not None else None for branch in branches]


def depths_of(branches: Sequence[Branch]) -> list[int]:
    """Return how many branches lie between each and a beginning."""
    parents = parents_of(branches)
    return [len(_line(parents, index)) - 1 for index in range(len(branches))]


def whole_ids(branches: Sequence[Branch], index: int) -> list[int]:
    """Return every record from the beginning to the end of a branch, in order."""
    line = _line(parents_of(branches), index)
    ids: list[int] = []
    for place, number in enumerate(line):
        own = list(branches[number].ids)
        if place + 1 < len(line):
            fork = branches[line[place + 1]].fork
            own = own[: own.index(fork) + 1] if fork in own else own
        ids += own
    return ids


def parting(branches: Sequence[Branch], left: int, right: int) -> tuple[int | None, list[int], list[int]]:
    """Return the last record that two branches share (None: there is none), and what each has after it."""
    ours, theirs = whole_ids(branches, left), whole_ids(branches, right)
    same = 0
    while same < min(len(ours), len(theirs)) and ours[same] == theirs[same]:
        same += 1
    return (ours[same - 1] if same else None), ours[same:], theirs[same:]


def _line(parents: Sequence[int | None], index: int) -> list[int]:
    """Indexes from a beginning to a branch; a circle is walked once."""
    line: list[int] = []
    at: int | None = index
    while at is not None and at not in line:
        line.append(at)
        at = parents[at]
    return line[::-1]
