"""Tags and filters of every template: icons, sizes, durations."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django import template
from django.conf import settings
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

UNKNOWN = "–"
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@register.simple_tag
def icon(name: str, css: str = "", label: str = "") -> SafeString:
    """Put a Tabler icon into the page as SVG. With `label` it is named for screen readers, else hidden."""
    svg = _svg(name)
    classes = escape(f"icon {css}".strip())
    spoken = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    return mark_safe(svg.replace("<svg ", f'<svg class="{classes}" {spoken} ', 1))  # noqa: S308 - our own files


@lru_cache(maxsize=256)
def _svg(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise template.TemplateSyntaxError(f"icon {name!r}: letters, digits and hyphens only")
    path = settings.ICONS_DIR / f"{name}.svg"
    try:
        text = path.read_text()
    except FileNotFoundError:
        if not settings.ICONS_DIR.exists():
            return '<svg width="24" height="24" viewBox="0 0 24 24"></svg>'  # checks.py tells it
        raise template.TemplateSyntaxError(f"icon {name!r}: there is no {path}") from None
    start = text.index("<svg")
    return re.sub(r'\s+class="[^"]*"', "", re.sub(r"\s*\n\s*", " ", text[start:]).strip(), count=1)


@register.filter(name="bytes")
def bytes_text(value: Any, digits: int = 1) -> str:
    """Write bytes in powers of 1024: `1536` is `1.5 KiB`. A dash for what is unknown."""
    if value is None or value == "":
        return UNKNOWN
    amount, unit = float(value), 0
    while abs(amount) >= 1024 and unit < len(UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.{digits if unit else 0}f} {UNITS[unit]}"


@register.filter
def duration(value: Any) -> str:
    """Write seconds or a timedelta as people say it: `3 d 4 h`, `2 min 5 s`, `0.4 s`. A dash for None."""
    if value is None or value == "":
        return UNKNOWN
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    days, rest = divmod(round(seconds), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next(index for index, (amount, _) in enumerate(parts) if amount)
    return " ".join(f"{amount} {unit}" for amount, unit in parts[first : first + 2] if amount)


@register.filter
def or_dash(value: Any) -> Any:
    """Return the value, or a dash where it is unknown. 0 is known."""
    return UNKNOWN if value is None or value == "" else value
