"""A file through time: what it held before and after each call that told of it. No Django here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from transcripts_app.insight.content import (
    UNKNOWN,
    Content,
    line_delta_of,
    patched,
    replaced,
    seen,
)
from transcripts_app.insight.events import Event

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """One event. `origin` is whatever came with it.

    `is_outside`: `before` is not what the step before left: something else changed the file in between.
    `is_doubtful`: a command ran since it was last seen whole, and may have changed it.
    """

    origin: T
    event: Event
    left: Content  # what the step before left
    before: Content
    after: Content
    is_outside: bool = False
    is_doubtful: bool = False

    @property
    def is_shown(self) -> bool:
        """Whether it is worth a stop: reads that found what was known are not."""
        return self.event.changes or self.is_outside or self.event.verb == "outside"


def replay(events: Iterable[tuple[T, Event]]) -> Iterator[Step[T]]:
    """Yield a step for each event, in their order."""
    state, doubt = UNKNOWN, False
    for origin, event in events:
        if event.verb == "outside":
            doubt = True
            yield Step(origin, event, state, state, state, is_doubtful=True)
            continue
        step = (
            _read(origin, event, state, doubt)
            if event.verb == "read"
            else _change(origin, event, state, doubt)
        )
        state, doubt = step.after, step.is_doubtful
        yield step


def _read(origin: T, event: Event, state: Content, doubt: bool) -> Step[T]:
    after, differs = seen(state, event.start, event.lines, event.total)
    return Step(origin, event, state, after, after, differs, doubt and not after.is_whole)


def _change(origin: T, event: Event, state: Content, doubt: bool) -> Step[T]:
    before, outside = state, False
    if event.before is not None:
        outside = not agrees(state, event.before)
        before, doubt = Content(event.before), False
    if event.after is not None:
        return Step(origin, event, state, before, Content(event.after), outside, False)
    after = _edited(before, event)
    if after is None:  # the edit went well, so the file was not what we took it for
        outside, before = True, UNKNOWN
        after = _edited(UNKNOWN, event) or UNKNOWN
    return Step(origin, event, state, before, after, outside, doubt)


def agrees(state: Content, text: str) -> bool:
    """Whether a whole text can be what was known."""
    if state.text is not None:
        return state.text == text or state.text.rstrip("\n") == text.rstrip("\n")
    lines = text.split("\n")
    return all(number <= len(lines) and lines[number - 1] == line for number, line in state.lines.items())


def _edited(before: Content, event: Event) -> Content | None:
    """Return a content after an edit; None where it cannot have been made to it.

    The patch is trusted only where there is no other way: it shows leading tabs as spaces.
    """
    if event.by_person or not event.edits:
        return patched(before, event.hunks) or UNKNOWN if event.hunks else UNKNOWN
    delta = line_delta_of(event.hunks) if event.hunks and len(event.edits) == 1 else None
    if before.text is not None:
        content = before
        for edit in event.edits:
            if edit.old and edit.old not in (content.text or ""):
                return None
            content = replaced(content, edit.old, edit.new, every=edit.every, line_delta=delta)
        return content
    placed = all(_is_found(before, edit.old) for edit in event.edits)
    if not placed and event.hunks and not any("\t" in edit.old + edit.new for edit in event.edits):
        by_patch = patched(before, event.hunks)
        if by_patch is not None:
            return by_patch
        before = UNKNOWN
    for edit in event.edits:
        before = replaced(before, edit.old, edit.new, every=edit.every, line_delta=delta)
    return before


def _is_found(content: Content, old: str) -> bool:
    """Whether all lines that a text spans are known, next to each other."""
    if not old:
        return True
    numbers = sorted(content.lines)
    run: list[str] = []
    for place, number in enumerate(numbers):
        if place and number != numbers[place - 1] + 1:
            if old in "\n".join(run):
                return True
            run = []
        run.append(content.lines[number])
    return old in "\n".join(run)
