"""The purge clock, and a session written back: as it was, and over nothing."""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from sparkweb.accounts.models import User
from tests.support.claude_code import Transcript
from transcripts_app.archive.models import Session
from transcripts_app.importing.process import ArchiveProcess
from transcripts_app.importing.requests import handlers_load
from transcripts_app.models import ArchiveRequest, TranscriptSource
from transcripts_app.restoring import RestoreRefused, session_restore

DAY = 86400


@pytest.fixture
def process(archive: Path, projects: Path, admin: User, monkeypatch: pytest.MonkeyPatch) -> ArchiveProcess:
    monkeypatch.setattr("transcripts_app.importing.follower.WALK_SECONDS", 0.0)
    TranscriptSource.objects.create(node="spark-1", path=str(projects), owner=admin)
    handlers_load()
    return ArchiveProcess(archive, "spark-1")


def _talk(projects: Path) -> Transcript:
    one = Transcript(projects)
    one.prompt("Go")
    one.write()
    agent = Transcript(projects, session_id=one.session_id, agent="a1")
    agent.prompt("Look")
    agent.write()
    agent.path.with_suffix(".meta.json").write_text('{"agentType": "Explore"}')
    results = agent.path.parent.parent / "tool-results"
    results.mkdir()
    (results / "toolu_1.txt").write_text("much")
    return one


def _everything(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_purged_session_is_written_back_byte_for_byte(
    process: ArchiveProcess, projects: Path, client_of: Callable[..., Client], admin: User
) -> None:
    _talk(projects)
    process.round()
    before = _everything(projects)
    shutil.rmtree(next(projects.iterdir()))
    process.round()
    session = Session.objects.get()
    assert session.gone_ms is not None
    answer = client_of(admin).post(f"/api/transcripts/sessions/{session.key}/restore")
    assert answer.status_code == 202
    process.round()
    asked = ArchiveRequest.objects.get()
    assert asked.state == "done", asked.error
    assert _everything(projects) == before
    assert time.time() - next(projects.rglob("*.jsonl")).stat().st_mtime < DAY
    process.round()
    session.refresh_from_db()
    assert (session.gone_ms, Session.objects.count()) == (None, 1)


def test_what_is_there_is_never_overwritten(process: ArchiveProcess, projects: Path) -> None:
    one = _talk(projects)
    process.round()
    one.prompt("Newer")
    one.write()
    newer = one.path.read_bytes()
    done = session_restore(Session.objects.get(), projects)
    assert one.path.read_bytes() == newer
    assert done.left == [str(one.path.relative_to(projects))]
    assert (len(done.there), done.written) == (3, [])
    assert not list(projects.rglob("*.restoring"))


def test_a_link_that_leads_out_is_not_followed(
    process: ArchiveProcess, projects: Path, tmp_path: Path
) -> None:
    one = _talk(projects)
    process.round()
    shutil.rmtree(one.path.parent)
    outside = tmp_path / "outside"
    outside.mkdir()
    one.path.parent.symlink_to(outside)
    with pytest.raises(RestoreRefused, match="leads out of the folder"):
        session_restore(Session.objects.get(), projects)
    assert not list(outside.iterdir())


def test_the_command_writes_to_a_folder_of_choice(
    process: ArchiveProcess, projects: Path, tmp_path: Path
) -> None:
    _talk(projects)
    process.round()
    out = io.StringIO()
    key = Session.objects.get().key
    call_command("restore_transcript", key, "--to", str(tmp_path / "new" / "place"), stdout=out)
    assert "4 files written" in out.getvalue()
    assert _everything(tmp_path / "new" / "place") == _everything(projects)
    call_command("restore_transcript", Session.objects.get().session_id, stdout=out)
    assert "4 were there as they are here" in out.getvalue()
    with pytest.raises(CommandError, match="there is no such session"):
        call_command("restore_transcript", "nothing")


def test_the_clock_counts_from_the_last_change_by_claude_code_s_own_setting(
    process: ArchiveProcess, projects: Path, client_of: Callable[..., Client], admin: User, viewer: User
) -> None:
    old, young = _talk(projects), Transcript(projects, cwd="/home/ada/young")
    young.prompt("Young")
    young.write(newline=True)
    young.append(b'{"type":"us')
    for path in old.path.parent.rglob("*"):
        os.utime(path, (time.time() - 20 * DAY,) * 2)
    process.round()
    client = client_of(admin)
    told = client.get("/api/transcripts/purge").json()
    assert [row["title"] for row in told["results"]] == ["Go", "Young"]
    assert [row["missing_bytes"] for row in told["results"]] == [0, 11]
    assert "at its next start" not in client.get("/transcripts/purge/").content.decode()
    (projects.parent / "settings.json").write_text('{"cleanupPeriodDays": 10}')
    page = client.get("/transcripts/purge/").content.decode()
    assert "at its next start" in page
    assert "10 days" in page
    assert "11 B missing" in page
    assert client_of(viewer).get("/api/transcripts/purge").json()["results"] == []
    (projects.parent / "settings.json").write_text("{broken")
    assert "assumed" in client.get("/transcripts/purge/").content.decode()
