"""How runs look on pages."""

from __future__ import annotations

import re

from django import template

from sandbox_app.models import Outcome, RunState, ToolRun
from sparkweb.templatetags.sparkweb import UNKNOWN, duration

register = template.Library()

OUTCOME_TONES = {
    Outcome.OK: "good",
    Outcome.CANCELLED: "",
    Outcome.DENIED: "",
    Outcome.EXIT: "warn",
    Outcome.LOST: "warn",
    Outcome.REFUSED: "warn",
}
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)


@register.filter
def run_tone(run: ToolRun) -> str:
    """The colour family of a run's badge."""
    if run.live:
        return "warn" if run.state == RunState.APPROVAL else "busy"
    return OUTCOME_TONES.get(Outcome(run.outcome), "bad") if run.outcome else "bad"


@register.filter
def run_state(run: ToolRun) -> str:
    """What a run's badge says."""
    if run.live and run.desired == "cancelled":
        return "Cancelling"
    return run.get_state_display() if run.live else run.get_outcome_display()


@register.filter
def visible(text: str) -> str:
    """Text with what cannot be seen, or turns what follows it around, written out: `⟨U+202E⟩`."""
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", str(text).replace("\r\n", "\n"))


@register.filter
def milliseconds(value: float | None) -> str:
    """Write milliseconds as people say them: `12.5 ms`, `3.2 s`. A dash for None."""
    if value is None:
        return UNKNOWN
    if value < 100:
        return f"{value:.1f} ms"
    return f"{value:.0f} ms" if value < 1000 else duration(value / 1000)
