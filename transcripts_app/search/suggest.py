"""What may follow while somebody types: names of filters, and values that they may see."""

from __future__ import annotations

from dataclasses import dataclass

from sparkweb.accounts.models import User
from transcripts_app.search.counts import filter_word, is_masked
from transcripts_app.search.filters import FILTERS
from transcripts_app.search.names import values_of
from transcripts_app.search.query import Query
from transcripts_app.search.scope import scope_of

SHOWN_MOST = 10
DATE_VALUES = {
    "on": ("today", "yesterday"),
    "after": ("1d", "7d", "4w", "today"),
    "before": ("today", "7d", "4w"),
}


@dataclass(frozen=True)
class Suggestion:
    """`word` takes the place of what was typed; `means` explains it. `is_open`: a value still follows."""

    word: str
    means: str = ""
    is_open: bool = False


def suggestions_of(user: User, word: str) -> list[Suggestion]:
    """Return how a word that is being typed may go on: `to` as `tool:`, `tool:b` as `tool:Bash`."""
    minus = "-" if word.startswith("-") else ""
    name, colon, value = word.removeprefix("-").partition(":")
    if not colon:
        return [
            Suggestion(f"{minus}{one.name}:", one.means, is_open=True)
            for one in FILTERS.values()
            if name and one.name.startswith(name.lower()) and one.name != name
        ]
    if name.lower() not in FILTERS:
        return []
    wanted = value.strip('"').lower()
    known = FILTERS[name.lower()].values or DATE_VALUES.get(name.lower()) or _seen(user, name.lower())
    close = [one for one in known if wanted in one.lower() and one.lower() != wanted]
    close.sort(key=lambda one: not one.lower().startswith(wanted))
    return [Suggestion(minus + filter_word(name.lower(), one)) for one in close[:SHOWN_MOST]]


def _seen(user: User, name: str) -> list[str]:
    return [one for one in values_of(name, scope_of(user, Query(""))) if not is_masked(one)]
