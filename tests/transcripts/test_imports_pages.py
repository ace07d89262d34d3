"""The page of sources and of what was read, and the same over the API; by admin, owner and stranger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client

from sparkweb.accounts.models import AuditEntry, User
from tests.support.claude_code import Transcript
from transcripts_app.archive.models import BadLine, ImportRun, TranscriptFile
from transcripts_app.importing.process import ArchiveProcess
from transcripts_app.models import ArchiveRequest, ProjectAccess, TranscriptSource

BAD = b'{"type": "user", broken <script>alert(1)</script> \xff\xfe\n'


@pytest.fixture
def read_in(archive: Path, projects: Path, viewer: User) -> TranscriptFile:
    """A source of `viewer` whose one session has a bad line and a record of an unknown type."""
    TranscriptSource.objects.create(node="spark-1", path=str(projects), owner=viewer)
    talk = Transcript(projects)
    talk.prompt("Hello")
    talk.add("novelty", what="new")
    talk.write()
    talk.append(BAD + b"\n")
    ArchiveProcess(archive, "spark-1").round()
    return TranscriptFile.objects.get()


def test_an_empty_page_says_what_to_do(archive: Path, client_of: Callable[..., Client], admin: User) -> None:
    page = client_of(admin).get("/transcripts/imports/")
    assert page.status_code == 200
    assert b"Claude Code keeps its sessions in" in page.content
    assert b"The archive process does not run" in page.content


def test_what_was_read_stands_there_with_totals_that_add_up(
    read_in: TranscriptFile, client_of: Callable[..., Client], admin: User
) -> None:
    client = client_of(admin)
    page = client.get("/transcripts/imports/").content.decode()
    assert "1 bad line" in page
    assert "A day of following" in page
    run = ImportRun.objects.get()
    told = client.get(f"/api/transcripts/imports/{run.pk}").json()["totals"]
    assert told["bytes"] == told["record_bytes"] + told["bad_bytes"] + told["blank_bytes"]
    assert (told["lines"], told["records"], told["bad"], told["blank"]) == (4, 2, 1, 1)
    assert told["unknown"] == {"novelty": 1}
    page = client.get(f"/transcripts/imports/runs/{run.pk}/").content.decode()
    assert "novelty" in page
    [file] = client.get(f"/api/transcripts/imports/{run.pk}/files").json()["results"]
    assert file["count"]["bytes"] == told["bytes"] == read_in.read_to


def test_a_bad_line_is_shown_with_offset_reason_and_its_bytes(
    read_in: TranscriptFile, client_of: Callable[..., Client], admin: User, projects: Path
) -> None:
    client = client_of(admin)
    page = client.get(f"/transcripts/imports/files/{read_in.pk}/").content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\xff\\xfe" in page
    assert "<script>alert" not in page
    bad = BadLine.objects.get()
    whole = next(projects.rglob("*.jsonl")).read_bytes()
    assert whole[bad.start : bad.start + bad.length] == BAD
    assert client.get(f"/transcripts/imports/bad-lines/{bad.pk}/").content == BAD
    assert client.get(f"/api/transcripts/bad-lines/{bad.pk}").content == BAD
    told = client.get(f"/api/transcripts/imported-files/{read_in.pk}").json()
    assert (told["bad"][0]["start"], told["bad"][0]["line"]) == (bad.start, 3)
    assert told["unknown"] == {"novelty": 1}


def test_an_owner_sees_their_own_and_a_stranger_nothing(
    read_in: TranscriptFile, client_of: Callable[..., Client], viewer: User, operator: User
) -> None:
    owner, stranger = client_of(viewer), client_of(operator)
    assert read_in.source.root in owner.get("/transcripts/imports/").content.decode()
    assert len(owner.get("/api/transcripts/sources").json()) == 1
    assert owner.get(f"/transcripts/imports/files/{read_in.pk}/").status_code == 200
    source = TranscriptSource.objects.get()
    bad = BadLine.objects.get()
    assert read_in.source.root not in stranger.get("/transcripts/imports/").content.decode()
    assert stranger.get("/api/transcripts/sources").json() == []
    for path in (
        f"/transcripts/imports/files/{read_in.pk}/",
        f"/transcripts/imports/bad-lines/{bad.pk}/",
        f"/api/transcripts/imported-files/{read_in.pk}",
        f"/api/transcripts/bad-lines/{bad.pk}",
        f"/api/transcripts/sources/{source.pk}",
    ):
        assert stranger.get(path).status_code == 404, path


def test_a_project_that_was_closed_to_its_source_s_owner_closes_its_files(
    read_in: TranscriptFile, client_of: Callable[..., Client], viewer: User, admin: User
) -> None:
    assert read_in.session
    ProjectAccess.objects.create(project_key=read_in.session.project.key, owner=admin)
    assert client_of(viewer).get(f"/transcripts/imports/files/{read_in.pk}/").status_code == 404


def test_a_source_is_added_left_and_removed(
    archive: Path, projects: Path, client_of: Callable[..., Client], admin: User, viewer: User
) -> None:
    client = client_of(admin)
    answer = client.post("/transcripts/imports/sources/", {"path": str(projects), "owner": "viewer"})
    assert answer.status_code == 302
    source = TranscriptSource.objects.get()
    assert (source.owner, source.node) == (viewer, "spark-1")
    place = f"/transcripts/imports/sources/{source.pk}/"
    client.post(place, {"action": "disable"})
    source.refresh_from_db()
    assert not source.enabled
    assert "Disabled" in client.get("/transcripts/imports/").content.decode()
    client.post(place, {"action": "remove"})
    assert str(projects) not in client.get("/transcripts/imports/state/").content.decode()
    assert client.post(place, {"action": "enable"}).status_code == 404
    assert set(AuditEntry.objects.values_list("action", flat=True)) >= {
        "transcript_source_add", "transcript_source_disable", "transcript_source_remove",
    }  # fmt: skip
    answer = client.post("/api/transcripts/sources", {"path": str(projects)}, content_type="application/json")
    assert (answer.status_code, answer.json()["owner"]) == (201, "admin")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/nonexistent/projects", "is no folder of this machine"),
        ("/dev/null", "is no folder of this machine"),
        ("a\x00b", "Null characters are not allowed"),
        ("/" + "x" * 2000, "at most 1000 characters"),
        ("/", "holds SparkWeb"),
    ],
)
def test_what_cannot_be_a_source_is_refused_in_a_sentence(
    archive: Path, client_of: Callable[..., Client], admin: User, path: str, says: str
) -> None:
    client = client_of(admin)
    page = client.post("/transcripts/imports/sources/", {"path": path})
    assert says in page.content.decode()
    answer = client.post("/api/transcripts/sources", {"path": path}, content_type="application/json")
    assert answer.status_code in (400, 409)
    assert not TranscriptSource.objects.exists()


def test_requests_are_seen_by_those_who_made_them(
    archive: Path, client_of: Callable[..., Client], admin: User, viewer: User, operator: User
) -> None:
    request = ArchiveRequest.objects.create(kind="upload", requested_by=viewer, requested_label="viewer")
    for user, count in ((admin, 1), (viewer, 1), (operator, 0)):
        client = client_of(user)
        assert len(client.get("/api/transcripts/requests").json()) == count
        status = client.get(f"/api/transcripts/requests/{request.pk}").status_code
        assert status == (200 if count else 404)
        assert ("Read an upload" in client.get("/transcripts/imports/").content.decode()) == bool(count)


def test_a_type_named_like_a_method_breaks_no_page(
    archive: Path, projects: Path, client_of: Callable[..., Client], admin: User
) -> None:
    TranscriptSource.objects.create(node="spark-1", path=str(projects), owner=admin)
    talk = Transcript(projects)
    talk.add("items")
    talk.add("keys")
    talk.write()
    ArchiveProcess(archive, "spark-1").round()
    page = client_of(admin).get(f"/transcripts/imports/runs/{ImportRun.objects.get().pk}/").content.decode()
    assert "items" in page
    file = TranscriptFile.objects.get()
    assert client_of(admin).get(f"/transcripts/imports/files/{file.pk}/").status_code == 200
