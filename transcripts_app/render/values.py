"""Reading what a transcript says without trusting it, and cutting what is long. No Django here.

Fields of the wrong type count as absent: nothing here raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import Any

import orjson

from transcripts_app.format.lines import text_clean

CHARACTERS_MOST = 20_000  # of one text on a page
LINES_MOST = 400
WHOLE_CHARACTERS_MOST = 2**20  # on demand; beyond it the raw line is there
WHOLE_LINES_MOST = 20_000
TITLE_MOST = 200  # characters of a name, a path, a label
DEPTH_MOST = 100

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(slots=True, frozen=True)
class Cut:
    """A text, cut; `size` says in words how much all of it is."""

    text: str
    is_cut: bool = False
    size: str = ""


def text(holder: Any, *names: str) -> str:
    """Return the first of these fields that is a text with something in it; else an empty one."""
    if isinstance(holder, dict):
        for name in names:
            value = holder.get(name)
            if isinstance(value, str) and value:
                return value
    return ""


def count(holder: Any, name: str) -> int | None:
    """Return a whole number that is not absurd; None for all else."""
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, int) and value is not True and abs(value) < 2**53 else None


def mapping(holder: Any, name: str) -> dict[str, Any]:
    """Return a field that is an object; else an empty one."""
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, dict) else {}


def items(holder: Any, name: str) -> list[Any]:
    """Return a field that is a list; else an empty one."""
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, list) else []


def short(value: str, most: int = TITLE_MOST) -> str:
    """Return a text as one line of at most `most` characters, what cannot be seen written as a dot."""
    line = " ".join(value[: 4 * most].split())
    line = _UNSEEN.sub("·", line)
    return line if len(line) <= most else line[: most - 1] + "…"


def size_text(value: str) -> str:
    """Say how much a text is: `1,204 lines, 38 kB`."""
    lines = value.count("\n") + (not value.endswith("\n"))
    amount = f"{len(value):,} characters" if len(value) < 1000 else f"{len(value) / 1000:,.0f} kB"
    return f"{lines:,} lines, {amount}" if lines > 1 else amount


def cut(
    value: str, whole: bool = False, *, lines: int = LINES_MOST, characters: int = CHARACTERS_MOST
) -> Cut:
    """Cut a text at a line, or inside a long one. `whole` cuts only what no browser likes."""
    if whole:
        lines, characters = max(lines, WHOLE_LINES_MOST), max(characters, WHOLE_CHARACTERS_MOST)
    if len(value) <= characters and value.count("\n") < lines:
        return Cut(value)
    end, seen = -1, 0
    while seen < lines:
        found = value.find("\n", end + 1, characters)
        if found < 0:
            break
        end, seen = found, seen + 1
    if seen < lines:
        # A line more than half of what is shown is cut inside; else the text ends at the line before it.
        end = characters if characters - end > characters // 2 else end
    return Cut(value[: max(end, 0)], True, size_text(value))


def esc(value: str) -> str:
    """Return a text for HTML, in text and in attributes. NUL, which HTML forbids, is U+FFFD."""
    return escape(value.replace("\0", "\ufffd") if "\0" in value else value)


def record_clean(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without lone surrogates, which no page can be sent with, and not nested absurdly."""
    try:
        orjson.dumps(record)
    except TypeError:
        cleaned = _clean(record, 0)
        return cleaned if isinstance(cleaned, dict) else {}
    return record


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return text_clean(value)
    if depth > DEPTH_MOST:
        return "…"
    if isinstance(value, dict):
        return {text_clean(str(name)): _clean(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner, depth + 1) for inner in value]
    return value
