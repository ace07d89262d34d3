"""How costs and tokens look on pages."""

from __future__ import annotations

from typing import Any

from django import template

from transcripts_app.archive.models import Session
from transcripts_app.figures import Figures, cost_words, tokens_words
from transcripts_app.session_figures import SessionFigures, session_figures

register = template.Library()
register.filter("cost_words", cost_words)
register.filter("tokens_words", tokens_words)


@register.filter
def share_words(share: float | None) -> str:
    """Write a share as percent: `87 %`; a dash for None. What is not all of it never reads 100 %."""
    if share is None:
        return "–"
    percent = share * 100
    return f"{percent:.0f} %" if not 99.5 <= percent < 100 else "99 %"


@register.filter
def row_cost(row: Figures) -> str:
    """The cost of what has a price; "no price" where nothing has."""
    return cost_words(row.cost_micros if row.has_price else None)


@register.simple_tag
def figures_of_session(session: Session) -> SessionFigures:
    """A session's figures by model and tool, for its page."""
    return session_figures(session)


@register.simple_tag
def query_with(query: Any, **changes: Any) -> str:
    """The query string with some values changed; those that are empty are taken away."""
    copy = query.copy()
    for name, value in changes.items():
        if value in (None, ""):
            copy.pop(name, None)
        else:
            copy[name] = value
    return str(copy.urlencode())


@register.filter
def price(value: Any) -> str:
    """Write dollars without needless zeros: `6.25`, `0.50`; a dash for None."""
    if value is None:
        return "–"
    text = f"{value:f}".rstrip("0")
    whole, _, part = text.partition(".")
    return f"{whole}.{part.ljust(2, '0')}" if part else whole
