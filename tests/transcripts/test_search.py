"""Searching a real archive: what is found, in which order, and that hidden projects leave no trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connections

from sparkweb.accounts.models import User
from tests.support.claude_code import Transcript
from transcripts_app.archive.models import Project, Record, Session
from transcripts_app.importing.ledger import Count
from transcripts_app.models import ProjectAccess, Visibility
from transcripts_app.models_keeping import SessionStar
from transcripts_app.search import run
from transcripts_app.search.counts import counts_of
from transcripts_app.search.query import query_parse
from transcripts_app.search.results import groups_of, hits_of
from transcripts_app.search.run import NEWEST, OLDEST, RANK, Found, Place, Search
from transcripts_app.search.scope import Scope
from transcripts_app.search.suggest import suggestions_of
from transcripts_app.search.time_limit import TooLong, time_limit
from transcripts_app.search.titles import sessions_titled

Read = Callable[[], Count]
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


@pytest.fixture
def shop(read: Read, projects: Path) -> Transcript:
    """Two sessions of two projects, with everything that filters ask for."""
    one = Transcript(projects)
    one.prompt("Make the basket count right")
    one.answer({"type": "thinking", "thinking": "Look at foo_bar first", "signature": "s"}, id="msg_1")
    one.answer("I look at src/basket.py:12 with --dry-run", id="msg_1")
    one.result(one.call("Bash", command="grep -n count basket.py"), "grep: no such file", error=True)
    one.branch = "feature/basket"
    one.result(
        one.call("Edit", file_path="/home/ada/shop/src/basket.py", old_string="a", new_string="b"), "ok"
    )
    one.result(one.call("mcp__page__click", selector="#buy"), [{"type": "text", "text": "clicked"}, PICTURE])
    one.answer("Café déjà vu: the Straße is done. 搜索功能 works.")
    one.write()
    two = Transcript(projects, cwd="/home/bob/safe", begin=datetime(2026, 12, 1, tzinfo=UTC))
    two.model = "claude-sonnet-4-5-20250929"
    two.prompt("Open the secret basket")
    two.result(two.call("Read", file_path="safe.txt"), "combination 4711")
    two.write()
    read()
    return one


def _found(user: User, text: str, sort: str = "") -> list[str]:
    """The kinds of the records that a query finds, in the archive's order."""
    search = Search(query_parse(text), user)
    found = search.page(sort)
    assert len(found.records) == found.total
    return [Record.objects.get(pk=pk).get_kind_display() for pk in sorted(found.records)]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("basket count", ["prompt", "tool_call"]),
        ('"basket count"', ["prompt"]),
        ("foo_bar", ["thinking"]),
        ("FOO_BAR in:thinking", ["thinking"]),
        ("src/basket.py:12", ["answer"]),
        ("--dry-run", ["answer"]),
        ("cafe deja", ["answer"]),
        ("搜索*", ["answer"]),
        ("功能", []),
        ("tool:Bash is:error", ["tool_result"]),
        ("tool:bash", ["tool_call", "tool_result"]),
        ("tool:mcp__*", ["tool_call", "tool_result"]),
        ("tool:Read,Edit in:input", ["tool_call", "tool_call"]),
        ("path:*.py", ["tool_call", "tool_result"]),
        ("path:src/", ["tool_call", "tool_result"]),
        ("path:basket.py ok", ["tool_result"]),
        ("path:safe.txt", ["tool_call", "tool_result"]),
        ("path:[a-z]", []),
        ("-path:*.py in:input", ["tool_call", "tool_call", "tool_call"]),
        ("branch:feature/basket in:input", ["tool_call", "tool_call"]),
        ("branch:feature* in:output", ["tool_result", "tool_result"]),
        ("branch:feature", []),
        ("model:sonnet", ["tool_call", "tool_result"]),
        ("model:opus tool:Bash is:error", ["tool_result"]),
        ("has:image", ["tool_result"]),
        ("project:safe", ["prompt", "tool_call", "tool_result"]),
        ("project:/home/bob", ["prompt", "tool_call", "tool_result"]),
        ("-project:shop in:prompt", ["prompt"]),
        ("node:spark-1 in:prompt", ["prompt", "prompt"]),
        ("node:spark-9", []),
        ("before:2026-12 in:prompt", ["prompt"]),
        ("after:2026-12 in:prompt", ["prompt"]),
        ("on:2026-11-03 basket in:prompt", ["prompt"]),
        ("on:2026-11-04", []),
        ("after:2027", []),
        ("(combination OR foo)", ["thinking", "tool_result"]),
        ("basket -count in:prompt", ["prompt"]),
        ("is:sidechain", []),
        ("is:warmup", []),
        ("-is:warmup in:prompt", ["prompt", "prompt"]),
        ("nothing_of_the_kind", []),
    ],
)
def test_what_is_found(shop: Transcript, admin: User, text: str, kinds: list[str]) -> None:
    assert _found(admin, text) == kinds


def test_a_session_is_found_by_key_and_by_its_id(shop: Transcript, admin: User) -> None:
    key = Session.objects.get(session_id=shop.session_id).key
    for value in (key, shop.session_id, shop.session_id[:8]):
        assert _found(admin, f"session:{value} in:prompt") == ["prompt"]
    assert _found(admin, f"session:{shop.session_id[:3]}") == []


def test_orders(shop: Transcript, admin: User) -> None:
    search = Search(query_parse("basket"), admin)
    newest = [Record.objects.get(pk=pk).at_ms for pk in search.page(NEWEST).records]
    assert newest == sorted(newest, reverse=True)  # type: ignore[type-var]
    assert [Record.objects.get(pk=pk).at_ms for pk in search.page(OLDEST).records] == newest[::-1]
    best = search.page(RANK)
    with connections["archive"].cursor() as cursor:
        cursor.execute(
            "SELECT rowid FROM archive_search WHERE archive_search MATCH 'body : basket' ORDER BY rank"
        )
        ranked = [row[0] for row in cursor.fetchall()]
    assert set(best.records) == set(ranked)
    assert best.records[0] == ranked[0]
    assert Search(query_parse("tool:Bash"), admin).page(RANK).sort == NEWEST


@pytest.mark.parametrize("sort", [NEWEST, OLDEST])
@pytest.mark.parametrize("sorted_most", [run.SORTED_MOST, 0])
def test_pages_by_time_hold_each_hit_once(
    read: Read, projects: Path, admin: User, monkeypatch: pytest.MonkeyPatch, sort: str, sorted_most: int
) -> None:
    monkeypatch.setattr(run, "SORTED_MOST", sorted_most)
    for month in (3, 1, 2):
        one = Transcript(projects, begin=datetime(2026, month, 1, tzinfo=UTC))
        for number in range(5):
            one.prompt(
                f"word {number}",
                timestamp=None
                if number == 2
                else "2026-01-01T00:00:00Z"
                if number == 3
                else one.at.isoformat(),
            )
        one.write()
    read()
    search = Search(query_parse("word"), admin)
    pages: list[int] = []
    place: Place | None = None
    for _ in range(20):
        found = search.page(sort, rows=2, place=place)
        pages += found.records
        place = found.next_place
        if place is None:
            break
        assert Place.read(str(place)) == place
    never = -1 if sort == NEWEST else 2**62
    times = [never if (at := Record.objects.get(pk=pk).at_ms) is None else at for pk in pages]
    assert len(set(pages)) == len(pages) == 15
    assert times == sorted(times, reverse=sort == NEWEST)


def test_pages_by_rank_hold_each_hit_once(read: Read, projects: Path, admin: User) -> None:
    one = Transcript(projects)
    for number in range(30):
        one.prompt("same words here" if number % 2 else f"same {'words ' * number}")
    one.write()
    read()
    search, pages, offset = Search(query_parse("same words"), admin), [], 0
    while offset is not None:
        found = search.page(RANK, rows=7, offset=offset)
        pages += found.records
        offset = found.next_offset  # type: ignore[assignment]
    assert len(set(pages)) == len(pages) == found.total


def test_a_cut_is_told(shop: Transcript, admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "RANKED_MOST", 3)
    monkeypatch.setattr(run, "COUNTED_MOST", 2)
    found = Search(query_parse("basket"), admin).page()
    assert (found.ranked, found.total, found.more_than) == (3, 2, True)
    everything = sorted(Search(query_parse("basket"), admin).page(NEWEST).records)
    assert sorted(found.records) == everything[-3:]


def test_a_search_that_takes_too_long_is_stopped(
    shop: Transcript, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SECONDS_MOST", 0.0)
    monkeypatch.setattr("transcripts_app.search.time_limit.STEPS", 1)
    for sort in (RANK, NEWEST):
        assert Search(query_parse("basket"), admin).page(sort) == Found(stopped=True, sort=sort)


def test_an_error_that_is_no_stop_stays_an_error(archive: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"
    with sqlite3.connect(archive) as connection:
        with pytest.raises(TooLong), time_limit(connection, 0):
            connection.execute(endless)
        with pytest.raises(sqlite3.OperationalError, match="no such table"), time_limit(connection, 600):
            connection.execute("SELECT * FROM nowhere")
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.fixture
def owner(shop: Transcript, operator: User) -> User:
    """Somebody who owns one of the two projects."""
    ProjectAccess.objects.create(project_key=Project.objects.get(name="shop").key, owner=operator)
    ProjectAccess.objects.create(project_key=Project.objects.get(name="safe").key, owner=None)
    return operator


SAFE_WORDS = ("secret", "combination", "4711", "model:sonnet", "project:safe", "path:safe.txt", "tool:Read")


@pytest.mark.parametrize("in_index", [run.RANKED_MOST, -1])
def test_hidden_projects_leave_no_trace(
    owner: User, viewer: User, admin: User, monkeypatch: pytest.MonkeyPatch, in_index: int
) -> None:
    """Whether sessions are named in the index's expression or checked row by row."""
    monkeypatch.setattr("transcripts_app.search.scope.IN_INDEX_MOST", in_index)
    for text in SAFE_WORDS:
        search = Search(query_parse(text), owner)
        assert search.page() == Found(sort=search.page().sort)
        assert counts_of(search).groups == []
        assert Search(query_parse(text), admin).page().total > 0
    both = Search(query_parse("basket in:prompt"), owner)
    assert both.page().total == both.page(NEWEST).total == 1
    assert {value.label for _, values in counts_of(both).groups for value in values} == {
        "prompt", "shop", "2026-11",
    }  # fmt: skip
    nothing = Search(query_parse("basket"), viewer)
    assert (nothing.page().total, counts_of(nothing).groups) == (0, [])
    everything = list(Record.objects.values_list("pk", flat=True))
    shown = hits_of(everything, query_parse("basket"), both.scope)
    assert {hit.project.name for hit in shown if hit.project} == {"shop"}
    assert hits_of(everything, query_parse("basket"), nothing.scope) == []
    assert groups_of(everything, query_parse("basket"), nothing.scope) == []


def test_a_project_shared_with_all_is_searched_by_all(owner: User, viewer: User) -> None:
    ProjectAccess.objects.filter(owner=owner).update(visibility=Visibility.ALL)
    assert Search(query_parse("basket in:prompt"), viewer).page().total == 1
    assert Search(query_parse("user:operator in:prompt"), viewer).page().total == 1
    assert Search(query_parse("user:nobody"), viewer).page().total == 0


def test_suggestions_and_titles_tell_only_what_may_be_seen(owner: User, viewer: User, admin: User) -> None:
    def words(user: User, word: str) -> list[str]:
        return [one.word for one in suggestions_of(user, word)]

    assert words(admin, "project:") == ["project:safe", "project:shop"]
    assert words(owner, "project:") == ["project:shop"]
    assert words(viewer, "project:") == words(viewer, "tool:") == words(viewer, "model:") == []
    assert words(owner, "tool:re") == []
    assert words(admin, "-tool:re") == ["-tool:Read"]
    assert words(owner, "branch:f") == ["branch:feature/basket"]
    assert words(owner, "to") == ["tool:"]
    assert words(owner, "is:er") == ["is:error"]
    assert words(owner, "nowhere:x") == words(owner, "") == []

    def titles(user: User, text: str) -> list[str]:
        query = query_parse(text)
        return [one.title for one in sessions_titled(query, Search(query, user).scope, 9)]

    assert titles(admin, "BASKET") == ["Open the secret basket", "Make the basket count right"]
    assert titles(owner, "basket") == ["Make the basket count right"]
    assert titles(viewer, "basket") == titles(admin, "basket tool:Bash") == titles(admin, "-basket") == []
    assert titles(admin, "100%") == titles(admin, "_") == []


def test_counts_narrow_to_as_many_as_they_say(shop: Transcript, admin: User) -> None:
    for text in ("basket", "in:output", "tool:Bash"):
        for _, values in counts_of(Search(query_parse(text), admin)).groups:
            for value in values:
                assert Search(query_parse(f"{text} {value.word}"), admin).page().total == value.count, value


def test_snippets_say_where_and_mark_what(shop: Transcript, admin: User) -> None:
    def snippet(text: str) -> tuple[str, str]:
        query = query_parse(text)
        search = Search(query, admin)
        (hit,) = hits_of(search.page().records, query, search.scope)
        (one,) = hit.snippets
        text = "".join(f"[{piece.text}]" if piece.is_hit else piece.text for piece in one.pieces)
        return one.label, text.strip()

    assert snippet("foo_bar") == ("Thinking", "Look at [foo_bar] first")
    assert snippet("such is:error") == ("Bash error", "grep: no [such] file")
    assert snippet("grep in:input") == ("Bash input", "Bash [grep] -n count basket.py")
    assert snippet("CAFE")[1].startswith("[Café] déjà vu")
    assert snippet("count -bash in:prompt") == ("Prompt", "Make the basket [count] right")
    assert snippet("clic*  in:output") == ("mcp__page__click output", "[clicked]")
    assert snippet("in:thinking") == ("Thinking", "Look at foo_bar first")


def test_hits_by_session(read: Read, projects: Path, admin: User) -> None:
    for name in ("one", "two"):
        talk = Transcript(projects, begin=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=name == "two"))
        for _ in range(5):
            talk.prompt(f"word {name}")
        talk.write()
    read()
    search = Search(query_parse("word"), admin)
    groups = groups_of(search.page(NEWEST).records, search.query, search.scope)
    assert [(group.session.title, len(group.hits), group.more) for group in groups if group.session] == [
        ("word two", 3, 2),
        ("word one", 3, 2),
    ]


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "x.y", "1.-1", "-.1", "٣.1", "1" * 41 + ".1", "1.1.1"])
def test_a_place_that_nobody_wrote_is_none(text: str) -> None:
    assert Place.read(text) is None


def test_a_place_beyond_any_number_is_bounded() -> None:
    place = Place.read(f"-{'9' * 20}.{'9' * 18}")
    assert place is not None
    assert place.at_ms == run.NEVER


def test_scope_of_nothing_reaches_nothing() -> None:
    assert Scope(frozenset()).is_nothing
    assert not Scope(frozenset()).has(None)
    assert Scope().has(None)


def test_secrets_are_masked_wherever_they_would_show(read: Read, projects: Path, admin: User) -> None:
    key = "sk-ant-api03-" + "Ab1Cd2Ef3Gh4" * 8
    one = Transcript(projects)
    one.prompt(f"Use the key {key} please")
    one.result(one.call("Bash", command="env", password="hunter22secret"), "x " * 300 + key + " y" * 300)
    one.write()
    read()
    for text in ("key", "ant", "hunter22secret", "tool:Bash", "y", '"x sk"'):
        query = query_parse(text)
        search = Search(query, admin)
        hits = hits_of(search.page().records, query, search.scope)
        assert hits, text
        shown = " ".join(
            [snippet.text for hit in hits for snippet in hit.snippets] + [str(hits[0].session.title)]
        )  # type: ignore[union-attr]
        assert "Ab1Cd2" not in shown, text
        assert "hunter22" not in shown, text
    query = query_parse("use")
    assert "Ab1Cd2" not in sessions_titled(query, Search(query, admin).scope, 3)[0].title


def test_sessions_of_a_search_for_an_export(owner: User, viewer: User) -> None:
    def titles(user: User | None, text: str) -> set[str]:
        found = Search(query_parse(text), user).sessions(10)
        return set(Session.objects.filter(pk__in=found).values_list("title", flat=True))

    both = {"Make the basket count right", "Open the secret basket"}
    assert titles(None, "basket") == both
    assert titles(owner, "basket -nothing") == {"Make the basket count right"}
    assert titles(viewer, "basket") == titles(None, "") == set()
    assert len(Search(query_parse("basket"), None).sessions(1)) == 1


def test_stars_are_ones_own(shop: Transcript, admin: User, operator: User) -> None:
    key = Session.objects.get(session_id=shop.session_id).key
    SessionStar.objects.create(user=admin, session_key=key)
    SessionStar.objects.create(user=admin, session_key=key, record_uid="aa")
    SessionStar.objects.create(user=operator, session_key="elsewhere")
    assert _found(admin, "is:starred in:prompt") == ["prompt"]
    assert Search(query_parse("basket -is:starred in:prompt"), admin).page().total == 1
    assert Search(query_parse("is:starred"), operator).page().total == 0
