"""The search page and its API: by owner, viewer and stranger, with hostile texts and bad input."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from sparkweb.accounts.models import User
from tests.factories import UserFactory
from tests.support.claude_code import Transcript
from transcripts_app import saved_searches
from transcripts_app.archive.models import Project, Record
from transcripts_app.importing.ledger import Count
from transcripts_app.models import ProjectAccess
from transcripts_app.models_search import RecentSearch, SavedSearch
from transcripts_app.search import run

Browser = Callable[..., Client]
Read = Callable[[], Count]
MARKUP = '<script>alert("hit")</script> <img src=x onerror=alert(1)> \u202egnp.exe\x1b[31mred'
PAGE, API = "/transcripts/search/", "/api/transcripts/search"


@pytest.fixture
def owner(read: Read, projects: Path, operator: User) -> User:
    """An operator who owns the project `shop`; `safe` is nobody's."""
    one = Transcript(projects)
    one.prompt("Count the basket")
    one.result(one.call("Bash", command="cat evil.html"), f"before {MARKUP} after", error=True)
    one.write()
    two = Transcript(projects, cwd="/home/bob/safe")
    two.prompt("Open the secret basket")
    two.write()
    read()
    ProjectAccess.objects.create(project_key=Project.objects.get(name="shop").key, owner=operator)
    return operator


def _text(client: Client, query: str, path: str = PAGE, **headers: str) -> str:
    answer = client.get(path, {"q": query}, headers=headers)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def test_an_empty_page_teaches_the_language(owner: User, client_of: Browser) -> None:
    text = _text(client_of(owner), "")
    for word in ("Search every session", "tool:Bash", "no such file", "(a OR b)", "before:2026-01", "Lately"):
        assert (word in text) == (word != "Lately"), word


def test_everyone_finds_what_they_may_see(owner: User, viewer: User, admin: User, client_of: Browser) -> None:
    assert "2</span> hits" in _text(client_of(admin), "basket in:prompt")
    text = _text(client_of(owner), "basket in:prompt")
    assert "1</span> hit," in text
    assert "Count the <mark>basket</mark>" in text
    assert "secret" not in text
    assert "Nothing found" in _text(client_of(viewer), "basket")
    for path in (PAGE + "counts/", PAGE):
        for user in (owner, viewer):
            assert "safe" not in _text(client_of(user), "basket", path)
    assert "safe" in _text(client_of(admin), "basket", PAGE + "counts/")
    assert "project:safe" not in client_of(owner).get(PAGE + "suggest/?word=project:").content.decode()
    assert "project:safe" in client_of(admin).get(PAGE + "suggest/?word=project:").content.decode()


def test_markup_and_unseen_characters_do_not_reach_the_page(owner: User, client_of: Browser) -> None:
    text = _text(client_of(owner), 'alert onerror "png exe" gnp*')
    text = _text(client_of(owner), "alert onerror")
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;<mark>alert</mark>(&quot;hit&quot;)" in text
    assert "\u202e" not in text
    assert "\x1b" not in text
    echoed = _text(client_of(owner), '"><script>alert(1)</script>')
    assert "<script>alert(1)" not in echoed
    assert "<script>" not in _text(client_of(owner), "tol:<script>alert(1)</script>")


def test_a_query_that_cannot_be_meant_is_explained(owner: User, client_of: Browser) -> None:
    text = html.unescape(_text(client_of(owner), "basket tol:Bash"))
    assert "At 8: Unknown filter `tol:`; did you mean `tool:`?" in text
    assert 'data-with="tool:"' in text
    assert "has no letter and no digit" in html.unescape(_text(client_of(owner), "basket ->"))


@pytest.mark.parametrize(
    "query",
    [
        "q=basket&sort=sideways&by=moon&offset=-1&after=x",
        "q=basket&offset=99999999999999999999",
        "q=basket&sort=newest&after=-99999999999999999999.99999999999999999",
        "q=%00basket",
        "q=" + "x" * 5000,
        "q=%ff%fe",
        "q=NEAR(a+b)&q=body:x",
        "q=basket&by=session&sort=oldest",
    ],
)
def test_odd_addresses_are_answered(owner: User, client_of: Browser, query: str) -> None:
    for path in (PAGE, PAGE + "counts/"):
        assert client_of(owner).get(f"{path}?{query}").status_code == 200


def test_htmx_gets_the_results_alone(owner: User, client_of: Browser) -> None:
    text = _text(client_of(owner), "basket", **{"HX-Request": "true", "HX-Target": "results"})
    assert text.lstrip().startswith('<div id="results"')
    assert "<html" not in text


def test_the_page_says_what_was_not_ranked_and_what_was_stopped(
    owner: User, admin: User, client_of: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "RANKED_MOST", 1)
    assert "1</span> that were read last are ranked" in _text(client_of(admin), "basket")
    assert "are ranked" not in _text(client_of(owner), "count")
    monkeypatch.setattr(run, "SECONDS_MOST", 0.0)
    monkeypatch.setattr("transcripts_app.search.time_limit.STEPS", 1)
    assert "too broad" in _text(client_of(admin), "basket")
    assert "too broad to count" in _text(client_of(admin), "basket", PAGE + "counts/")


def test_hits_by_session_lead_on(owner: User, client_of: Browser) -> None:
    text = client_of(owner).get(PAGE, {"q": "basket", "by": "session"}).content.decode()
    assert "Sessions of the first" in text
    assert 'class="card search-group"' in text


def test_searches_are_saved_renamed_and_deleted_by_their_owner_alone(
    owner: User, viewer: User, client_of: Browser
) -> None:
    mine, theirs = client_of(owner), client_of(viewer)
    kept = mine.post(PAGE + "save/", {"name": "Failures", "query": "is:error basket", "sort": "newest"})
    assert "Failures" in kept.content.decode()
    saved = SavedSearch.objects.get()
    assert (saved.user, saved.query, saved.sort) == (owner, "is:error basket", "newest")
    assert "q=is%3Aerror+basket&amp;sort=newest" in mine.get(PAGE).content.decode()
    assert "Failures" not in theirs.get(PAGE).content.decode()
    for verb in ("rename", "delete"):
        assert theirs.post(f"{PAGE}saved/{saved.pk}/{verb}/", {"name": "x"}).status_code == 404
        assert mine.post(f"{PAGE}saved/{10**30}/{verb}/", {"name": "x"}).status_code == 404
    assert "Errors" in mine.post(f"{PAGE}saved/{saved.pk}/rename/", {"name": "Errors"}).content.decode()
    assert mine.post(f"{PAGE}saved/{saved.pk}/delete/").status_code == 200
    assert not SavedSearch.objects.exists()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"name": "One", "query": "basket"}, "You have a search called 'One'"),
        ({"name": "Two", "query": "tol:x"}, "did you mean `tool:`?"),
        ({"name": "", "query": "basket"}, "required"),
        ({"name": "Two", "query": ""}, "required"),
        ({"name": "x" * 81, "query": "basket"}, "at most 80"),
        ({"name": "a\0b", "query": "basket"}, "Null characters"),
        ({"name": "Two", "query": "basket", "sort": "moon"}, "valid choice"),
    ],
)
def test_what_cannot_be_saved_is_refused(
    owner: User, client_of: Browser, given: dict[str, str], sentence: str
) -> None:
    SavedSearch.objects.create(user=owner, name="One", query="x")
    answer = client_of(owner).post(PAGE + "save/", given)
    assert answer.status_code == 422
    assert sentence in html.unescape(answer.content.decode())
    assert SavedSearch.objects.count() == 1


def test_names_are_checked_when_renamed(owner: User, client_of: Browser) -> None:
    SavedSearch.objects.create(user=owner, name="One", query="x")
    two = SavedSearch.objects.create(user=owner, name="Two", query="x")
    for name in ("One", "", " ", "x" * 81, "a\0b"):
        assert client_of(owner).post(f"{PAGE}saved/{two.pk}/rename/", {"name": name}).status_code == 422
    two.refresh_from_db()
    assert two.name == "Two"


def test_only_so_many_are_kept(owner: User, client_of: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_searches, "SAVED_MOST", 1)
    monkeypatch.setattr(saved_searches, "RECENT_MOST", 2)
    client = client_of(owner)
    assert client.post(PAGE + "save/", {"name": "One", "query": "x"}).status_code == 200
    assert client.post(PAGE + "save/", {"name": "Two", "query": "x"}).status_code == 422
    for text in ("a", "b", " b ", "", "a\0b", "c" * 3000, "d"):
        assert client.post(PAGE + "recent/", {"q": text}).status_code == 204
    assert [one.query for one in RecentSearch.objects.filter(user=owner)] == ["d", "c" * 1000]
    other = UserFactory(username="other")
    assert "Lately" in client.get(PAGE).content.decode()
    assert "Lately" not in client_of(other).get(PAGE).content.decode()


# The API ------------------------------------------------------------------------------


def _json(client: Client, path: str, status: int = 200, **given: Any) -> Any:
    answer = client.get(path, given)
    assert answer.status_code == status, answer.content
    return answer.json()


def test_the_api_finds_pages_and_counts(owner: User, viewer: User, admin: User, client_of: Browser) -> None:
    client = client_of(admin)
    told = _json(client, API, q="basket in:prompt", sort="newest", limit="1")
    assert (told["total"], told["more_than"], told["stopped"], told["ranked"]) == (2, False, False, None)
    (hit,) = told["results"]
    assert hit["kind"] == "prompt"
    assert hit["url"] == f"/transcripts/sessions/{hit['session']}/records/{hit['record']}/"
    assert {"text": "basket", "is_hit": True} in hit["snippets"][0]["pieces"]
    rest = _json(client, API, q="basket in:prompt", sort="newest", after=told["next_after"])
    assert [one["record"] for one in rest["results"]] != [hit["record"]]
    assert rest["next_after"] is None
    ranked = _json(client, API, q="basket", limit=1)
    assert (ranked["sort"], ranked["next_offset"]) == ("rank", 1)
    counts = _json(client, API + "/counts", q="basket")
    projects = next(group for group in counts["groups"] if group["name"] == "Project")
    assert {value["word"] for value in projects["values"]} == {"project:shop", "project:safe"}
    assert [one["title"] for one in _json(client, "/api/transcripts/titles", q="secret")] == [
        "Open the secret basket"
    ]
    for user, total in ((owner, 1), (viewer, 0)):
        assert _json(client_of(user), API, q="basket in:prompt")["total"] == total
        assert _json(client_of(user), "/api/transcripts/titles", q="secret") == []
        assert "safe" not in str(_json(client_of(user), API + "/counts", q="basket"))
    assert Record.objects.count() == 4


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"q": "tol:Bash"}, "did you mean `tool:`?"),
        ({"q": "x" * 1001}, "1,001 characters"),
        ({"q": "basket", "sort": "moon"}, "is no order"),
        ({"q": "basket", "limit": "0"}, "between 1 and 100"),
        ({"q": "basket", "limit": "٣"}, "between 1 and 100"),
        ({"q": "basket", "offset": "1001"}, "between 0 and 1000"),
        ({"q": "basket", "after": "yesterday"}, "next_after"),
    ],
)
def test_the_api_refuses_in_words(
    owner: User, client_of: Browser, given: dict[str, str], sentence: str
) -> None:
    assert sentence in str(_json(client_of(owner), API, 400, **given))


def test_saved_searches_by_the_api(owner: User, viewer: User, client_of: Browser) -> None:
    mine, path = client_of(owner), "/api/transcripts/saved-searches"

    def send(verb: str, where: str, body: dict[str, Any], client: Client = mine) -> tuple[int, Any]:
        answer = getattr(client, verb)(where, body, content_type="application/json")
        return answer.status_code, answer.json() if answer.content else None

    status, saved = send("post", path, {"name": "One", "query": "is:error"})
    assert (status, saved["sort"]) == (201, "")
    one = f"{path}/{saved['id']}"
    assert send("post", path, {"name": "One", "query": "x"})[0] == 409
    assert send("post", path, {"name": "Two", "query": "tol:x"})[0] == 409
    assert send("post", path, {"name": "a\0b", "query": "x"})[0] == 400
    assert send("patch", one, {"name": "Errors", "sort": "newest"})[1]["name"] == "Errors"
    assert _json(mine, path)["results"][0]["query"] == "is:error"
    assert _json(mine, one)["sort"] == "newest"
    theirs = client_of(viewer)
    assert _json(theirs, path)["results"] == []
    for verb in ("get", "patch", "delete"):
        assert send(verb, one, {}, theirs)[0] == 404
        assert send(verb, f"{path}/{'9' * 40}", {})[0] == 404
    assert send("delete", one, {})[0] == 204
    assert send("delete", one, {})[0] == 404
