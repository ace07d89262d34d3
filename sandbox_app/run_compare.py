"""Two runs side by side: what they printed, line by line, and what differs in what bounded them. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

LINES_MOST = 2_000
LINE_CHARACTERS_MOST = 2_000
CONTEXT_LINES = 3


@dataclass(frozen=True)
class Pair:
    """One row of a side-by-side view. `kind` is same, changed, gone, new, or gap for what is left out."""

    kind: str
    left_number: int | None = None
    left: str = ""
    right_number: int | None = None
    right: str = ""


@dataclass(frozen=True)
class Difference:
    """One thing that differs between two runs, in words."""

    name: str
    left: str
    right: str


def lines_compare(left: str, right: str, context: int = CONTEXT_LINES) -> list[Pair]:
    """Return both texts as rows; long stretches that are the same become one row of kind gap.

    Only the first 2,000 lines of each are compared.
    """
    ours, theirs = _lines(left), _lines(right)
    rows: list[Pair] = []
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=len(ours) + len(theirs) > 1_000)
    blocks = matcher.get_opcodes()
    for place, (tag, a, b, c, d) in enumerate(blocks):
        if tag == "equal":
            rows += _same(ours, a, b, c, context, first=place == 0, last=place == len(blocks) - 1)
            continue
        for step in range(max(b - a, d - c)):
            rows.append(_changed(ours, theirs, a + step, b, c + step, d))
    return rows


def _lines(text: str) -> list[str]:
    lines = [line[:LINE_CHARACTERS_MOST] for line in text.splitlines()[: LINES_MOST + 1]]
    return [*lines[:LINES_MOST], "… (more lines are not compared)"] if len(lines) > LINES_MOST else lines


def _same(
    ours: list[str], start: int, end: int, other: int, context: int, *, first: bool, last: bool
) -> list[Pair]:
    shift = other - start
    head = 0 if first else context
    tail = 0 if last else context
    if end - start <= head + tail + 1 or (first and last):
        return [Pair("same", n + 1, ours[n], n + shift + 1, ours[n]) for n in range(start, end)]
    before = [Pair("same", n + 1, ours[n], n + shift + 1, ours[n]) for n in range(start, start + head)]
    after = [Pair("same", n + 1, ours[n], n + shift + 1, ours[n]) for n in range(end - tail, end)]
    hidden = end - start - head - tail
    return [*before, Pair("gap", left=f"{hidden} lines are the same"), *after]


def _changed(
    ours: list[str], theirs: list[str], left: int, left_end: int, right: int, right_end: int
) -> Pair:
    has_left, has_right = left < left_end, right < right_end
    kind = "changed" if has_left and has_right else "gone" if has_left else "new"
    return Pair(
        kind,
        left + 1 if has_left else None,
        ours[left] if has_left else "",
        right + 1 if has_right else None,
        theirs[right] if has_right else "",
    )


def facts_compare(left: dict[str, Any], right: dict[str, Any]) -> list[Difference]:
    """Return what differs between two objects, by dotted name."""
    ours, theirs = _flat(left), _flat(right)
    names = sorted(ours.keys() | theirs.keys())
    return [
        Difference(name, ours.get(name, "–"), theirs.get(name, "–"))
        for name in names
        if ours.get(name) != theirs.get(name)
    ]


def _flat(value: Any, name: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{name}.{key}" if name else str(key))
        return found
    return {} if value in (None, "") else {name: str(value)}
