"""The filters of the query language: what each is called, takes and means. No Django here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from transcripts_app.format.kinds import Kind
from transcripts_app.format.record import CARRIED


@dataclass(frozen=True)
class Filter:
    """`inside`: it can stand inside OR, for it is a word of the index; others narrow the whole search."""

    name: str
    example: str
    means: str
    inside: bool = False
    values: tuple[str, ...] = ()


PLACES = {
    "prompt": (Kind.PROMPT,),
    "answer": (Kind.ANSWER,),
    "thinking": (Kind.THINKING,),
    "input": (Kind.TOOL_CALL,),
    "output": (Kind.TOOL_RESULT,),
    "title": (Kind.TITLE,),
    "command": (Kind.COMMAND,),
    "summary": (Kind.COMPACT_SUMMARY,),
    "system": (Kind.SYSTEM, Kind.COMPACT_BOUNDARY),
    "attachment": (Kind.ATTACHMENT,),
    "queue": (Kind.QUEUE,),
    "meta": (Kind.META,),
    "pr": (Kind.PULL_REQUEST,),
}
STATES = ("error", "sidechain", "warmup", "starred")
STATES_INSIDE = ("error", "sidechain")

FILTERS = {
    one.name: one
    for one in (
        Filter("tool", "tool:Bash", "calls of a tool and their results; tool:mcp__* for a beginning", True),
        Filter("in", "in:prompt", "where the words stand", True, tuple(PLACES)),
        Filter(
            "is",
            "is:error",
            "what failed, what sub-agents did; warm-up sessions, those that you starred",
            False,
            STATES,
        ),
        Filter("has", "has:image", "records with a picture or a document", True, CARRIED),
        Filter(
            "model", "model:opus", "what a model whose name holds this said, and what its calls gave", True
        ),
        Filter("branch", "branch:main", "records made on a Git branch; * for any part", True),
        Filter("path", "path:*.py", "calls that read or change such a file, and their results"),
        Filter("project", "project:shop", "by the name or path of its folder"),
        Filter("session", "session:1a2b3c4d", "one session, by its key or Claude Code's id"),
        Filter("user", "user:ada", "projects that a person owns"),
        Filter("node", "node:spark-1", "sessions of one machine"),
        Filter("before", "before:2026-01", "earlier than a year, month, day or moment (UTC)"),
        Filter("after", "after:7d", "since a year, month, day or moment (UTC), or for so long: 12h, 7d, 4w"),
        Filter("on", "on:2026-02-03", "within a year, month or day (UTC), today, yesterday"),
    )
}
DATES = ("before", "after", "on")

_SPAN = re.compile(r"([0-9]{1,4})([hdw])")
_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{1,2})(?:-([0-9]{1,2}))?)?")
_HOURS = {"h": 1, "d": 24, "w": 168}


def span_of(value: str, now: datetime) -> tuple[int, int] | None:
    """Return from when up to when (milliseconds, the end not within) a date says; None if it says none.

    `2026`, `2026-02`, `2026-02-03`, `2026-02-03T14:00` (one minute), `today`, `yesterday`;
    `7d` is the moment so long ago.
    """
    text = value.strip().lower()
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if text in ("today", "yesterday"):
        begin = midnight - timedelta(days=text == "yesterday")
        return _ms(begin), _ms(begin + timedelta(days=1))
    if found := _SPAN.fullmatch(text):
        then = _ms(now - timedelta(hours=int(found[1]) * _HOURS[found[2]]))
        return then, then
    try:
        if found := _DATE.fullmatch(text):
            return _calendar(*(int(part) if part else None for part in found.groups()))
        at = datetime.fromisoformat(text.upper())
        begin = at if at.tzinfo else at.replace(tzinfo=UTC)
        return _ms(begin), _ms(begin + timedelta(minutes=1))
    except (ValueError, OverflowError):
        return None


def _calendar(year: int | None, month: int | None, day: int | None) -> tuple[int, int]:
    """Raises ValueError for a day that no calendar has."""
    assert year is not None
    begin = datetime(year, month or 1, day or 1, tzinfo=UTC)
    if day:
        end = begin + timedelta(days=1)
    elif month:
        end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    else:
        end = datetime(year + 1, 1, 1, tzinfo=UTC)
    return _ms(begin), _ms(end)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
