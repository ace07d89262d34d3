"""How sessions and their figures look on pages."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone

from sparkweb.templatetags.sparkweb import UNKNOWN
from transcripts_app.archive.models import Session, moment
from transcripts_app.figures import NO_PRICE
from transcripts_app.reading import Row
from transcripts_app.redaction.display import DisplayMask
from transcripts_app.redaction.rules import likely_rules

register = template.Library()

OUTCOME_TONES = {"running": "busy", "error": "bad", "interrupted": "warn"}
UNITS = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))
_FAMILY = re.compile(r"(?:claude-)?(.*?)(?:-20\d{6})?(?:-v\d+(?::\d+)?)?$")


@register.filter
def masked(text: Any) -> str:
    """Write a preview, title or snippet of a transcript without likely secrets."""
    return DisplayMask(likely_rules()).text(str(text)) if text else ""


@register.filter
def dollars(micros: Any) -> str:
    """Write millionths of a dollar: `$0.41`; "no price" where one is missing, which is not zero."""
    if micros is None:
        return NO_PRICE
    amount = micros / 1_000_000
    return f"${amount:,.2f}" if amount >= 0.01 or not micros else "<$0.01"


@register.filter
def short_count(value: Any) -> str:
    """Write a count in few letters: `950`, `12.4 k`, `3.1 M`. A dash for None."""
    if value is None:
        return UNKNOWN
    for size, unit in UNITS:
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 1000 * size else f"{value / size:,.0f} {unit}"
    return str(value)


@register.filter
def model_short(name: str) -> str:
    """`claude-opus-4-5-20251101` as `opus-4-5`; other names as they are."""
    found = _FAMILY.fullmatch(name)
    return found[1] if found and found[1] else name


@register.filter
def outcome_tone(outcome: str) -> str:
    """The colour family of a session's outcome."""
    return OUTCOME_TONES.get(outcome, "")


@register.filter
def from_ms(at_ms: int | None) -> datetime | None:
    """Milliseconds since the epoch as a time for `age`, `date` and the like."""
    found = moment(at_ms)
    return timezone.localtime(found) if found else None


@register.filter
def milliseconds_long(value: int | None) -> float | None:
    """Milliseconds as seconds for `duration`."""
    return None if value is None else value / 1000


@register.filter
def errors_of(session: Session) -> int:
    """Failed tool calls and errors of the API."""
    return session.tool_errors + session.api_errors


@register.filter
def row_stamp(row: Row) -> str:
    """A text that differs when a drawn record has to be drawn anew: a result came, or notes were added."""
    results = ".".join(str(call.result_id or 0) for call in row.calls)
    agents = ".".join(str(agent.file.lines) for agent in row.agents)
    return f"{results}-{agents}-{row.notes.last if row.notes else 0}-{row.asides.last if row.asides else 0}"
