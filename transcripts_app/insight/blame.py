"""Who wrote each line of a file: the newest step whose change brought it in. No Django here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from transcripts_app.insight.content import UNKNOWN, Row, rows_of
from transcripts_app.insight.events import Event
from transcripts_app.insight.timemachine import Step

T = TypeVar("T")
MATCHED_MOST = 1_000_000  # pairs of lines compared at most; beyond, a changed stretch counts as new
ALL_MATCHED_MOST = 30_000_000  # over all steps of a file


@dataclass(frozen=True, slots=True)
class Owned(Generic[T]):
    """A line of the last known content. `origin` None: it was there before, or came from elsewhere."""

    row: Row
    origin: T | None


def lines_owned(steps: Iterable[Step[T]]) -> list[Owned[T]]:
    """Return the last known content line by line, each with the step's origin that wrote it."""
    rows, left = rows_of(UNKNOWN), ALL_MATCHED_MOST
    owners: list[T | None] = [None] * len(rows)
    for step in steps:
        if not (step.event.changes or step.before is not step.left or step.after is not step.left):
            continue
        before, after = rows_of(step.before), rows_of(step.after)
        most = MATCHED_MOST if left > 0 else 0
        left -= _cost(before, after)
        if step.before is not step.left:
            owners = _carried(rows, owners, before, None, set(), most, over_gap=True)
        if step.event.changes:
            owners = _carried(before, owners, after, step.origin, _added(step), most)
        rows = after
    return [Owned(row, owner) for row, owner in zip(rows, owners, strict=True)]


def steps_adding(steps: Iterable[Step[T]], wanted: str) -> list[Step[T]]:
    """Return the steps whose added lines contain a text, in their order; its lines must follow each other."""
    return [step for step in steps if step.event.changes and _adds(step, wanted)]


def _adds(step: Step[T], wanted: str) -> bool:
    after = step.after.text
    return (after is None or wanted in after) and wanted in "\n".join(added_lines(step))


def added_lines(step: Step[T]) -> list[str]:
    """Return the lines that a step brought in, in the order of the file."""
    if step.before.text is not None and step.after.text is not None:
        before = [row.text or "" for row in rows_of(step.before)]
        after = [row.text or "" for row in rows_of(step.after)]
        return [after[place] for start, end in _new_stretches(before, after) for place in range(start, end)]
    return _told(step.event)


def _added(step: Step[T]) -> set[str] | None:
    """Which lines count as written by a step; None for all that were not there before."""
    if step.before.text is not None and step.after.text is not None:
        return None
    return set(_told(step.event))


def _told(event: Event) -> list[str]:
    """The added lines of an edit by its own words."""
    if event.after is not None:
        return event.after.split("\n")
    if event.by_person or not event.edits:
        return [line[1:] for hunk in event.hunks for line in hunk.lines if line[:1] == "+"]
    found: list[str] = []
    for edit in event.edits:
        old, new = edit.old.split("\n"), edit.new.split("\n")
        found += [new[place] for start, end in _new_stretches(old, new) for place in range(start, end)]
    # An edit inside a line tells a part of it; the patch tells the whole line.
    return found + [line[1:] for hunk in event.hunks for line in hunk.lines if line[:1] == "+"]


def _carried(
    before: list[Row],
    owners: list[T | None],
    after: list[Row],
    origin: T | None,
    added: set[str] | None,
    most: int,
    *,
    over_gap: bool = False,
) -> list[T | None]:
    """Give the rows after a change the owners of the rows that stayed; new ones are `origin`'s.

    `over_gap`: nobody tells what happened in between, so that blank lines alone are no sign of having stayed.
    """
    old, new = [row.text for row in before], [row.text for row in after]
    result: list[T | None] = [
        origin if text is not None and (added is None or text in added) else None for text in new
    ]
    for old_at, new_at, length in same_stretches(old, new, most):
        if over_gap and not any((text or "").strip() for text in new[new_at : new_at + length]):
            continue
        result[new_at : new_at + length] = owners[old_at : old_at + length]
    return result


def _cost(before: list[Row], after: list[Row]) -> int:
    """Pairs of lines that a comparison may look at: those between the common beginning and end."""
    least, head = min(len(before), len(after)), 0
    while head < least and before[head].text == after[head].text:
        head += 1
    tail = 0
    while tail < least - head and before[-1 - tail].text == after[-1 - tail].text:
        tail += 1
    return min(MATCHED_MOST, (len(before) - head - tail) * (len(after) - head - tail))


def _new_stretches(old: list[str], new: list[str]) -> Iterator[tuple[int, int]]:
    """Which stretches of `new` are not in `old`."""
    at = 0
    for _, new_at, length in [*same_stretches(old, new), (len(old), len(new), 0)]:
        if new_at > at:
            yield at, new_at
        at = new_at + length


def same_stretches(
    old: list[str | None] | list[str], new: list[str | None] | list[str], most: int = MATCHED_MOST
) -> list[tuple[int, int, int]]:
    """What two lists of lines have in common: place in old, place in new, how many."""
    least = min(len(old), len(new))
    head = next((place for place in range(least) if old[place] != new[place]), least)
    tail = 0
    while tail < least - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    found = [(0, 0, head)] if head else []
    if middle_old and middle_new and len(middle_old) * len(middle_new) <= most:
        matcher = difflib.SequenceMatcher(None, middle_old, middle_new, autojunk=False)
        found += [(head + a, head + b, size) for a, b, size in matcher.get_matching_blocks() if size]
    if tail:
        found.append((len(old) - tail, len(new) - tail, tail))
    return found
