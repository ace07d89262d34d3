"""Words that a record is filtered by in the full-text index, beside its text. No Django here.

Each is one token of letters and digits, so that `facets: "tbash" AND "xerr"` is an
intersection inside the index. `delete` needs them again, exactly: they are made of
what never changes about a record.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import lru_cache

from transcripts_app.format.kinds import Kind
from transcripts_app.format.record import Parsed

ERROR = "xerr"
SIDECHAIN = "xside"
DAY_MS = 86_400_000


def facets_of(parsed: Parsed, session: int, tool: str = "", model: str = "") -> str:
    """Return a record's facets: session, kinds of its blocks, month, tools, model, branch, what it carries.

    `tool` and `model` are those of the record's row: a result has them from the call that it answers.
    """
    return f"s{session} {facets_fixed(parsed)}{facets_answered(parsed.kind.value, tool, model)}"


def facets_answered(kind: int, tool: str, model: str) -> str:
    """The facets that a result has of the call that it answers, to be put behind its others."""
    if kind != Kind.TOOL_RESULT or not (tool or model):
        return ""
    return f" {tool_facet(tool)} {model_facet(model)}" if model else f" {tool_facet(tool)}"


def facets_fixed(parsed: Parsed) -> str:
    """The facets that a record has by itself, whatever its session."""
    kinds = parsed.kinds
    words = [f"k{kind:d}" for kind in (kinds if len(kinds) == 1 else sorted(set(kinds)))]
    if parsed.calls:
        words += sorted({tool_facet(call.name) for call in parsed.calls})
    if parsed.model:
        words.append(model_facet(parsed.model))
    if parsed.branch:
        words.append(branch_facet(parsed.branch))
    if parsed.carries:
        words += [f"h{thing}" for thing in sorted(parsed.carries)]
    if parsed.is_error:
        words.append(ERROR)
    if parsed.is_sidechain:
        words.append(SIDECHAIN)
    if parsed.at_ms is not None and (month := _month_of_day(parsed.at_ms // DAY_MS)):
        words.append(month)
    return " ".join(words)


def tool_facet(name: str) -> str:
    """`mcp__page__click` as one token."""
    return "t" + _alphanumeric(name)


def model_facet(name: str) -> str:
    """`claude-opus-4-5` as one token."""
    return "m" + _alphanumeric(name)


@lru_cache(4096)
def branch_facet(name: str) -> str:
    """A branch as one token, exactly: `fix/a-b` is not `fixab`."""
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=6)
    return "b" + digest.hexdigest()


def month_facet(at_ms: int) -> str:
    """`d202612`; empty for a time that no calendar holds."""
    day = day_of(at_ms)
    return f"d{day // 100:06}" if day else ""


@lru_cache(4096)
def _month_of_day(day: int) -> str:
    return month_facet(day * DAY_MS)


def day_of(at_ms: int | None) -> int | None:
    """20261201, UTC; None for none and for a time that no calendar holds."""
    try:
        at = None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return at.year * 10000 + at.month * 100 + at.day if at else None


@lru_cache(4096)
def _alphanumeric(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum() and letter.isascii()) or "0"
