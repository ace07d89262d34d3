"""`manage.py import_transcripts`: what it says, and how it is stopped."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.support.claude_code import Transcript
from transcripts_app.archive.models import ImportRun as Run
from transcripts_app.archive.models import Project, Record, Session
from transcripts_app.importing import pipeline
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.quick import answered, nothing_new
from transcripts_app.importing.run import ImportRun, Progress, _Reading
from transcripts_app.importing.writer import Writer
from transcripts_app.management.commands.import_transcripts import Bar, line, size, told

pytestmark = pytest.mark.usefixtures("archive")


class Terminal(io.StringIO):
    """Something that says it is a terminal; writes like Django's output."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str, ending: str = "\n") -> int:
        return super().write(text + ending)


def _written(projects: Path, prompts: int = 1) -> Transcript:
    one = Transcript(projects)
    for number in range(prompts):
        one.prompt(f"Prompt {number}")
    one.write()
    return one


def test_it_says_what_it_read(projects: Path) -> None:
    one = _written(projects, 2)
    one.append(b"noise\n\n{")
    out = io.StringIO()
    call_command("import_transcripts", str(projects), stdout=out)
    assert out.getvalue().startswith("1 files, 2 records read, ")
    assert "1 lines that are no records, 1 blank. 1 B wait for the end of their line." in out.getvalue()
    out = io.StringIO()
    call_command("import_transcripts", str(projects), stdout=out)
    assert out.getvalue() == "Nothing new.\n"


def test_nothing_new_is_seen_before_django_starts(archive: Path, projects: Path) -> None:
    one = _written(projects)
    assert not nothing_new(archive, "spark-1", [projects])
    call_command("import_transcripts", str(projects), node="spark-1")
    assert nothing_new(archive, "spark-1", [projects])
    assert not nothing_new(archive, "spark-2", [projects])
    before = one.path.stat()
    one.prompt("More")
    one.write()
    assert not nothing_new(archive, "spark-1", [projects])
    call_command("import_transcripts", str(projects), node="spark-1")
    assert nothing_new(archive, "spark-1", [projects])
    os.utime(one.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not nothing_new(archive, "spark-1", [projects])
    call_command("import_transcripts", str(projects), node="spark-1")
    one.path.rename(projects.parent / "away.jsonl")
    assert not nothing_new(archive, "spark-1", [projects])
    call_command("import_transcripts", str(projects), node="spark-1")
    assert nothing_new(archive, "spark-1", [projects])
    (projects.parent / "away.jsonl").rename(one.path)
    assert not nothing_new(archive, "spark-1", [projects])
    with Writer(archive) as writer:
        ImportRun(writer, "command")  # cut off
    assert not nothing_new(archive, "spark-1", [projects])
    assert answered(["--wait=3", str(projects)]) is None


def test_it_says_it_as_json_for_another_node(projects: Path) -> None:
    _written(projects)
    out = io.StringIO()
    call_command("import_transcripts", str(projects), json=True, node="spark-7", stdout=out)
    said = json.loads(out.getvalue())
    assert (said["files"], said["records"], said["by_type"]) == (1, 1, {"user": 1})
    assert Project.objects.get().node == "spark-7"


def test_the_bar_is_drawn_on_a_terminal_alone() -> None:
    progress = Progress(files=4, files_done=1, bytes=2_000_000, bytes_done=500_000)
    assert line(progress, 2.0) == (
        " 25% ██████░░░░░░░░░░░░░░░░░░ 500.0 kB of 2.0 MB, 1 of 4 files, 250.0 kB/s, 6 s to go"
    )
    assert line(Progress(files=0), 0).startswith("100%")
    terminal, file = Terminal(), io.StringIO()
    for out in (terminal, file):
        bar = Bar(out)
        bar.draw(progress)
        bar.clear()
    assert "of 4 files" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")
    assert file.getvalue() == ""
    assert size(999) == "999 B"
    assert size(5_400_000_000) == "5.40 GB"
    assert told(Count(), 1.0) == "Nothing new."


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGINT as in a terminal: a test run that was begun in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_keeps_what_was_stored(projects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real SIGINT between files of which each is a transaction; the reading process lives through it."""
    for number in range(4):
        one = _written(projects, 3)
        os.utime(one.path, (10**9 + number,) * 2)
    monkeypatch.setattr(pipeline, "APART_BYTES", 0)
    monkeypatch.setattr("transcripts_app.importing.run.COMMIT_SECONDS", -1.0)
    ended = _Reading._file_end
    done: list[int] = []

    def end(self: _Reading, number: int, problem: str) -> None:
        ended(self, number, problem)
        done.append(number)
        if len(done) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with _interruptible(), monkeypatch.context() as patch:
        patch.setattr(_Reading, "_file_end", end)
        with pytest.raises(CommandError, match=r"^stopped; .*Run it again to go on\.$") as stopped:
            call_command("import_transcripts", str(projects))
    assert stopped.value.returncode == 130
    kept = Record.objects.count()
    assert 6 <= kept < 12
    run = Run.objects.get()
    assert (run.state, run.error, run.totals["records"]) == ("failed", "stopped by hand", kept)
    call_command("import_transcripts", str(projects))
    assert Record.objects.count() == 12
    assert Session.objects.filter(is_stale=True).count() == 0


def test_the_row_of_a_run_tells_how_far_it_is(
    archive: Path, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        one = _written(projects, 2)
        os.utime(one.path, (10**9 + number,) * 2)
    monkeypatch.setattr("transcripts_app.importing.run.COMMIT_SECONDS", -1.0)
    monkeypatch.setattr("transcripts_app.importing.run.NOTE_SECONDS", 0.0)
    seen: list[dict[str, object]] = []
    with Writer(archive) as writer:
        run = ImportRun(writer, "command")
        run.source_read("spark-1", projects, progress=lambda _: seen.append(Run.objects.get().totals))
        run.end()
    last = seen[-1]["progress"]
    assert isinstance(last, dict)
    assert (last["files"], last["files_done"]) == (3, 2)
    assert seen[-1]["records"] == 6  # the third file is read, but not done
