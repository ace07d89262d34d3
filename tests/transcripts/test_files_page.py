"""Files of a session at any of its moments, on page and API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from sparkweb.accounts.models import User
from tests.support.claude_code import Transcript
from tests.support.insight_data import FILE, HOSTILE, START, TESTS, Told, insight_transcripts, later
from transcripts_app.archive.models import Project, Session, ToolCall
from transcripts_app.models import ProjectAccess, Visibility
from transcripts_app.selectors_files import file_view, files_changed

Clients = Callable[[User | None], Client]
Read = Callable[[], Any]


@pytest.fixture
def session(read: Read, projects: Path) -> Session:
    """The rewound session, with others of its project beside it."""
    one, _, _ = insight_transcripts(projects)
    read()
    return Session.objects.get(session_id=one.session_id)


def _page(client: Client, session: Session, query: str = "") -> str:
    answer = client.get(f"/transcripts/sessions/{session.key}/files/{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_files_with_their_changes(session: Session) -> None:
    files = {one.path: one for one in files_changed(session)}
    assert files.keys() == {FILE, TESTS}
    assert (files[FILE].changes, files[FILE].failed, files[TESTS].changes) == (4, 1, 1)


def test_each_moment_of_a_file(session: Session) -> None:
    view = file_view(session, FILE)
    assert [(line.verb, line.is_outside) for line in view.steps] == [
        ("edit", False), ("edit", False), ("outside", False), ("edit", True), ("edit", False)
    ]  # fmt: skip
    assert (view.place, view.failed) == (5, 1)
    first = file_view(session, FILE, place=1).chosen
    assert first is not None and first.before.text == START
    assert first.after.text == START.replace(" + 1", "")
    last = view.chosen
    assert last is not None and last.after.text is not None
    assert "def total" in last.after.text and "def take_out" in last.after.text


def test_a_moment_is_found_by_its_record(session: Session) -> None:
    call = ToolCall.objects.filter(session=session, path=FILE, operation="edit", is_error=False).order_by(
        "pk"
    )[1]
    view = file_view(session, FILE, at=call.record_id)
    assert view.place == 2 and view.chosen is not None and view.chosen.origin == call


def test_edits_of_sub_agents_are_there(session: Session) -> None:
    view = file_view(session, TESTS)
    assert view.chosen is not None and view.chosen.after.text == "def test_count():\n    assert True\n"
    assert view.steps[0].call.record.is_sidechain


def test_a_fork_has_what_was_before_it(session: Session) -> None:
    fork = Session.objects.exclude(forked_from=None).get()
    assert {one.path for one in files_changed(fork)} == {FILE, "/home/ada/shop/basket.rs"}
    view = file_view(fork, FILE)
    assert len(view.steps) == 1 and view.chosen is not None and view.chosen.before.text == START


def test_partly_known_files_say_so(read: Read, projects: Path, client_of: Clients, admin: User) -> None:
    one = Told(projects)
    one.prompt("Change one word")
    call = one.asks("Edit", file_path=FILE, old_string="one", new_string="two")
    one.result(call, "The file has been updated.")
    one.write()
    read()
    session = Session.objects.get()
    page = _page(client_of(admin), session, f"?path={FILE}&show=file")
    assert "Only parts of the file are known" in page and "What comes here is not known" in page
    answer = client_of(admin).get(f"/transcripts/sessions/{session.key}/files/?path={FILE}&download=1")
    assert "two" in answer.content.decode() and "lines are not known" in answer.content.decode()
    assert ".partial" in answer["Content-Disposition"]
    address = f"/api/transcripts/sessions/{session.key}/changed-files/at?path={FILE}"
    told = client_of(admin).get(address).json()
    assert told["whole"] is False and told["text"] is None
    assert {"number": None, "text": "two", "hidden": None} in told["lines"]


def test_the_page_goes_through_the_moments(session: Session, client_of: Clients, admin: User) -> None:
    client = client_of(admin)
    page = _page(client, session, f"?path={quote(FILE, '')}&step=4")
    assert "4 of 5" in page and "something else changed the file" in page
    assert "def remove" in page and "def take_out" in page and 'rel="prev"' in page
    page = _page(client, session, f"?path={quote(FILE, '')}&step=3")
    assert "This command may have changed the file" in page and "sed -i" in page
    assert "Choose a file" in _page(client, session)
    assert "Nothing is known of it" in _page(client, session, "?path=/nowhere")


def test_a_file_is_downloaded_as_it_was(session: Session, client_of: Clients, admin: User) -> None:
    answer = client_of(admin).get(f"/transcripts/sessions/{session.key}/files/?path={FILE}&step=1&download=1")
    assert answer.content.decode() == START.replace(" + 1", "")
    assert answer["Content-Disposition"] == 'attachment; filename="basket.py"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    nothing = client_of(admin).get(f"/transcripts/sessions/{session.key}/files/?path=/no&download=1")
    assert nothing.status_code == 404


def test_owner_viewer_stranger(session: Session, client_of: Clients, operator: User, viewer: User) -> None:
    access = ProjectAccess.objects.create(project_key=Project.objects.get().key, owner=operator)
    paths = [f"/transcripts/sessions/{session.key}/{look}/" for look in ("files", "context", "branches")]
    paths += [
        f"/api/transcripts/sessions/{session.key}/{look}" for look in ("changed-files", "context", "branches")
    ]
    paths.append(f"/api/transcripts/sessions/{session.key}/changed-files/at?path={FILE}")
    for path in paths:
        assert client_of(operator).get(path).status_code == 200, path
        assert client_of(viewer).get(path).status_code == 404, path
    access.visibility = Visibility.USERS
    access.save()
    access.users.add(viewer)
    for path in paths:
        assert client_of(viewer).get(path).status_code == 200, path


def test_hostile_contents_are_text(read: Read, projects: Path, client_of: Clients, admin: User) -> None:
    one = later(projects)
    path = f"/home/ada/{HOSTILE}/x.py"
    one.writes(path, f"{HOSTILE}\n\u202eevil\u2028x\x00\n</td></table>")
    one.write()
    read()
    session = Session.objects.get()
    for query in (f"?path={quote(path, '')}", f"?path={quote(FILE, '')}&show=file", ""):
        page = _page(client_of(admin), session, query)
        assert "<img src=x" not in page and "</td></table>\n\u202e" not in page
    assert "&lt;img src=x" in _page(client_of(admin), session, f"?path={quote(path, '')}")
    answer = client_of(admin).get(
        f"/transcripts/sessions/{session.key}/files/?path={quote(path, '')}&download=1"
    )
    assert answer["Content-Disposition"] == 'attachment; filename="x.py"'


@pytest.mark.parametrize(
    "query", ["path=%00", "path=/a&at=x", "path=/a&at=-1", "path=/a&step=99999999999999999999",
              "path=" + "/x" * 4000, "path=basket.py%22%20OR%20*", "show=x&from=9e9", "path=..%2F..&download"]
)  # fmt: skip
def test_odd_addresses_break_nothing(session: Session, client_of: Clients, admin: User, query: str) -> None:
    answer = client_of(admin).get(f"/transcripts/sessions/{session.key}/files/?{query}")
    assert answer.status_code in (200, 404)
    told = client_of(admin).get(f"/api/transcripts/sessions/{session.key}/changed-files/at?{query}")
    assert told.status_code in (400, 404)


def test_a_session_without_changes_says_what_would_be_here(
    read: Read, projects: Path, client_of: Clients, admin: User
) -> None:
    one = Transcript(projects)
    one.prompt("Hello")
    one.write()
    read()
    assert "No file was changed" in _page(client_of(admin), Session.objects.get())


def test_a_large_file_is_shown_in_pages(read: Read, projects: Path, client_of: Clients, admin: User) -> None:
    one = Told(projects)
    one.prompt("Write much")
    one.writes(FILE, "\n".join(f"line {number}" for number in range(1, 5001)))
    one.write()
    read()
    session = Session.objects.get()
    page = _page(client_of(admin), session, f"?path={FILE}&show=file")
    assert "line 2000<" in page and "line 2001<" not in page and "Rows 1 to 2,000 of 5,000" in page
    assert "line 4500<" in _page(client_of(admin), session, f"?path={FILE}&show=file&from=4000")
