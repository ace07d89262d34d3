"""Sessions by their title: the words of a query stand in title or first prompt."""

from __future__ import annotations

from django.db.models import QuerySet

from transcripts_app.archive.models import Session
from transcripts_app.redaction.display import sessions_mask
from transcripts_app.search.query import Query, Words
from transcripts_app.search.scope import Scope


def sessions_titled(query: Query, scope: Scope, most: int) -> list[Session]:
    """Return sessions in whose title every word stands, masked, the newest first; none without words.

    Dates and filters of sessions narrow them too. A query that asks for records (`tool:Bash`, `a OR b`,
    `-word`, `path:`) is for none.
    """
    plain = query.has_words and all(isinstance(part, Words) for part in query.match.parts)
    records = any(narrow.name == "path" for narrow in query.narrow)
    found = list(titled(query, scope)[:most]) if plain and not records else []
    sessions_mask(found)
    return found


def titled(query: Query, scope: Scope) -> QuerySet[Session]:
    """The sessions, unsliced. SQLite's LIKE folds the case of ASCII only."""
    found = Session.objects.select_related("project").exclude(title="").order_by("-started_ms", "-pk")
    found = scope.sessions_of(found)
    for phrase in query.phrases:
        for word in phrase.words:
            found = found.filter(title__icontains=word)
    if query.after_ms is not None:
        found = found.filter(ended_ms__gte=query.after_ms)
    if query.before_ms is not None:
        found = found.filter(started_ms__lt=query.before_ms)
    return found
