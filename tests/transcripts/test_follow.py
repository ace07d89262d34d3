"""Following a folder: what changes is found by looking, told until it was read, and read once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparkweb.accounts.actor import SYSTEM
from sparkweb.accounts.models import User
from tests.support.claude_code import Transcript
from transcripts_app.archive.models import ImportRun, Record, Session, Source, TranscriptFile
from transcripts_app.importing import follower as following
from transcripts_app.importing.follower import Follower
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.process import ArchiveProcess
from transcripts_app.importing.state import state_read
from transcripts_app.importing.writer import Writer
from transcripts_app.models import TranscriptSource
from transcripts_app.sources import source_enable


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look looks at everything: nothing waits for a time."""
    monkeypatch.setattr(following, "WALK_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(following, "PASS_SECONDS", 1e-9)
    monkeypatch.setattr("transcripts_app.importing.process.SOURCES_SECONDS", 0.0)


@pytest.fixture
def process(archive: Path, projects: Path, at_once: None, admin: User) -> Iterator[ArchiveProcess]:
    TranscriptSource.objects.create(node="spark-1", path=str(projects), owner=admin)
    yield ArchiveProcess(archive, "spark-1")


def _talk(root: Path, *prompts: str) -> Transcript:
    one = Transcript(root)
    for text in prompts:
        one.prompt(text)
    one.write()
    return one


def _paths(follower: Follower) -> list[str]:
    look = follower.look()
    return sorted(one.path for one in look.changed)


def test_a_change_is_told_until_it_was_read(projects: Path, at_once: None) -> None:
    one = _talk(projects, "a")
    path = str(one.path.relative_to(projects))
    follower = Follower(str(projects))
    assert _paths(follower) == [path]
    look = follower.look()
    assert [found.path for found in look.changed] == [path]
    follower.done(look.changed)
    assert not follower.look().changed
    one.append(b'{"type":"user"}\n')
    assert _paths(follower) == [path]


def test_files_in_new_folders_and_in_folders_that_were_empty_are_found(projects: Path, at_once: None) -> None:
    follower = Follower(str(projects))
    follower.look()
    empty = projects / "-home-ada-empty"
    empty.mkdir()
    follower.look()
    (empty / "a.jsonl").write_text("{}\n")
    assert _paths(follower) == ["-home-ada-empty/a.jsonl"]


def test_what_is_gone_is_told_by_a_whole_walk_alone(projects: Path, at_once: None) -> None:
    one = _talk(projects, "a")
    follower = Follower(str(projects))
    follower.done(follower.look().changed)
    one.path.unlink()
    look = follower.look()
    assert (look.whole, len(look.gone)) == (True, 1)
    follower.done([], look.gone)
    assert not follower.look().gone


def test_a_folder_that_vanished_is_a_problem_and_no_deletion(projects: Path, at_once: None) -> None:
    _talk(projects, "a")
    follower = Follower(str(projects))
    follower.done(follower.look().changed)
    away = projects.with_name("away")
    projects.rename(away)
    look = follower.look()
    assert not look.gone
    follower._walked = float("-inf")
    assert "cannot be listed: No such file or directory" in follower.look().problem
    away.rename(projects)


def test_a_line_more_is_in_the_archive_after_one_round(process: ArchiveProcess, projects: Path) -> None:
    one = _talk(projects, "a", "b")
    process.round()
    assert Record.objects.count() == 2
    one.prompt("c")
    one.write()
    other = _talk(projects, "d")
    process.round()
    assert Record.objects.count() == 4
    assert set(Session.objects.values_list("source__owner", flat=True)) == {"admin"}
    # A file that had been there, and was not written for long, is looked at too.
    os.utime(other.path, (1, 1))
    process.round()
    other.prompt("e")
    other.write()
    process.round()
    assert Record.objects.count() == 5


def test_a_day_is_one_run_whose_totals_add_up(process: ArchiveProcess, projects: Path) -> None:
    one = _talk(projects, "a")
    process.round()
    one.prompt("b")
    one.write(newline=False)
    process.round()
    one.append(b"\n")
    one.prompt("c")
    one.write()
    _talk(projects, "d")
    process.round()
    run = ImportRun.objects.get()
    assert (run.trigger, run.state) == ("follow", "running")
    total = Count()
    for file in run.files.all():
        total.add(Count.from_json(file.count))
    assert total == Count.from_json(run.totals)
    assert (total.files, total.records, total.waiting_bytes) == (2, 4, 0)
    assert total.bytes == sum(path.stat().st_size for path in projects.rglob("*.jsonl"))


def test_a_restart_goes_on_with_the_run_of_the_day(
    process: ArchiveProcess, projects: Path, archive: Path
) -> None:
    one = _talk(projects, "a")
    process.round()
    one.prompt("b")
    one.write()
    ArchiveProcess(archive, "spark-1").round()
    run = ImportRun.objects.get()
    assert run.totals["records"] == Record.objects.count() == 2


def test_it_waits_while_another_process_writes(
    process: ArchiveProcess, projects: Path, archive: Path
) -> None:
    _talk(projects, "a")
    with Writer(archive):
        process.round()
        assert Record.objects.count() == 0
        assert state_read(archive)["problem"] == "Another process writes to the archive."
    process.round()
    assert Record.objects.count() == 1
    assert state_read(archive)["problem"] == ""


def test_gone_files_are_flagged_and_stay(process: ArchiveProcess, projects: Path) -> None:
    one = _talk(projects, "a")
    process.round()
    shutil.rmtree(one.path.parent)
    process.round()
    assert TranscriptFile.objects.get().gone_ms is not None
    assert Session.objects.get().gone_ms is not None
    assert Record.objects.count() == 1


def test_a_disabled_source_is_left_and_taken_up_again(process: ArchiveProcess, projects: Path) -> None:
    source = TranscriptSource.objects.get()
    one = _talk(projects, "a")
    process.round()
    source_enable(source=source, enabled=False, actor=SYSTEM)
    one.prompt("b")
    one.write()
    process.round()
    assert Record.objects.count() == 1
    source_enable(source=source, enabled=True, actor=SYSTEM)
    process.round()
    assert Record.objects.count() == 2


def test_another_owner_is_told_to_the_archive(process: ArchiveProcess, projects: Path, viewer: User) -> None:
    one = _talk(projects, "a")
    process.round()
    TranscriptSource.objects.update(owner=viewer)
    one.prompt("b")
    one.write()
    process.round()
    assert Source.objects.get().owner == "viewer"


def test_a_full_disk_is_told_and_what_was_missed_is_read_later(
    process: ArchiveProcess, projects: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Writer):
        """The archive must not grow: SQLite says what it says of a full disk."""

        def __init__(self, path: Path, wait_seconds: float = 0.0) -> None:
            super().__init__(path, wait_seconds)
            pages = self.connection.execute("PRAGMA page_count").fetchone()[0]
            self.connection.execute(f"PRAGMA max_page_count = {pages}")

    _talk(projects, "a")
    process.round()
    _talk(projects, os.urandom(500_000).hex())
    with monkeypatch.context() as patch:
        patch.setattr("transcripts_app.importing.process.Writer", Full)
        process.round()
        assert "no room left for the archive" in state_read(archive)["problem"]
        assert Record.objects.count() == 1
    process.round()
    assert Record.objects.count() == 2
    assert state_read(archive)["problem"] == ""
