"""The context waterfall, and branches side by side, on page and API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from sparkweb.accounts.models import User
from tests.support.claude_code import Transcript
from tests.support.insight_data import FILE, HOSTILE, Told, insight_transcripts
from transcripts_app.archive.models import Response, Session
from transcripts_app.selectors_branches import compare, tree_of
from transcripts_app.selectors_context import files_read, waterfall

Clients = Callable[[User | None], Client]
Read = Callable[[], Any]


@pytest.fixture
def told(read: Read, projects: Path) -> tuple[Told, Told, Told]:
    sessions = insight_transcripts(projects)
    read()
    return sessions


@pytest.fixture
def session(told: tuple[Told, Told, Told]) -> Session:
    return Session.objects.get(session_id=told[0].session_id)


# Context --------------------------------------------------------------------------------


def test_windows_are_the_apis_own(session: Session) -> None:
    file = files_read(session)[0]
    fall = waterfall(session, file)
    by_response = {one.pk: one for one in Response.objects.all()}
    from transcripts_app.archive.models import Record

    for turn in fall.turns:
        response = by_response[Record.objects.get(pk=turn.record).response or 0]
        total = response.input_tokens + response.cache_read_tokens + response.cache_write_5m_tokens
        assert turn.window == total + response.cache_write_1h_tokens == sum(turn.parts.values())
    assert fall.compactions == 1
    compacted = next(turn for turn in fall.turns if turn.is_compacted)
    assert compacted.dropped > 40_000 and compacted.parts["summary"] > 0


def test_what_was_rewound_is_not_in_the_window(session: Session) -> None:
    """The path that was left is no part of the active one."""
    fall = waterfall(session, files_read(session)[0])
    total = Response.objects.filter(session=session, is_sidechain=False).count()
    assert 0 < len(fall.turns) < total


def test_sub_agents_have_windows_of_their_own(session: Session, client_of: Clients, admin: User) -> None:
    main, agent = files_read(session)
    fall = waterfall(session, agent)
    assert len(fall.turns) == 2 and "prompts" in fall.turns[0].parts
    page = (
        client_of(admin).get(f"/transcripts/sessions/{session.key}/context/?file={agent.pk}").content.decode()
    )
    assert "2 responses" in page and "a1b2c3" in page
    other = Session.objects.exclude(pk=session.pk).first()
    assert other is not None
    elsewhere = client_of(admin).get(f"/transcripts/sessions/{other.key}/context/?file={agent.pk}")
    assert elsewhere.status_code == 404
    assert (
        client_of(admin).get(f"/api/transcripts/sessions/{other.key}/context?file={main.pk}").status_code
        == 404
    )


def test_a_grown_session_is_measured_anew(
    read: Read, told: tuple[Told, Told, Told], session: Session
) -> None:
    before = len(waterfall(session, files_read(session)[0]).turns)
    told[0].said("And one more.")
    told[0].write()
    read()
    again = Session.objects.get(pk=session.pk)
    assert len(waterfall(again, files_read(again)[0]).turns) == before + 1


def test_the_context_page(session: Session, client_of: Clients, admin: User) -> None:
    page = client_of(admin).get(f"/transcripts/sessions/{session.key}/context/").content.decode()
    assert "<b>estimated</b>" in page and "compacted 1×" in page and "Results of Read" in page
    assert '<path class="fall-system"' in page and "Summary of a compaction" in page
    for query in ("turn=1", "turn=999", "turn=x&page=99", "page=0", "file=", "turn=0"):
        assert (
            client_of(admin).get(f"/transcripts/sessions/{session.key}/context/?{query}").status_code == 200
        )
    assert (
        client_of(admin).get(f"/transcripts/sessions/{session.key}/context/?file=987654").status_code == 404
    )


def test_the_context_api(session: Session, client_of: Clients, admin: User) -> None:
    told = client_of(admin).get(f"/api/transcripts/sessions/{session.key}/context").json()
    assert told["estimated"] is True and told["compactions"] == 1 and len(told["files"]) == 2
    assert all(sum(turn["parts"].values()) == turn["window"] for turn in told["turns"])


def test_a_session_without_answers(read: Read, projects: Path, client_of: Clients, admin: User) -> None:
    one = Transcript(projects)
    one.prompt("Hello")
    one.write()
    read()
    session = Session.objects.get()
    assert (
        "No response with tokens"
        in client_of(admin).get(f"/transcripts/sessions/{session.key}/context/").content.decode()
    )
    assert (
        "It went one way only"
        in client_of(admin).get(f"/transcripts/sessions/{session.key}/branches/").content.decode()
    )
    told = client_of(admin).get(f"/api/transcripts/sessions/{session.key}/context").json()
    assert told["turns"] == [] and told["peak"] == 0


# Branches -------------------------------------------------------------------------------


def test_rewinds_and_forks_are_one_tree(session: Session, admin: User) -> None:
    tree = tree_of(admin, session)
    begins = {way.record.preview: way for way in tree.ways}
    assert set(begins) == {
        "Make the basket count right", "Add a method that removes an item", "Write it in Rust instead"
    }  # fmt: skip
    active = begins["Make the basket count right"]
    assert active.branch.is_active and active.prompts == 2 and active.files == [FILE]
    left = begins["Add a method that removes an item"]
    assert (left.prompts, left.calls, left.errors, left.files) == (1, 3, 0, [FILE])
    assert left.output_tokens == 4 * 120
    fork = begins["Write it in Rust instead"]
    assert fork.session.forked_from_id == session.pk and fork.files == ["/home/ada/shop/basket.rs"]


def test_the_fork_shows_the_same_tree_with_its_own_way_active(session: Session, admin: User) -> None:
    fork = Session.objects.exclude(forked_from=None).get()
    tree = tree_of(admin, fork)
    assert len(tree.ways) == 3
    (active,) = [way for way in tree.ways if way.branch.is_active]
    assert active.last.session_id == fork.pk


def test_two_ways_from_where_they_part(session: Session, admin: User) -> None:
    tree = tree_of(admin, session)
    active = next(way for way in tree.ways if way.branch.is_active)
    other = next(way for way in tree.ways if way.record.preview.startswith("Add a method"))
    fork, ours, theirs = compare(tree, active, other)
    assert fork is not None and fork.session_id == session.pk
    assert ours.entries[0].text == "Rather add a total"
    assert [(entry.tool, entry.text) for entry in theirs.entries][:2] == [
        ("", "Add a method that removes an item"), ("Edit", FILE)
    ]  # fmt: skip
    assert any(entry.is_error and entry.tool == "Bash" for entry in ours.entries)


def test_the_branches_page(session: Session, client_of: Clients, admin: User) -> None:
    page = client_of(admin).get(f"/transcripts/sessions/{session.key}/branches/").content.decode()
    assert "3 branches in 2 sessions" in page and "active" in page and "Both share everything up to" in page
    for query in ("left=0&right=0", "left=9&right=-1", "left=x", "right=1", "left=2&right=1"):
        answer = client_of(admin).get(f"/transcripts/sessions/{session.key}/branches/?{query}")
        assert answer.status_code == 200


def test_the_branches_api(session: Session, client_of: Clients, admin: User) -> None:
    client, base = client_of(admin), f"/api/transcripts/sessions/{session.key}/branches"
    told = client.get(base).json()
    assert len(told["branches"]) == 3 and len(told["sessions"]) == 2
    pair = client.get(f"{base}/compare?left=0&right=1").json()
    assert pair["parts_after"]["session"] == session.key
    assert pair["left"]["branch"]["index"] == 0 and pair["right"]["entries"]
    assert client.get(f"{base}/compare?left=0&right=77").status_code == 404
    assert client.get(f"{base}/compare?left=0").status_code == 400


def test_hostile_texts_are_text(told: tuple[Told, Told, Told], client_of: Clients, admin: User) -> None:
    one = told[2]
    fork = one.records[0]["uuid"]
    one.parent = fork
    one.prompt(f"{HOSTILE} again")
    one.said(HOSTILE)
    one.write()
    session = Session.objects.get(session_id=one.session_id)
    page = client_of(admin).get(f"/transcripts/sessions/{session.key}/branches/").content.decode()
    assert "<img src=x" not in page
    page = client_of(admin).get(f"/transcripts/sessions/{session.key}/context/").content.decode()
    assert "<img src=x" not in page
