"""Uploads: sent in pieces by their owner, read by the archive process, hidden from others."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from sparkweb.accounts.models import Role, User
from tests.factories import UserFactory
from tests.support.claude_code import Transcript
from transcripts_app.access import projects_visible
from transcripts_app.archive.models import ImportRun, Project, Record, Session
from transcripts_app.importing.process import ArchiveProcess
from transcripts_app.importing.requests import handlers_load
from transcripts_app.models import ArchiveRequest, TranscriptUpload

CONTENT = "application/octet-stream"


@pytest.fixture
def process(archive: Path, tmp_path: Path) -> Iterator[ArchiveProcess]:
    before, settings.DATA_DIR = settings.DATA_DIR, tmp_path / "data"
    handlers_load()
    yield ArchiveProcess(archive, "spark-1")
    settings.DATA_DIR = before


@pytest.fixture
def packed(tmp_path: Path) -> bytes:
    """A ZIP of a session, and something else."""
    talk = Transcript(tmp_path / "claude" / "projects")
    talk.prompt("From my laptop")
    talk.answer("Good.")
    talk.write()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.write(talk.path, talk.path.relative_to(tmp_path / "claude"))
        archive.writestr("projects/note.txt", "hello")
    return out.getvalue()


def _begin(client: Client, name: str, size: int) -> Any:
    body = {"name": name, "size_bytes": size}
    return client.post("/api/transcripts/uploads", body, content_type="application/json")


def _put(client: Client, uid: str, data: bytes, offset: int = 0) -> Any:
    return client.put(f"/api/transcripts/uploads/{uid}/content?offset={offset}", data, content_type=CONTENT)


def _send(client: Client, name: str, data: bytes) -> str:
    answer = _begin(client, name, len(data))
    assert answer.status_code == 201, answer.content
    uid = answer.json()["uid"]
    assert _put(client, uid, data).status_code == 200
    return str(uid)


def test_it_is_read_and_belongs_to_whoever_sent_it(
    process: ArchiveProcess, packed: bytes, client_of: Callable[..., Client], operator: User, viewer: User
) -> None:
    client = client_of(operator)
    uid = _send(client, "laptop.zip", packed)
    process.round()
    told = client.get(f"/api/transcripts/uploads/{uid}").json()
    assert told["state"] == "done", told
    assert told["result"]["sentence"] == (
        "1 file, 1 session: 2 records new (0 of them known already), 0 bad lines. "
        "1 other files were left out."
    )
    assert Session.objects.get().first_prompt == "From my laptop"
    project = Project.objects.get()
    assert projects_visible(operator) == {project.pk}
    assert projects_visible(viewer) == set()
    assert ImportRun.objects.get().trigger == "upload"
    page = client.get("/transcripts/upload/").content.decode()
    assert "2 records new" in page
    assert [path for path in Path(settings.DATA_DIR).rglob("*") if path.is_file()] == []


def test_the_same_again_adds_nothing_and_a_longer_one_what_is_new(
    process: ArchiveProcess, tmp_path: Path, client_of: Callable[..., Client], operator: User
) -> None:
    client = client_of(operator)
    talk = Transcript(tmp_path / "projects")
    talk.prompt("one")
    data = talk.write().read_bytes()
    for _ in range(2):
        _send(client, f"{talk.session_id}.jsonl", data)
        process.round()
    assert Record.objects.count() == 1
    talk.prompt("two")
    _send(client, f"{talk.session_id}.jsonl", talk.write().read_bytes())
    process.round()
    assert (Record.objects.count(), Session.objects.count()) == (2, 1)
    assert set(ArchiveRequest.objects.values_list("state", flat=True)) == {"done"}


def test_pieces_go_on_where_they_were_lost(
    process: ArchiveProcess, packed: bytes, client_of: Callable[..., Client], operator: User
) -> None:
    client = client_of(operator)
    uid = _begin(client, "laptop.zip", len(packed)).json()["uid"]
    assert _put(client, uid, packed[:100]).json()["received"] == 100
    again = _put(client, uid, packed[:100])
    assert (again.status_code, again.json()["offset"]) == (409, 100)
    assert _put(client, uid, packed[200:], 200).json()["offset"] == 100
    more = _put(client, uid, packed[100:] + b"x", 100)
    assert more.status_code == 400
    assert _put(client, uid, packed[100:], 100).json()["state"] == "requested"
    assert _put(client, uid, b"", 0).status_code == 409
    assert client.delete(f"/api/transcripts/uploads/{uid}").status_code == 409
    process.round()
    assert Session.objects.count() == 1


def test_two_people_with_the_same_folder_do_not_see_each_other(
    process: ArchiveProcess, packed: bytes, client_of: Callable[..., Client], operator: User
) -> None:
    other = UserFactory(username="other", role=Role.OPERATOR)
    for user in (operator, other):
        _send(client_of(user), "laptop.zip", packed)
        process.round()
    assert Project.objects.count() == 2
    assert projects_visible(operator) != projects_visible(other)
    assert len(projects_visible(other) or ()) == 1


def test_an_upload_is_nobody_else_s(
    process: ArchiveProcess, packed: bytes, client_of: Callable[..., Client], operator: User, admin: User
) -> None:
    uid = _begin(client_of(operator), "laptop.zip", len(packed)).json()["uid"]
    stranger = client_of(admin)
    assert stranger.get(f"/api/transcripts/uploads/{uid}").status_code == 404
    assert stranger.delete(f"/api/transcripts/uploads/{uid}").status_code == 404
    assert _put(stranger, uid, packed).status_code == 404
    assert stranger.get("/api/transcripts/uploads").json() == []


def test_a_hostile_one_is_refused_with_its_entry_named(
    process: ArchiveProcess, client_of: Callable[..., Client], operator: User
) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("projects/-home/ok.jsonl", '{"type":"user"}\n')
        archive.writestr("../../<b>evil</b>.jsonl", "x")
    client = client_of(operator)
    uid = _send(client, "evil.zip", out.getvalue())
    process.round()
    told = client.get(f"/api/transcripts/uploads/{uid}").json()
    assert told["error"] == (
        "Its entry ../../<b>evil</b>.jsonl leads out of its folder; nothing of it was read."
    )
    assert "&lt;b&gt;evil" in client.get("/transcripts/upload/").content.decode()
    assert Record.objects.count() == 0
    assert [path for path in Path(settings.DATA_DIR).rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("name", "size", "says"),
    [
        ("notes.txt", 10, "is none of .jsonl, .zip"),
        ("../x.zip", 10, "is no name of a file"),
        ("a/b.zip", 10, "is no name of a file"),
        ("x" * 190 + "\x07.zip", 10, "control characters"),
        ("big.zip", 2**45, "An upload may have 1 byte to 2,048 MiB"),
        ("no.zip", 0, "greater than or equal to 1"),
        ("nul\0.zip", 10, "ull characters"),
    ],
)
def test_what_cannot_be_uploaded_is_refused_at_once(
    process: ArchiveProcess, client_of: Callable[..., Client], operator: User, name: str, size: int, says: str
) -> None:
    answer = _begin(client_of(operator), name, size)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert not TranscriptUpload.objects.exists()


def test_one_person_has_few_at_a_time_and_may_drop_them(
    process: ArchiveProcess, client_of: Callable[..., Client], operator: User
) -> None:
    client = client_of(operator)
    uids = [_begin(client, "a.zip", 10).json()["uid"] for _ in range(4)]
    assert _begin(client, "a.zip", 10).status_code == 409
    assert client.delete(f"/api/transcripts/uploads/{uids[0]}").status_code == 204
    assert _begin(client, "a.zip", 10).status_code == 201


def test_a_kill_in_between_costs_nothing(
    process: ArchiveProcess, packed: bytes, client_of: Callable[..., Client], operator: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    client = client_of(operator)
    _send(client, "laptop.zip", packed)
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(
            "transcripts_app.importing.handlers.uploads.ImportRun.source_read",
            lambda *_args, **_given: (_ for _ in ()).throw(SystemExit),
        )
        process.work()
    assert ArchiveRequest.objects.get().state == "running"
    process.round()
    assert ArchiveRequest.objects.get().state == "done"
    assert Record.objects.count() == 2
