"""What lies below a folder of transcripts and is none, or is damaged: told, kept, and in nobody's way."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.support.archive_digest import archive_says
from tests.support.claude_code import Transcript, copied
from transcripts_app.archive.models import BadLine, Record, Session, Source, TranscriptFile
from transcripts_app.archive.models import ImportRun as Run
from transcripts_app.format.tools import lines_changed, words_of
from transcripts_app.importing import pipeline
from transcripts_app.importing.batch import Limits
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.run import ImportRun
from transcripts_app.importing.writer import ArchiveBusy, ArchiveFull, Writer
from transcripts_app.store import RawLines, file_bytes

Read = Callable[[], Count]


def _prompted(root: Path, text: str = "Hello", **options: object) -> Transcript:
    one = Transcript(root, **options)  # type: ignore[arg-type]
    one.prompt(text)
    return one


def _problems() -> dict[str, str]:
    return dict(TranscriptFile.objects.exclude(problem="").values_list("path", "problem"))


def test_what_is_no_file_is_told_and_the_others_are_read(read: Read, projects: Path) -> None:
    good = _prompted(projects)
    good.write()
    folder = good.path.parent
    os.mkfifo(folder / "pipe.jsonl")
    with socket.socket(socket.AF_UNIX) as plug:
        here = Path.cwd()
        os.chdir(folder)  # a socket's address may have 107 bytes
        plug.bind("plug.jsonl")
        os.chdir(here)
    (folder / "folder.jsonl").mkdir()
    (folder / "loop").symlink_to(folder)
    (folder / "round.jsonl").symlink_to("round.jsonl")
    (folder / "nowhere.jsonl").symlink_to("/nowhere")
    total = read()
    assert total.records == 1
    name = folder.name
    assert _problems() == {
        f"{name}/pipe.jsonl": "is no file, but a pipe",
        f"{name}/plug.jsonl": "is no file, but a socket",
        f"{name}/folder.jsonl": "is no file, but a folder",
        f"{name}/loop": "is a folder that leads to itself",
        f"{name}/round.jsonl": "cannot be read: Too many levels of symbolic links",
        f"{name}/nowhere.jsonl": "cannot be read: No such file or directory",
    }
    assert read().files == 0


def test_a_file_that_could_not_be_opened_is_tried_again(
    read: Read, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = _prompted(projects)
    one.write()
    opened = os.open

    def refuse(path: str, *rest: int) -> int:
        if str(path).endswith(".jsonl"):
            raise PermissionError(13, "Permission denied")
        return opened(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("transcripts_app.importing.reader.os.open", refuse)
        assert read().records == 0
    assert list(_problems().values()) == ["cannot be read: Permission denied"]
    assert read().records == 1
    assert _problems() == {}


def test_damaged_lines_are_told_with_their_place(read: Read, projects: Path) -> None:
    one = _prompted(projects)
    one.write()
    bad = [
        b"{not json", b'{"type":"user"', b"[1,2]", b'"text"', b"\x00\x00\x00", b"\x89PNG\r\x1a\x00 binary",
        "UTF-16 \u00e4".encode("utf-16"), b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000,
    ]  # fmt: skip
    for line in bad:
        one.append(line.replace(b"\n", b" ") + b"\n")
    one.prompt("Still here")
    one.write()
    total = read()
    data = one.path.read_bytes()
    assert (total.records, total.bad) == (2, len(bad))
    for line in BadLine.objects.order_by("line"):
        assert data[line.start : line.start + line.length].endswith(b"\n")
        assert line.reason
    reasons = list(BadLine.objects.order_by("line").values_list("reason", flat=True))
    assert reasons[2] == "is JSON, but no object: list"
    assert reasons[4] == "holds NUL bytes: no text"
    assert reasons[6] == "is UTF-16: a transcript is UTF-8"
    assert "nested too deeply" in reasons[8]
    assert b"".join(file_bytes(TranscriptFile.objects.get())) == data
    assert total.bytes == total.record_bytes + total.bad_bytes + total.blank_bytes == len(data)


def test_thousands_of_bad_lines_are_told_together(read: Read, projects: Path) -> None:
    one = _prompted(projects)
    one.write()
    one.append(b"noise\n" * 5000)
    total = read()
    assert (total.bad, BadLine.objects.count()) == (5000, 1001)
    last = BadLine.objects.order_by("-line")[0]
    assert last.reason.startswith("4000 bad lines up to line 5001: ")
    assert TranscriptFile.objects.get().bad_lines == 5000


def test_odd_characters_are_kept_and_shown(read: Read, projects: Path) -> None:
    one = Transcript(projects)
    one.prompt("half \ud83d pair", gitBranch="b\udc00", cwd="/home/\ud800")
    one.prompt("nul \x00 and line\u2028separator\u2029s\x85")
    one.answer({"type": "tool_use", "id": "t\ud800", "name": "Ba\x00sh", "input": {"k\ud800": "v\x00"}})
    # As JSON writes them: escapes for what is no character.
    one.append(b"".join(json.dumps(record).encode() + b"\n" for record in one.records))
    total = read()
    assert (total.records, total.bad) == (3, 0)
    first = Record.objects.order_by("line")[0]
    assert first.preview == "half \ufffd pair"
    raw = [RawLines().line(record) for record in Record.objects.order_by("line")]
    assert raw == one.path.read_bytes().split(b"\n")[:-1]
    assert Session.objects.get().branch


def test_crlf_blank_lines_and_a_byte_order_mark(read: Read, projects: Path) -> None:
    one = Transcript(projects)
    one.prompt("One")
    one.prompt("Two")
    first, second = (json.dumps(record).encode() for record in one.records)
    one.append(b"\xef\xbb\xbf" + first + b"\r\n\r\n  \t\n\n" + second + b"\r\n")
    total = read()
    assert (total.records, total.blank, total.bad, total.lines) == (2, 3, 0, 5)
    assert total.bytes == one.path.stat().st_size


def test_names_that_are_no_text(read: Read, projects: Path) -> None:
    folder = os.path.join(os.fsencode(projects), b"-home-\xff\xfe")
    os.mkdir(folder)
    for name in (b"a\xff.jsonl", b"a\xfe.jsonl", b".jsonl"):
        one = _prompted(projects, cwd="/home/other")
        record = json.dumps(one.records[0] | {"sessionId": "told"}).encode()
        with open(os.path.join(folder, name), "wb") as file:
            file.write(record + b"\n")
    assert read().records == 3
    assert read().files == 0
    assert set(Session.objects.values_list("session_id", flat=True)) == {"a\\xff", "a\\xfe", "told"}


def test_one_uuid_with_other_contents_is_a_conflict(read: Read, projects: Path) -> None:
    one = _prompted(projects, "The first")
    one.records.append(dict(one.records[0]))
    one.records.append(one.records[0] | {"message": {"role": "user", "content": "The other"}})
    one.write()
    total = read()
    assert (total.copies, total.conflicts) == (2, 1)
    assert Session.objects.get().records == 1
    assert list(Record.objects.filter(is_conflict=True).values_list("preview", flat=True)) == ["The other"]


def test_circles_of_parents_and_odd_times(read: Read, projects: Path) -> None:
    one = Transcript(projects)
    a, b = (
        one.prompt("A", timestamp="1970-01-01T00:00:00Z"),
        one.answer("B", timestamp="9999-12-31T23:59:59Z"),
    )
    c = one.prompt("C", timestamp=None)
    d, e = one.prompt("D", timestamp=12345), one.prompt("E", timestamp="2026-11-03T10:00:00+01:00")
    a["parentUuid"], b["parentUuid"], c["parentUuid"] = c["uuid"], a["uuid"], b["uuid"]
    d["parentUuid"], e["parentUuid"] = d["uuid"], "nobody"
    one.write()
    assert read().records == 5
    session = Session.objects.get()
    assert session.started_ms == session.ended_ms == 1793696400000
    assert session.leaf == Record.objects.get(line=5).pk


def test_figures_beyond_all_measure(read: Read, projects: Path) -> None:
    one = Transcript(projects)
    for _ in range(3):
        one.answer("x", tokens=(2**52, -5))
    one.answer("y", tokens=(True, 1.5))  # type: ignore[arg-type]
    one.write()
    assert read().records == 4
    session = Session.objects.get()
    assert (session.input_tokens, session.output_tokens) == (0, 0)


def test_a_line_beyond_the_limit_is_kept_but_not_read(archive: Path, projects: Path) -> None:
    one = _prompted(projects)
    one.write()
    one.append(b'{"type":"user","x":"' + b"0123456789" * 30_000 + b'"}\n')
    one.prompt("Behind")
    one.write()
    for _ in range(2):
        with Writer(archive) as writer:
            run = ImportRun(writer, "command", Limits(chunk=10_000, block=4_000, line=100_000))
            run.source_read("spark-1", projects)
            run.end()
    assert Record.objects.count() == 2
    bad = BadLine.objects.get()
    assert bad.reason == "is longer than 100,000 bytes: kept, not read"
    assert bad.length == 300_023
    assert b"".join(file_bytes(TranscriptFile.objects.get())) == one.path.read_bytes()


def test_seventy_megabytes_in_one_line(read: Read, projects: Path) -> None:
    one = Transcript(projects)
    one.add("progress", toolUseID="t", data={"type": "bash_progress", "fullOutput": "0123456789" * 7_000_000})
    one.prompt("Behind")
    one.write()
    total = read()
    assert (total.records, total.bad) == (2, 0)
    record = Record.objects.get(line=1)
    assert len(RawLines().line(record)) == record.length > 70_000_000


def test_a_line_of_too_many_parts_is_not_read(read: Read, projects: Path) -> None:
    one = _prompted(projects)
    one.write()
    one.append(b'{"a":[' + b"[]," * 3_000_000 + b"[]]}\n")
    assert (read().bad, Record.objects.count()) == (1, 1)
    assert BadLine.objects.get().reason.startswith("has too many parts to be read")


def test_four_gigabytes_without_a_line(read: Read, projects: Path) -> None:
    one = _prompted(projects)
    one.write()
    before = one.path.stat().st_size
    os.truncate(one.path, 4 * 2**30)
    total = read()
    assert (total.records, total.waiting_bytes) == (1, 4 * 2**30 - before)


def test_hostile_edits_and_lists_cost_no_more_than_their_size() -> None:
    old, new = (
        "\n".join("ab"[at % 2] for at in range(30_000)),
        "\n".join("ba"[at % 3 % 2] for at in range(30_000)),
    )
    added, removed = lines_changed(old, new)
    assert added == removed > 0
    assert lines_changed("a\n" * 200_000, "b\n" * 200_000) == (200_000, 200_000)
    assert lines_changed("a\nb\nc\n", "a\nx\nc\nd\n") == (2, 1)
    assert len(words_of([["x"] * 10] * 300_000, 1000)) < 2000


def test_a_full_disk_ends_in_words_and_the_next_run_goes_on(
    archive: Path, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        one = _prompted(projects)
        one.result("t", os.urandom(20_000).hex())
        one.write()
        os.utime(one.path, (10**9 + number,) * 2)
    with Writer(archive) as writer:
        pages = writer.connection.execute("PRAGMA page_count").fetchone()[0]
        run = ImportRun(writer, "command", commit_bytes=100_000)
        writer.connection.execute(f"PRAGMA max_page_count = {pages + 100}")
        with pytest.raises(ArchiveFull, match=r"no room left for the archive at .*free some space"):
            run.source_read("spark-1", projects)
    kept = Record.objects.count()
    assert 0 < kept < 40
    with Writer(archive) as writer:
        again = ImportRun(writer, "command")
        again.source_read("spark-1", projects)
        again.end()
    assert Record.objects.count() == 40
    assert again.total.records == 40 - kept
    cut = Run.objects.order_by("pk")[0]
    assert (cut.state, cut.totals["records"]) == ("failed", kept)
    whole = sqlite3.connect(archive)
    assert whole.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    whole.execute("INSERT INTO archive_search (archive_search) VALUES ('integrity-check')")


def test_the_second_of_two_imports_is_refused_in_a_sentence(archive: Path, projects: Path) -> None:
    with Writer(archive):
        with pytest.raises(ArchiveBusy, match=rf"process {os.getpid()} is writing to .*wait for it"):
            Writer(archive)
        with pytest.raises(CommandError, match="is writing to"):
            call_command("import_transcripts", str(projects), wait=0)
    call_command("import_transcripts", str(projects))


def test_a_folder_that_is_not_there(archive: Path, projects: Path) -> None:
    with pytest.raises(CommandError, match="is no folder"):
        call_command("import_transcripts", str(projects / "nowhere"))
    with Writer(archive) as writer:
        run = ImportRun(writer, "command")
        run.source_read("spark-1", projects / "nowhere")
        run.end()
    assert Source.objects.get().problem == "cannot be read: No such file or directory"


def test_a_reading_process_that_dies_costs_one_file(
    archive: Path, projects: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The process ends at the file named poison, as it would for memory; the others are read."""
    for number, name in enumerate(("first", "poison", "last")):
        one = Transcript(projects, session_id=name)
        one.prompt(name)
        one.write()
        os.utime(one.path, (10**9 + number,) * 2)
    script = tmp_path / "reader.py"
    script.write_text(
        "import os, signal\nfrom transcripts_app.importing import reader\nbefore = reader._job_read\n"
        "def read(descriptor, job, limits):\n"
        "    if 'poison' in job.path: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return before(descriptor, job, limits)\n"
        "reader._job_read = read\nreader.main()\n"
    )
    monkeypatch.setattr(pipeline, "APART_BYTES", 0)
    monkeypatch.setattr(pipeline, "READER", [str(script)])
    with Writer(archive) as writer:
        run = ImportRun(writer, "command")
        run.source_read("spark-1", projects)
        run.end()
    assert set(Record.objects.values_list("preview", flat=True)) == {"first", "last"}
    assert list(_problems().values()) == ["the process that read it ended (signal 9)"]


def test_a_fork_of_damaged_records_is_kept_once(read: Read, projects: Path, archive: Path) -> None:
    one = _prompted(projects, "\ud800 half")
    fork = Transcript(projects)
    fork.records = copied(one.records, fork.session_id)
    for part, second in ((one, 1), (fork, 2)):
        part.append(json.dumps(part.records[0]).encode() + b"\n")
        os.utime(part.path, (10**9 + second,) * 2)
    total = read()
    assert (total.copies, total.conflicts) == (1, 0)
    says = archive_says(archive)
    assert read().files == 0
    assert archive_says(archive) == says
