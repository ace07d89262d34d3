"""How states and times look on pages."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sparkweb.templatetags.sparkweb import UNKNOWN, duration

register = template.Library()

TONES = {
    **dict.fromkeys(("ready", "online", "done", "delivered"), "good"),
    **dict.fromkeys(
        ("requested", "pulling", "starting", "loading", "stopping", "attempt", "waiting"), "busy"
    ),
    **dict.fromkeys(("running", "cancelling"), "busy"),
    **dict.fromkeys(("degraded", "parked", "stale", "lost", "dropped"), "warn"),
    **dict.fromkeys(("failed", "offline"), "bad"),
}
LABELS = {"not_created": "Not started", "pulling": "Pulling image"}


@register.filter
def tone(state: str) -> str:
    """Return good, busy, warn, bad or nothing: the colour family of a launch's or a node's state."""
    return TONES.get(state, "")


@register.filter
def state_label(state: str) -> str:
    """Write a launch's state as a badge shows it."""
    return LABELS.get(state, state.replace("_", " ").capitalize())


@register.filter
def age(moment: datetime | None) -> SafeString | str:
    """Write how long ago something was; the page keeps it right. A dash for None."""
    return _moment(moment, "ago", " ago")


@register.filter
def running_for(moment: datetime | None) -> SafeString | str:
    """Write how long something has lasted since; the page keeps it right. A dash for None."""
    return _moment(moment, "span", "")


def _moment(moment: datetime | None, kind: str, ending: str) -> SafeString | str:
    if moment is None:
        return UNKNOWN
    local = timezone.localtime(moment)
    words = duration(max(1, round((timezone.now() - moment).total_seconds())))
    return format_html(
        '<time datetime="{}" data-age="{}" title="{}" class="num">{}{}</time>',
        local.isoformat(timespec="seconds"),
        kind,
        local.strftime("%Y-%m-%d %H:%M:%S %Z"),
        words,
        ending,
    )


@register.filter
def ticking(seconds: float) -> SafeString | str:
    """Write a duration that goes on: the page counts up from `seconds`."""
    return _moment(timezone.now() - timedelta(seconds=seconds), "span", "")


@register.filter
def lasted(start: datetime | None, end: datetime | None) -> str:
    """Write the time from `start` to `end`; a dash where one is unknown."""
    return duration(max(0.0, (end - start).total_seconds())) if start and end else UNKNOWN


@register.filter
def host(address: str) -> str:
    """Return host and port of an address: its path may be secret."""
    return urlsplit(address).netloc


@register.filter
def age_seconds(moment: datetime | None) -> str:
    """Return seconds since a moment as text for a data attribute; empty for None."""
    return f"{max(0.0, (timezone.now() - moment).total_seconds()):.1f}" if moment else ""


@register.filter
def gigabytes(value: Any) -> str:
    """Write an estimate: `45 GiB`, which is what the catalogue's `_gb` is held against. A dash for None."""
    return UNKNOWN if value is None else f"{float(value):g} GiB"


@register.filter
def thousands(value: Any) -> str:
    """Write a whole number with separators: `65,536`. Nothing for None; other values as they are."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)


@register.filter
def plain(value: Any) -> str:
    """Write a value of a JSON field for people: lists with commas."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@register.filter
def json_text(value: Any) -> str:
    """Write a value of a JSON field in one line; nothing for an empty object."""
    return json.dumps(value, ensure_ascii=False) if value else ""


@register.simple_tag
def percent_of(part: float, whole: float) -> str:
    """Return a share as a number from 0 to 100 for a width."""
    return f"{max(0.0, min(100.0, 100 * part / whole)) if whole > 0 else 100:.1f}"


@register.simple_tag
def server_time() -> str:
    """Return the server's clock in seconds since the epoch, for ages on the page."""
    return f"{timezone.now().timestamp():.3f}"


@register.inclusion_tag("_field.html")
def field(bound: Any, css: str = "") -> dict[str, Any]:
    """Render one form field with label, hint and what is wrong with it."""
    kind = getattr(bound.field.widget, "input_type", "")
    says_optional = not bound.field.required and not bound.field.disabled and css != "setting"
    return {"field": bound, "css": css, "kind": kind, "says_optional": says_optional}
