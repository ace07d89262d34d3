"""Stars, tags, notes, and who sees a project: by its owner, those it is shown to, and strangers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from sparkweb.accounts.models import AuditEntry, User
from tests.support.claude_code import Transcript
from transcripts_app.archive.models import Record, Session
from transcripts_app.importing.run import ImportRun
from transcripts_app.importing.writer import Writer
from transcripts_app.models import ProjectAccess
from transcripts_app.models_keeping import SessionNote, SessionStar

ClientOf = Callable[[User | None], Client]


@pytest.fixture
def session(archive: Path, projects: Path, viewer: User) -> Session:
    """A session of `viewer`, and another one beside it in another project."""
    for cwd, prompt in (("/home/ada/shop", "Hello <b>you</b>"), ("/home/ada/other", "Elsewhere")):
        talk = Transcript(projects, cwd=cwd)
        talk.prompt(prompt)
        talk.write()
    with Writer(archive) as writer:
        run = ImportRun(writer, "command")
        run.source_read("spark-1", projects, owner="viewer")
        run.end()
    return Session.objects.get(first_prompt="Hello <b>you</b>")


def _keep(client: Client, session: Session, **told: Any) -> Any:
    return client.post(f"/transcripts/sessions/{session.key}/keep/change/", told)


def test_tags_stars_and_notes_stand_beside_a_session(
    session: Session, client_of: ClientOf, viewer: User
) -> None:
    client, record = client_of(viewer), Record.objects.get(session=session)
    place = f"/transcripts/sessions/{session.key}/keep/"
    _keep(client, session, action="star")
    _keep(client, session, action="tag", name="  To   Read ")
    _keep(client, session, action="note", text="<script>alert(1)</script>\nlook again", record=record.pk)
    _keep(client, session, action="star", record=record.pk)
    page = client.get(f"{place}?record={record.pk}").content.decode()
    assert "to read" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert f"/records/{record.pk}/" in page
    told = client.get(f"/api/transcripts/sessions/{session.key}/keeping").json()
    assert (told["starred"], told["tags"], told["starred_records"]) == (True, ["to read"], [record.pk])
    assert told["notes"][0]["record"] == record.pk
    for query in ("starred=on", "tag=to+read", "noted=on"):
        rows = client.get(f"/transcripts/?{query}").content.decode()
        assert ("Hello" in rows, "Elsewhere" in rows) == (True, False), query
    _keep(client, session, action="untag", name="to read")
    _keep(client, session, action="unstar")
    _keep(client, session, action="unnote", note=told["notes"][0]["id"])
    told = client.get(f"/api/transcripts/sessions/{session.key}/keeping").json()
    assert (told["starred"], told["tags"], told["notes"]) == (False, [], [])


def test_the_same_over_the_api(session: Session, client_of: ClientOf, viewer: User) -> None:
    client, place = client_of(viewer), f"/api/transcripts/sessions/{session.key}"
    body = {"starred": True, "add_tag": "Later"}
    told = client.patch(f"{place}/keeping", body, content_type="application/json").json()
    assert (told["starred"], told["tags"]) == (True, ["later"])
    note = client.post(f"{place}/notes", {"text": "hm"}, content_type="application/json").json()
    assert client.delete(f"{place}/notes/{note['id']}").status_code == 204
    told = client.patch(f"{place}/keeping", {"remove_tag": "later"}, content_type="application/json").json()
    assert told["tags"] == []


@pytest.mark.parametrize(
    "body", [{"add_tag": ""}, {"add_tag": "<b>"}, {"add_tag": "x" * 50}, {"add_tag": "a\0b"}, {"record": 0},
             {"starred": True, "record": 99}],
)  # fmt: skip
def test_odd_words_are_refused(
    session: Session, client_of: ClientOf, viewer: User, body: dict[str, Any]
) -> None:
    answer = client_of(viewer).patch(
        f"/api/transcripts/sessions/{session.key}/keeping", body, content_type="application/json"
    )
    assert answer.status_code == 400, answer.content


def test_a_stranger_sees_and_changes_nothing(
    session: Session, client_of: ClientOf, viewer: User, operator: User
) -> None:
    note = SessionNote.objects.create(session_key=session.key, text="mine", author=viewer, author_label="v")
    client, place = client_of(operator), f"/api/transcripts/sessions/{session.key}"
    assert _keep(client, session, action="star").status_code == 404
    assert client.get(f"/transcripts/sessions/{session.key}/keep/").status_code == 404
    assert client.get(f"/transcripts/projects/{session.project.key}/access/").status_code == 404
    for method, path in (
        ("GET", f"{place}/keeping"), ("PATCH", f"{place}/keeping"), ("POST", f"{place}/notes"),
        ("DELETE", f"{place}/notes/{note.pk}"),
        ("GET", f"/api/transcripts/projects/{session.project.key}/access"),
    ):  # fmt: skip
        assert client.generic(method, path, "{}", content_type="application/json").status_code == 404, path
    assert "mine" not in client.get("/transcripts/?noted=on").content.decode()
    assert not SessionStar.objects.exists()


def test_a_note_is_taken_away_by_its_author_and_admins_alone(
    session: Session, client_of: ClientOf, viewer: User, operator: User, admin: User
) -> None:
    ProjectAccess.objects.create(project_key=session.project.key, visibility="all")
    note = SessionNote.objects.create(session_key=session.key, text="mine", author=viewer, author_label="v")
    place = f"/api/transcripts/sessions/{session.key}/notes/{note.pk}"
    assert client_of(operator).delete(place).status_code == 403
    assert client_of(admin).delete(place).status_code == 204
    assert AuditEntry.objects.filter(action="transcript_note_remove").exists()


def test_an_owner_shows_a_project_to_chosen_users_and_takes_it_back(
    session: Session, client_of: ClientOf, viewer: User, operator: User
) -> None:
    owner, other = client_of(viewer), client_of(operator)
    place = f"/transcripts/projects/{session.project.key}/access/"
    page = f"/transcripts/sessions/{session.key}/"
    assert other.get(page).status_code == 404
    answer = owner.post(place, {"visibility": "users", "users": ["operator"]})
    assert answer.status_code == 302
    assert other.get(page).status_code == 200
    assert other.get(place).status_code == 403
    assert ProjectAccess.objects.get().owner == viewer
    entry = AuditEntry.objects.get(action="transcript_access")
    assert (entry.detail["visibility"], entry.detail["users"]) == ("users", ["operator"])
    owner.post(place, {"visibility": "owner"})
    assert other.get(page).status_code == 404
    assert owner.get(page).status_code == 200


def test_visibility_over_the_api_and_what_others_may_not(
    session: Session,
    client_of: ClientOf,
    bearer: Callable[..., Client],
    viewer: User,
    operator: User,
    admin: User,
) -> None:
    place = f"/api/transcripts/projects/{session.project.key}/access"
    owner = client_of(viewer)
    told = owner.put(place, {"visibility": "all"}, content_type="application/json").json()
    assert told == {"visibility": "all", "users": [], "owner": "viewer"}
    answer = client_of(operator).put(place, {"visibility": "owner"}, content_type="application/json")
    assert answer.status_code == 403
    answer = bearer(admin, "read").put(place, {"visibility": "owner"}, content_type="application/json")
    assert answer.status_code == 403
    body = {"visibility": "users", "users": ["operator"], "owner": "admin"}
    told = client_of(admin).put(place, body, content_type="application/json").json()
    assert told == {"visibility": "users", "users": ["operator"], "owner": "admin"}
    assert owner.get(f"/transcripts/sessions/{session.key}/").status_code == 404
    for odd in ({"visibility": "world"}, {"visibility": "users", "users": ["nobody"]}, {}):
        assert client_of(admin).put(place, odd, content_type="application/json").status_code == 400
