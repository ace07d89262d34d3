"""The list of sessions: what it shows to whom, its filters, orders and empty states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client

from sparkweb.accounts.models import User
from tests.support.page_transcripts import transcripts_seed
from transcripts_app.archive.models import Project, Session
from transcripts_app.models import ProjectAccess, Visibility

Browser = Callable[..., Client]


@pytest.fixture
def keys(archive: Path, projects: Path) -> dict[str, str]:
    return transcripts_seed(projects)


def titles(client: Client, query: str = "") -> list[str]:
    answer = client.get(f"/transcripts/{query}")
    assert answer.status_code == 200
    return [session.title for session in answer.context["page"].sessions]


def test_an_empty_archive_says_how_to_import(archive: Path, client_of: Browser, viewer: User) -> None:
    text = client_of(viewer).get("/transcripts/").content.decode()
    assert "manage.py import_transcripts" in text
    assert "Nothing was read yet" in text


def test_sessions_stand_newest_first_with_their_marks(
    keys: dict[str, str], client_of: Browser, admin: User
) -> None:
    client = client_of(admin)
    answer = client.get("/transcripts/")
    page = answer.context["page"]
    assert page.total == Session.objects.filter(is_warmup=False).count() == len(page.sessions)
    assert [one.started_ms for one in page.sessions] == sorted(
        (one.started_ms for one in page.sessions), reverse=True
    )
    text = answer.content.decode()
    for mark in (
        "Fork",
        "Source gone",
        "sub-agents",
        "Running",
        "compacted 1×",
        "opus-4-5",
        "fix/basket-count",
    ):
        assert mark in text, mark
    assert "<script>alert" not in text


def test_warm_ups_are_hidden_counted_and_shown_on_demand(
    keys: dict[str, str], client_of: Browser, admin: User
) -> None:
    client = client_of(admin)
    assert "Warmup" not in titles(client)
    assert client.get("/transcripts/").context["page"].warmups == 1
    assert "Warmup" in titles(client, "?warmups=on")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?text=poem", {"rewound"}),
        ("?text=BASKET COUNTS", {"tools"}),
        ("?branch=lab", {"broken"}),
        ("?model=sonnet", {"compacted"}),
        ("?outcome=running", {"running"}),
        ("?mark=fork", {"fork"}),
        ("?mark=agents", {"agents"}),
        ("?mark=compacted", {"compacted"}),
        ("?mark=gone", {"rewound"}),
        ("?until=2001-01-01", set()),
        ("?since=2001-01-01&text=poem", {"rewound"}),
    ],
)
def test_filters(keys: dict[str, str], client_of: Browser, admin: User, query: str, names: set[str]) -> None:
    found = {one.key for one in client_of(admin).get(f"/transcripts/{query}").context["page"].sessions}
    assert found == {keys[name] for name in names}


@pytest.mark.parametrize("sort", ["newest", "oldest", "changed", "longest", "tokens", "cost", "errors"])
def test_orders(keys: dict[str, str], client_of: Browser, admin: User, sort: str) -> None:
    page = client_of(admin).get(f"/transcripts/?sort={sort}").context["page"]
    assert page.total == len(page.sessions)
    if sort == "tokens":
        assert page.sessions[0].key == keys["long"]
    if sort == "errors":
        assert page.sessions[0].errors == max(one.errors for one in page.sessions) > 0


def test_what_makes_no_sense_is_named_and_left_out(
    keys: dict[str, str], client_of: Browser, admin: User
) -> None:
    answer = client_of(admin).get("/transcripts/?outcome=splendid&since=yesterday&page=-3&sort=x&text=%00")
    assert answer.status_code == 200
    assert {"outcome", "since", "page", "sort", "text"} == set(answer.context["form"].errors)
    assert answer.context["page"].total > 5


def test_pages(
    keys: dict[str, str], client_of: Browser, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transcripts_app import selectors_sessions

    monkeypatch.setattr(selectors_sessions.session_page, "__defaults__", (4,))
    client, seen = client_of(admin), list[str]()
    for number in range(1, client.get("/transcripts/").context["page"].pages + 1):
        seen += [one.key for one in client.get(f"/transcripts/?page={number}").context["page"].sessions]
    assert len(seen) == len(set(seen)) == Session.objects.filter(is_warmup=False).count()
    assert titles(client, "?page=99") == []


def test_only_what_one_may_see(
    keys: dict[str, str], client_of: Browser, viewer: User, operator: User
) -> None:
    assert titles(client_of(viewer)) == []
    notes = Project.objects.get(path="/home/ada/notes")
    access = ProjectAccess.objects.create(project_key=notes.key, owner=operator, visibility=Visibility.USERS)
    access.users.add(viewer)
    assert {keys["rewound"], keys["compacted"]} == {
        one.key for one in client_of(viewer).get("/transcripts/").context["page"].sessions
    }
    assert len(titles(client_of(operator))) == 2
    access.users.clear()
    answer = client_of(viewer).get("/transcripts/")
    assert answer.context["page"].total == 0
    assert list(answer.context["projects"]) == []


def test_a_list_takes_few_queries(
    keys: dict[str, str],
    client_of: Browser,
    admin: User,
    django_assert_max_num_queries: Callable[..., object],
) -> None:
    client = client_of(admin)
    with django_assert_max_num_queries(10, using="archive"):  # type: ignore[attr-defined]
        client.get("/transcripts/")
