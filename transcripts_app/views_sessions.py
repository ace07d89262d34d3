"""The list of sessions."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from sparkweb.accounts.models import User
from transcripts_app.forms_sessions import SessionFilterForm
from transcripts_app.selectors_sessions import OUTCOMES, session_choices, session_page

SORT_WORDS = {
    "newest": "Newest", "oldest": "Oldest", "changed": "Last changed", "longest": "Longest",
    "tokens": "Most tokens", "cost": "Highest cost", "errors": "Most errors",
}  # fmt: skip
MARK_WORDS = {
    "errors": "With errors", "agents": "With sub-agents", "fork": "Forks", "compacted": "Compacted",
    "gone": "Source gone", "secrets": "Likely secrets",
}  # fmt: skip


@never_cache
@require_safe
def transcripts(request: HttpRequest) -> HttpResponse:
    """Sessions that the visitor may see."""
    user = cast(User, request.user)
    form = SessionFilterForm(request.GET)
    wanted = form.wanted()
    page = session_page(user, wanted)
    context = {
        "form": form, "wanted": wanted, "page": page, "sorts": SORT_WORDS, "marks": MARK_WORDS,
        "outcomes": OUTCOMES, "query": query_without(request, "page"),
        "query_warmups": query_without(request, "page", "warmups"), **session_choices(user),
    }  # fmt: skip
    return render(request, "transcripts_app/sessions.html", context)


def query_without(request: HttpRequest, *names: str) -> str:
    """Return the query string without some parameters, ready to be gone on with."""
    kept = {name: str(text) for name, text in request.GET.items() if text and name not in names}
    return urlencode(kept) + "&" if kept else ""
