"""The sessions in which a search finds something."""

from __future__ import annotations

from sparkweb.accounts.models import User
from transcripts_app.export.out import ExportRefused
from transcripts_app.search.query import QueryBad, query_parse
from transcripts_app.search.run import Search
from transcripts_app.search.time_limit import TooLong


def sessions_found(query: str, user: User | None, most: int) -> list[int]:
    """Return ids of the sessions with a hit of the query that the user may see; its language is the page's.

    Raises ExportRefused for a query that cannot be meant, or takes too long.
    """
    if not query.strip():
        raise ExportRefused("The search is empty")
    try:
        return Search(query_parse(query), user).sessions(most)
    except QueryBad as bad:
        raise ExportRefused(str(bad)) from None
    except TooLong:
        raise ExportRefused("The search is too broad: narrow it") from None
