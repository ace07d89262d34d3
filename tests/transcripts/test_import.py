"""Reading transcripts into the archive, and again, and on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from django.db import connections

from tests.support.claude_code import Transcript, copied
from transcripts_app.archive.models import Record, Session, ToolCall, TranscriptFile
from transcripts_app.importing.ledger import Count
from transcripts_app.store import RawLines, file_bytes

Read = Callable[[], Count]


def _talk(root: Path, **options: object) -> Transcript:
    one = Transcript(root, **options)  # type: ignore[arg-type]
    one.prompt("Make the basket count right")
    one.answer({"type": "thinking", "thinking": "Look first", "signature": "s"}, id="msg_1", tokens=(10, 1))
    one.answer("I look at basket.py", id="msg_1", tokens=(10, 40))
    call = one.call("Bash", command="grep -n count basket.py")
    one.result(call, "no such file", error=True)
    one.answer("Done.")
    return one


def test_everything_is_read_and_counted_once(read: Read, projects: Path) -> None:
    one = _talk(projects)
    one.write()
    total = read()
    assert (total.files, total.lines, total.records, total.bad) == (1, 6, 6, 0)
    assert total.bytes == one.path.stat().st_size == total.record_bytes
    session = Session.objects.get()
    assert session.title == "Make the basket count right"
    assert (session.prompts, session.tool_calls, session.tool_errors) == (1, 1, 1)
    assert session.output_tokens == 40 + 20 + 20
    assert session.project.path == "/home/ada/shop"
    assert ToolCall.objects.get().error == "no such file"
    assert b"".join(file_bytes(TranscriptFile.objects.get())) == one.path.read_bytes()
    lines = RawLines()
    raw = [lines.line(record) for record in Record.objects.order_by("line")]
    assert raw == one.path.read_bytes().splitlines()


def test_a_second_run_reads_nothing_and_a_line_more_reads_one(read: Read, projects: Path) -> None:
    one = _talk(projects)
    one.write()
    read()
    assert read().files == 0
    one.prompt("Thanks")
    one.write()
    total = read()
    assert (total.records, Record.objects.count()) == (1, 7)


def test_a_cut_last_line_is_waited_for(read: Read, projects: Path) -> None:
    one = _talk(projects)
    one.write(newline=False)
    total = read()
    assert total.records == 5
    assert total.waiting_bytes > 0
    one.append(b"\n")
    assert read().records == 1


def test_a_fork_is_kept_once(read: Read, projects: Path) -> None:
    one = _talk(projects)
    one.write()
    fork = Transcript(projects)
    fork.records = copied(one.records, fork.session_id)
    fork.prompt("Another way")
    fork.write()
    total = read()
    assert (total.copies, total.conflicts) == (6, 0)
    first, second = Session.objects.order_by("records")
    assert {first.records, second.records} == {1, 6}
    assert first.forked_from == second


def test_identifiers_in_tool_input_are_found(read: Read, projects: Path) -> None:
    _talk(projects).write()
    read()
    with connections["archive"].cursor() as cursor:
        cursor.execute(
            "SELECT rowid FROM archive_search WHERE archive_search MATCH 'body : basket AND facets : tbash'"
        )
        assert len(cursor.fetchall()) == 1


def test_a_failures_landmark_is_its_words_without_the_tag(read: Read, projects: Path) -> None:
    one = Transcript(projects)
    one.prompt("Mend it")
    one.result(
        one.call("Edit", file_path="/a.py"), "<tool_use_error>String not found</tool_use_error>", error=True
    )
    one.write()
    read()
    assert Record.objects.get(is_error=True).preview == "String not found"
