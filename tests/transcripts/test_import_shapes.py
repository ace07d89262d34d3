"""Sub-agents, outputs beside, titles, compactions, rewinds, forks, rewritten files: each where it belongs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from django.db import connections

from tests.support.archive_digest import archive_says
from tests.support.claude_code import Transcript, copied, encoded
from transcripts_app.archive.models import ImportRun as Run
from transcripts_app.archive.models import Project, Record, Response, Session, ToolCall, TranscriptFile
from transcripts_app.format.kinds import Kind
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.run import CUT_OFF, ImportRun
from transcripts_app.importing.turns import turns_of
from transcripts_app.importing.writer import Writer
from transcripts_app.store import RawLines, file_bytes

Read = Callable[[], Count]


def _found(words: str) -> set[int]:
    with connections["archive"].cursor() as cursor:
        cursor.execute("SELECT rowid FROM archive_search WHERE archive_search MATCH %s", [words])
        return {number for (number,) in cursor.fetchall()}


def _dated(path: Path, second: int) -> None:
    os.utime(path, (10**9 + second,) * 2)


def test_an_agent_below_the_session_by_its_meta_read_first(read: Read, projects: Path) -> None:
    main = Transcript(projects)
    call = main.call("Task", prompt="Look around", subagent_type="Explore")
    agent = Transcript(projects, session_id=main.session_id, agent="a1")
    agent.prompt("Look around")
    meta = agent.path.with_name("agent-a1.meta.json")
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"agentType": "Explore", "toolUseId": call, "description": "Looks"}))
    main.write()
    read()
    assert ToolCall.objects.get().agent_file is None
    agent.write()
    read()
    linked = ToolCall.objects.get()
    assert linked.agent_file is not None
    assert (linked.agent_id, linked.agent_file.role) == ("a1", "agent")
    assert linked.agent_file.meta["agentType"] == "Explore"
    assert (Session.objects.count(), Session.objects.get().agents) == (1, 1)


def test_a_meta_read_last_links_too(read: Read, projects: Path) -> None:
    main = Transcript(projects)
    call = main.call("Task", prompt="Look around")
    agent = Transcript(projects, session_id=main.session_id, agent="a1")
    agent.prompt("Look around")
    main.write(), agent.write()
    read()
    agent.path.with_name("agent-a1.meta.json").write_text(json.dumps({"toolUseId": call}))
    read()
    assert ToolCall.objects.get().agent_file == TranscriptFile.objects.get(role="agent")


def test_an_agent_beside_the_session_by_what_the_result_tells(read: Read, projects: Path) -> None:
    agent = Transcript(projects, session_id="parent", agent="b2", agent_below=False)
    agent.prompt("Dig")
    agent.write()
    main = Transcript(projects, session_id="parent")
    call = main.call("Task", prompt="Dig")
    main.result(call, "dug", told={"agentId": "b2", "content": []})
    main.write()
    read()
    assert Session.objects.get().session_id == "parent"
    assert ToolCall.objects.get().agent_file == TranscriptFile.objects.get(role="agent")


def test_agents_of_agents_by_progress_and_by_notification(read: Read, projects: Path) -> None:
    main = Transcript(projects)
    one = main.call("Task", prompt="One")
    main.add("progress", toolUseID="x", parentToolUseID=one, data={"type": "agent_progress", "agentId": "c3"})
    child = Transcript(projects, session_id=main.session_id, agent="c3")
    two = child.call("Task", prompt="Two")
    text = (
        f"<task-notification>\n<task-id>d4</task-id>\n<tool-use-id>{two}</tool-use-id>\n</task-notification>"
    )
    main.bare(type="queue-operation", operation="enqueue", content=text, sessionId=main.session_id)
    grandchild = Transcript(projects, session_id=main.session_id, agent="d4")
    grandchild.prompt("Two")
    main.write(), child.write(), grandchild.write()
    _dated(grandchild.path, 1), _dated(child.path, 2), _dated(main.path, 3)
    read()
    linked = {call.tool_use_id: call.agent_file.path for call in ToolCall.objects.all() if call.agent_file}
    assert {Path(path).stem for path in linked.values()} == {"agent-c3", "agent-d4"}
    assert set(linked) == {one, two}


def test_a_session_of_agents_only_and_a_workflow(read: Read, projects: Path) -> None:
    agent = Transcript(projects, session_id="only", agent="e5")
    agent.prompt("Alone")
    agent.write()
    flow = agent.path.parent / "workflows" / "wf1"
    flow.mkdir(parents=True)
    inner = Transcript(projects, session_id="only", agent="f6")
    inner.prompt("In a workflow")
    inner.path = flow / "agent-f6.jsonl"
    inner.write()
    (flow / "journal.jsonl").write_text('{"type":"started","key":"v2:1","agentId":"f6"}\n')
    total = read()
    session = Session.objects.get()
    assert (session.agents, session.title, session.prompts) == (2, "Alone", 0)
    assert total.unknown == {}
    assert TranscriptFile.objects.get(role="journal").session == session


def test_a_file_named_by_its_ending_alone(read: Read, projects: Path) -> None:
    one = Transcript(projects, session_id="inside")
    one.path = one.path.with_name(".jsonl")
    one.prompt("Hello")
    one.write()
    read()
    assert Session.objects.get().session_id == "inside"


def test_outputs_beside_are_searched_and_linked(read: Read, projects: Path) -> None:
    one = Transcript(projects)
    first, second = one.call("Bash", command="make"), one.call("Bash", command="make test")
    folder = one.path.parent / one.session_id / "tool-results"
    told = f"<persisted-output>\nOutput too large. Full output saved to: {folder}/b77.txt\n\nPreview: …"
    one.result(first, "short"), one.result(second, told)
    one.write()
    folder.mkdir(parents=True)
    (folder / f"{first}.txt").write_text("whole needle output")
    (folder / "b77.txt").write_text("another haystack output")
    (folder / "passwd.txt").symlink_to("/etc/passwd")
    read()
    linked = {call.tool_use_id: call.result_file.path for call in ToolCall.objects.all() if call.result_file}
    assert {Path(path).name for path in linked.values()} == {f"{first}.txt", "b77.txt"}
    assert TranscriptFile.objects.get(path__endswith=f"{first}.txt").tool_use_id == first
    assert "link" in TranscriptFile.objects.get(path__endswith="passwd.txt").problem
    (needle,) = _found("needle")
    assert Record.objects.get(pk=needle).kind == Kind.RESULT_FILE
    (folder / f"{first}.txt").write_text("written again: thimble")
    read()
    assert _found("needle") == set()
    assert _found("thimble") == {needle}
    assert RawLines().line(Record.objects.get(pk=needle)) == b"written again: thimble"


def test_titles_last_wins_and_summaries_go_by_leaf(read: Read, projects: Path) -> None:
    one, other = Transcript(projects), Transcript(projects)
    one.prompt("First")
    leaf = one.answer("Done")
    other.prompt("Second")
    other.bare(type="summary", summary="What the first was about", leafUuid=leaf["uuid"])
    one.write(), other.write()
    _dated(other.path, 1), _dated(one.path, 2)  # the summary is read before its leaf
    read()
    titles = {session.session_id: session.title for session in Session.objects.all()}
    assert titles == {one.session_id: "What the first was about", other.session_id: "Second"}
    for kind, field, text in (
        ("custom-title", "customTitle", "Old"), ("ai-title", "aiTitle", "Guess"),
        ("custom-title", "customTitle", "New"),
    ):  # fmt: skip
        one.bare(type=kind, sessionId=one.session_id, **{field: text})
    one.write()
    read()
    session = Session.objects.get(session_id=one.session_id)
    assert (session.title, session.title_kind) == ("New", "custom")
    other.bare(type="summary", summary="Later words", leafUuid=leaf["uuid"])
    other.write()
    read()
    assert Session.objects.get(session_id=one.session_id).title == "New"


def test_a_rewind_and_a_compaction(read: Read, projects: Path) -> None:
    one = Transcript(projects)
    one.prompt("Begin")
    fork = one.answer("Ready")
    one.prompt("Wrong way")
    left = one.answer("Went wrong")
    one.parent = fork["uuid"]
    one.prompt("Right way")
    last = one.answer("Went right")
    one.add(
        "system", subtype="compact_boundary", parentUuid=None, logicalParentUuid=last["uuid"], content="x"
    )
    one.prompt("Summary of all", isCompactSummary=True)
    end = one.answer("On we go")
    one.write()
    read()
    aside = set(Record.objects.filter(is_aside=True).values_list("preview", flat=True))
    assert aside == {"Wrong way", ""}
    assert Record.objects.filter(is_aside=True).count() == 2
    session = Session.objects.get()
    assert (session.compactions, session.outcome, session.prompts) == (1, "done", 3)
    assert RawLines().json(Record.objects.get(pk=session.leaf))["uuid"] == end["uuid"]
    one.parent = left["uuid"]
    one.prompt("Back to the wrong way")
    one.write()
    read()
    assert "Right way" in set(Record.objects.filter(is_aside=True).values_list("preview", flat=True))
    assert not Record.objects.get(preview="Wrong way").is_aside


def test_what_was_queued_is_shown_once(read: Read, projects: Path) -> None:
    one = Transcript(projects)
    one.prompt("Begin")
    name = {"type": "queue-operation", "sessionId": one.session_id}
    one.bare(**name, operation="enqueue", content="also xylophone", timestamp="2026-11-03T09:01:00Z")
    one.bare(**name, operation="remove", content="also xylophone", timestamp="2026-11-03T09:01:01Z")
    one.write()
    read()
    assert [row.subtype for row in Record.objects.filter(kind=Kind.QUEUE, is_twin=False)] == ["remove"]
    assert len(_found("xylophone")) == 1
    one.add(
        "attachment",
        attachment={"type": "queued_command", "prompt": [{"type": "text", "text": "also xylophone"}]},
    )
    one.write()
    read()
    shown = Record.objects.get(kind=Kind.QUEUE, is_twin=False)
    assert shown.subtype == "queued_command"
    assert _found("xylophone") == {shown.pk}


def test_a_fork_is_billed_once_and_its_title_is_its_own(read: Read, projects: Path) -> None:
    one = Transcript(projects)
    one.prompt("Begin")
    one.answer("Half", id="msg_1", tokens=(10, 5))
    one.write()
    fork = Transcript(projects)
    fork.records = copied(one.records, fork.session_id)
    fork.parent = one.parent
    fork.answer("Whole", id="msg_1", tokens=(10, 50))
    fork.write()
    _dated(one.path, 1), _dated(fork.path, 2)
    read()
    first, second = (
        Session.objects.get(session_id=one.session_id),
        Session.objects.get(session_id=fork.session_id),
    )
    assert Response.objects.get().output_tokens == first.output_tokens == 50
    assert second.output_tokens == 0
    assert second.forked_from == first


def test_warmups_are_marked_on_sessions_and_responses(read: Read, projects: Path) -> None:
    warm = Transcript(projects)
    warm.prompt("Warmup")
    warm.answer("Ready")
    work = Transcript(projects)
    work.prompt("Work")
    work.answer("Done")
    agent = Transcript(projects, session_id=work.session_id, agent="w1", agent_below=False)
    agent.prompt("Warmup")
    agent.answer("Ready")
    warm.write(), work.write(), agent.write()
    read()
    marks = {session.session_id: session.is_warmup for session in Session.objects.all()}
    assert marks == {warm.session_id: True, work.session_id: False}
    assert Response.objects.filter(is_warmup=True).count() == 2
    assert not Response.objects.get(session__session_id=work.session_id, is_sidechain=False).is_warmup


def test_a_project_is_what_its_folder_is_named_after(read: Read, projects: Path) -> None:
    folder = projects / encoded("/home/ada/my_shop")
    outputs = folder / "s1" / "tool-results"
    outputs.mkdir(parents=True)
    (outputs / "t.txt").write_text("early")
    read()
    guessed = Project.objects.get()
    assert (guessed.path, guessed.path_guessed) == ("-home-ada-my-shop", True)
    agent = Transcript(projects, "/home/ada/my_shop", "s1", agent="g")
    agent.prompt("Elsewhere", cwd="/tmp/worktree")
    agent.write()
    read()
    assert Project.objects.get().path == "/tmp/worktree"
    main = Transcript(projects, "/home/ada/my_shop", "s1")
    main.prompt("Below", cwd="/home/ada/my_shop/web")
    main.write()
    read()
    assert Project.objects.get().path == "/home/ada/my_shop"


def test_a_rewritten_file_keeps_its_records(read: Read, projects: Path, archive: Path) -> None:
    one = Transcript(projects)
    for text in ("alpha", "bravo", "charlie"):
        one.prompt(text)
    one.bare(type="custom-title", customTitle="Letters", sessionId=one.session_id)
    one.write()
    read()
    before = {record.preview: record.pk for record in Record.objects.all()}
    figures = Session.objects.values("records", "prompts", "title").get()
    lines = one.path.read_bytes().splitlines(keepends=True)
    new = json.dumps(one.prompt("delta")).encode() + b"\n"
    one.path.write_bytes(new + lines[0] + lines[2] + lines[3])
    total = read()
    assert (total.rewritten, total.moved, total.copies) == (1, 3, 0)
    after = {record.preview: record.pk for record in Record.objects.all()}
    assert {name: after[name] for name in before} == before
    assert [record.preview for record in Record.objects.filter(generation=2).order_by("line")] == [
        "delta", "alpha", "charlie", "Letters"
    ]  # fmt: skip
    assert [record.preview for record in Record.objects.filter(generation=1)] == ["bravo"]
    lines_kept = RawLines()
    assert all(lines_kept.json(record) for record in Record.objects.all())
    file = TranscriptFile.objects.get()
    assert b"".join(file_bytes(file)) == one.path.read_bytes()
    assert b"".join(file_bytes(file, 1)) == b"".join(lines)
    now = Session.objects.values("records", "prompts", "title").get()
    assert now == {"records": figures["records"] + 1, "prompts": 4, "title": "Letters"}
    assert len(_found("alpha")) == len(_found("delta")) == 1
    says = archive_says(archive)
    assert read().files == 0
    assert archive_says(archive) == says


def test_a_file_that_is_gone_is_flagged_and_kept_and_comes_back(read: Read, projects: Path) -> None:
    one = Transcript(projects)
    one.prompt("Keep me")
    one.write()
    read()
    away = one.path.rename(projects.parent / "away.jsonl")
    read()
    assert Session.objects.get().gone_ms
    assert TranscriptFile.objects.get().gone_ms
    assert len(_found("keep")) == 1
    away.rename(one.path)
    read()
    assert Session.objects.get().gone_ms is None


def test_a_run_that_was_killed_is_told_as_such(archive: Path, projects: Path) -> None:
    one = Transcript(projects)
    one.prompt("Hello")
    one.write()
    with Writer(archive) as writer:
        ImportRun(writer, "command").source_read("spark-1", projects)
    with Writer(archive) as writer:
        ImportRun(writer, "command").end()
    cut, done = Run.objects.order_by("pk")
    assert (cut.state, cut.error, cut.totals["records"]) == ("failed", CUT_OFF, 1)
    assert done.state == "done"


def test_a_run_that_follows_counts_a_file_over_all_its_readings(archive: Path, projects: Path) -> None:
    one = Transcript(projects)
    with Writer(archive) as writer:
        run = ImportRun(writer, "follow")
        for text in ("One", "Two", "Three"):
            one.prompt(text)
            one.write()
            one.append(b"{")
            run.source_read("spark-1", projects)
            one.path.write_bytes(one.path.read_bytes()[:-1])
        run.end()
    count = Run.objects.get().files.get().count
    assert (count["records"], count["waiting_bytes"]) == (3, 1)
    assert (run.total.records, run.total.waiting_bytes) == (3, 1)


def test_time_is_summed_by_turns() -> None:
    minute = 60_000
    assert (
        _sum([(0, True, 0), (minute, False, 0), (20 * minute, True, 0), (21 * minute, False, 0)])
        == 2 * minute
    )
    told = [
        (0, True, 0),
        (minute, False, 0),
        (minute, False, 30_000),
        (2 * minute, True, 0),
        (3 * minute, False, 0),
    ]
    assert _sum(told) == 30_000 + 2 * minute


def _sum(moments: list[tuple[int, bool, int]]) -> int:
    return sum(active for _, active, _ in turns_of(moments))
