"""A waterfall as stacked columns: paths of an SVG, one for each part. No Django here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from transcripts_app.insight.waterfall import RESULT, SUMMARY, SYSTEM, THINKING, UNSEEN, Turn

COLUMNS_MOST = 240
TOOLS_SHOWN = 6
WIDTH, HEIGHT = 10, 1000  # of one column, in units of the picture
OTHER_TOOLS = RESULT + "(others)"
LABELS = {
    SYSTEM: "System prompt and tools", SUMMARY: "Summary of a compaction", "prompts": "Prompts",
    "answers": "Answers", THINKING: "Thinking", "calls": "Tool calls", "attachments": "Attachments",
    "reminders": "Reminders and hooks", UNSEEN: "Not seen in the transcript",
}  # fmt: skip
ORDER = (SYSTEM, SUMMARY, "prompts", "attachments", "reminders", "answers", THINKING, "calls")


@dataclass(frozen=True, slots=True)
class Band:
    """One part over all columns. `tone` names its colour."""

    name: str
    label: str
    tone: str
    path: str


@dataclass(frozen=True, slots=True)
class Column:
    """One or several turns that follow each other; the fullest of them is drawn."""

    x: int
    turn: Turn
    number: int  # of that turn, from 1
    turns: int
    is_compacted: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is drawn. `top`: tokens at the upper edge."""

    width: int
    top: int
    bands: list[Band]
    columns: list[Column]


def label_of(name: str) -> str:
    """Return a part's name for people."""
    if name == OTHER_TOOLS:
        return "Results of other tools"
    return f"Results of {name.removeprefix(RESULT)}" if name.startswith(RESULT) else LABELS.get(name, name)


def parts_shown(turns: Sequence[Turn]) -> list[str]:
    """Return the parts in drawing order: what is no result first, then tools with most, then the rest."""
    totals: Counter[str] = Counter()
    for turn in turns:
        totals.update(turn.added)
    tools = [name for name, _ in totals.most_common() if name.startswith(RESULT)]
    shown = [name for name in ORDER if name in totals] + tools[:TOOLS_SHOWN]
    return (
        shown + ([OTHER_TOOLS] if len(tools) > TOOLS_SHOWN else []) + ([UNSEEN] if UNSEEN in totals else [])
    )


def folded(parts: dict[str, int], shown: Sequence[str]) -> dict[str, int]:
    """Return a turn's parts under the names that are drawn, all of them, with the same sum."""
    result = dict.fromkeys(shown, 0)
    for name, tokens in parts.items():
        place = name if name in result else OTHER_TOOLS if OTHER_TOOLS in result else name
        result[place] = result.get(place, 0) + tokens
    return result


def picture(turns: Sequence[Turn]) -> Picture:
    """Return the drawing of these turns."""
    columns = _columns(turns)
    shown = parts_shown(turns)
    top = max((column.turn.window for column in columns), default=0) or 1
    floor = [0] * len(columns)
    bands = []
    for name in shown:
        heights = [folded(column.turn.parts, shown)[name] for column in columns]
        roof = [low + high for low, high in zip(floor, heights, strict=True)]
        bands.append(Band(name, label_of(name), _tone(name, shown), _path(floor, roof, top)))
        floor = roof
    return Picture(max(1, len(columns)) * WIDTH, top, bands, columns)


def _columns(turns: Sequence[Turn]) -> list[Column]:
    each = max(1, -(-len(turns) // COLUMNS_MOST))
    columns = []
    for x, start in enumerate(range(0, len(turns), each)):
        part = turns[start : start + each]
        place = max(range(len(part)), key=lambda index: part[index].window)
        compacted = any(turn.is_compacted for turn in part)
        columns.append(Column(x * WIDTH, part[place], start + place + 1, len(part), compacted))
    return columns


def _tone(name: str, shown: Sequence[str]) -> str:
    tools = [one for one in shown if one.startswith(RESULT) and one != OTHER_TOOLS]
    if name in tools:
        return f"result-{tools.index(name)}"
    return "result-other" if name == OTHER_TOOLS else name


def _path(floor: list[int], roof: list[int], top: int) -> str:
    """The outline of a band: along its roof to the right, back along its floor."""
    there = [f"V{_y(high, top)}H{(place + 1) * WIDTH}" for place, high in enumerate(roof)]
    back = [f"V{_y(low, top)}H{place * WIDTH}" for place, low in reversed(list(enumerate(floor)))]
    return f"M0 {HEIGHT}{''.join(there)}{''.join(back)}Z" if roof else ""


def _y(tokens: int, top: int) -> int:
    return HEIGHT - round(tokens * HEIGHT / top)
