"""The search page, its pieces, and searches that people keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from sparkweb.accounts.models import User
from transcripts_app.forms_search import SavedSearchForm, SearchForm
from transcripts_app.models_search import SavedSearch
from transcripts_app.saved_searches import SearchRefused, search_change, search_remember, search_save
from transcripts_app.search.counts import Counts, counts_of
from transcripts_app.search.filters import FILTERS
from transcripts_app.search.query import Query, QueryBad, query_parse
from transcripts_app.search.results import GROUPED_MOST, groups_of, hits_of
from transcripts_app.search.run import NEWEST, Found, Place, Search
from transcripts_app.search.suggest import suggestions_of
from transcripts_app.search.time_limit import TooLong
from transcripts_app.search.titles import sessions_titled

RECENT_SHOWN = 8
TRIES = ("is:error tool:Bash", "in:prompt after:7d", '"no such file"', "path:*.py tool:Edit", "has:image")


@dataclass(frozen=True)
class Asked:
    """What the address asks for. `bad` says why the query cannot be meant."""

    text: str
    sort: str
    grouped: bool
    offset: int
    place: Place | None
    query: Query
    bad: QueryBad | None = None

    def url(self, **more: Any) -> str:
        """The query string of this search with other fields."""
        fields = {"q": self.text, "sort": self.sort, "by": "session" if self.grouped else ""} | more
        return urlencode({name: value for name, value in fields.items() if value not in ("", None)})


@never_cache
@require_safe
def transcript_search(request: HttpRequest) -> HttpResponse:
    """Search everything that one may see. htmx gets the results alone."""
    asked = _asked(request)
    context = _results(request, asked)
    if request.headers.get("HX-Request") and request.headers.get("HX-Target") == "results":
        return render(request, "transcripts_app/_search_results.html", context)
    return render(request, "transcripts_app/search.html", context | _kept(request))


@never_cache
@require_safe
def transcript_search_counts(request: HttpRequest) -> HttpResponse:
    """What the matches are of, to narrow the search by."""
    asked = _asked(request)
    counts, stopped = Counts([]), False
    try:
        counts = counts_of(Search(asked.query, _user(request)))
    except TooLong:
        stopped = True
    groups = [
        (name, [(value, asked.url(q=f"{asked.text} {value.word}".strip())) for value in values])
        for name, values in counts.groups
    ]
    context = {"groups": groups, "counts": counts, "stopped": stopped, "asked": asked}
    return render(request, "transcripts_app/_search_counts.html", context)


@never_cache
@require_safe
def transcript_search_suggest(request: HttpRequest) -> HttpResponse:
    """How the word that is being typed may go on."""
    word = request.GET.get("word", "").replace("\0", "")[:100]
    return render(
        request, "transcripts_app/_search_suggest.html", {"suggestions": suggestions_of(_user(request), word)}
    )


@require_POST
def transcript_search_recent(request: HttpRequest) -> HttpResponse:
    """Note a search that somebody meant, not each letter of it."""
    search_remember(user=_user(request), query=request.POST.get("q", ""))
    return HttpResponse(status=204)


@require_POST
def transcript_search_save(request: HttpRequest) -> HttpResponse:
    """Keep a search under a name."""
    form = SavedSearchForm(request.POST)
    problem = ""
    if form.is_valid():
        try:
            search_save(user=_user(request), **form.cleaned_data)
        except SearchRefused as refused:
            problem = str(refused)
    else:
        problem = " ".join(str(error) for errors in form.errors.values() for error in errors)
    return _kept_answer(request, problem, "" if problem else "Saved")


@require_POST
def transcript_search_rename(request: HttpRequest, pk: int) -> HttpResponse:
    """Call one's saved search otherwise."""
    name, problem = request.POST.get("name", "").strip(), ""
    if not name or "\0" in name or len(name) > 80:
        problem = "A name has 1 to 80 characters."
    else:
        try:
            search_change(search=_saved(request, pk), name=name)
        except SearchRefused as refused:
            problem = str(refused)
    return _kept_answer(request, problem, "" if problem else "Renamed")


@require_POST
def transcript_search_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Forget one's saved search."""
    _saved(request, pk).delete()
    return _kept_answer(request, "", "Deleted")


def _kept_answer(request: HttpRequest, problem: str, sentence: str) -> HttpResponse:
    answer = render(request, "transcripts_app/_search_saved.html", _kept(request) | {"problem": problem})
    answer.status_code = 422 if problem else 200
    return (
        trigger_client_event(answer, "toast", {"message": sentence, "tone": "good"}) if sentence else answer
    )


def _saved(request: HttpRequest, pk: int) -> SavedSearch:
    found = SavedSearch.objects.filter(user=_user(request), pk=min(pk, 2**62)).first()
    if found is None:
        raise Http404("There is no such saved search, or it is somebody else's.")
    return found


def _kept(request: HttpRequest) -> dict[str, Any]:
    user = _user(request)
    return {
        "saved": [
            (one, urlencode({"q": one.query, "sort": one.sort}))
            for one in SavedSearch.objects.filter(user=user)
        ],
        "recent": [
            (one.query, urlencode({"q": one.query})) for one in user.recent_searches.all()[:RECENT_SHOWN]
        ],
        "filters": FILTERS.values(),
        "problem": "",
    }


def _asked(request: HttpRequest) -> Asked:
    form = SearchForm(request.GET)
    form.is_valid()
    text, query, bad = form.cleaned_data.get("q", ""), Query(""), None
    try:
        query = query_parse(text)
    except QueryBad as error:
        bad = error
    return Asked(
        text, form.cleaned_data.get("sort", ""), form.cleaned_data.get("by") == "session",
        form.cleaned_data.get("offset") or 0, Place.read(form.cleaned_data.get("after", "")), query, bad,
    )  # fmt: skip


def _results(request: HttpRequest, asked: Asked) -> dict[str, Any]:
    context: dict[str, Any] = {
        "asked": asked, "query": asked.query, "bad": asked.bad, "counts_url": asked.url(),
        "grouped_most": GROUPED_MOST,
    }  # fmt: skip
    if asked.bad or asked.query.is_empty:
        return context | {"found": None, "tries": [(one, urlencode({"q": one})) for one in TRIES]}
    search = Search(asked.query, _user(request))
    first = asked.offset == 0 and asked.place is None
    if asked.grouped:
        found = search.page(asked.sort, rows=GROUPED_MOST)
        context["groups"] = groups_of(found.records, asked.query, search.scope)
    else:
        found = search.page(asked.sort, offset=asked.offset, place=asked.place)
        context["hits"] = hits_of(found.records, asked.query, search.scope)
    titled = sessions_titled(asked.query, search.scope, 3) if first and not asked.grouped else []
    return context | {
        "found": found, "sort": found.sort, "is_first": first, "titled": titled,
        "next_url": _next(asked, found), "newest_url": asked.url(sort=NEWEST),
    }  # fmt: skip


def _next(asked: Asked, found: Found) -> str:
    if asked.grouped:
        return ""
    if found.next_place:
        return asked.url(after=found.next_place)
    return asked.url(offset=found.next_offset) if found.next_offset else ""


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)
