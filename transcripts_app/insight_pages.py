"""What the pages and calls of branches, context, files, blame and errors share."""

from __future__ import annotations

from typing import cast

from django.http import Http404, HttpRequest
from django.utils.http import urlencode

from sparkweb.accounts.models import User
from transcripts_app.access import session_of
from transcripts_app.archive.models import Session
from transcripts_app.insight_masks import Masks
from transcripts_app.redaction.display import session_mask

NUMBER_MOST = 2**53
PATH_MOST = 4096


def masked_session_or_404(request: HttpRequest, key: str) -> tuple[Session, Masks]:
    """Return a session that the visitor may see, its own texts masked, and what masks the rest.

    Raises Http404.
    """
    session = session_or_404(request, key)
    own = session_mask(request, session)
    return session, Masks(cast(User, request.user), session, own)


def session_or_404(request: HttpRequest, key: str) -> Session:
    """Return a session that the visitor may see. Raises Http404."""
    session = None if "\0" in key else session_of(cast(User, request.user), key)
    if session is None:
        raise Http404("There is no such session, or its project is not shared with you.")
    return session


def number_of(text: str | None) -> int | None:
    """Return a whole number from an address; None for what is none, or beyond any record's."""
    given = (text or "").strip()
    if not given.isascii() or not given.isdigit() or len(given) > 16:
        return None
    number = int(given)
    return number if number < NUMBER_MOST else None


def text_of(text: str | None, most: int = PATH_MOST) -> str:
    """Return a text from an address without NUL, cut to what makes sense."""
    return (text or "").replace("\0", "")[:most]


def query_without(request: HttpRequest, *names: str) -> str:
    """Return the query string without some parameters, ready to be gone on with."""
    kept = {name: str(text) for name, text in request.GET.items() if text and name not in names}
    return urlencode(kept) + "&" if kept else ""
