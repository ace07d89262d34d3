"""Keeping searches: saved ones by name, the last ones by themselves."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils import timezone

from sparkweb.accounts.models import User
from sparkweb.refusal import Refused
from transcripts_app.models_search import QUERY_MOST, RecentSearch, SavedSearch
from transcripts_app.search.query import QueryBad, query_parse

SAVED_MOST = 100
RECENT_MOST = 20


class SearchRefused(Refused):
    """A search that cannot be kept."""


def search_save(*, user: User, name: str, query: str, sort: str = "") -> SavedSearch:
    """Keep a search under a name that the user has not given yet. Raises SearchRefused."""
    _check(query)
    if user.saved_searches.count() >= SAVED_MOST:
        raise SearchRefused(f"You have {SAVED_MOST} saved searches; delete one first.", "too_many")
    try:
        with transaction.atomic():
            return SavedSearch.objects.create(user=user, name=name, query=query, sort=sort)
    except IntegrityError:
        raise SearchRefused(f"You have a search called {name!r}; take another name.", "name_taken") from None


def search_change(
    *, search: SavedSearch, name: str | None = None, query: str | None = None, sort: str | None = None
) -> SavedSearch:
    """Give a saved search another name, query or order; None leaves it. Raises SearchRefused."""
    if query is not None:
        _check(query)
    for field, value in (("name", name), ("query", query), ("sort", sort)):
        if value is not None:
            setattr(search, field, value)
    try:
        with transaction.atomic():
            search.save(update_fields=["name", "query", "sort"])
    except IntegrityError:
        raise SearchRefused(f"You have a search called {name!r}; take another name.", "name_taken") from None
    return search


def search_remember(*, user: User, query: str) -> None:
    """Note what a user searched for; only the last ones are kept, and none that cannot be meant."""
    text = " ".join(query.split())[:QUERY_MOST]
    if not text or "\0" in text:
        return
    RecentSearch.objects.update_or_create(user=user, query=text, defaults={"used_at": timezone.now()})
    old = RecentSearch.objects.filter(user=user).values_list("pk", flat=True)[RECENT_MOST:]
    RecentSearch.objects.filter(pk__in=list(old)).delete()


def _check(query: str) -> None:
    try:
        query_parse(query)
    except QueryBad as bad:
        raise SearchRefused(str(bad), "query_bad") from None
