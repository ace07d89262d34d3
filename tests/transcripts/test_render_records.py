"""How records of every sort are drawn: what a reader sees of them, and that we wrote all of the HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.claude_code import Transcript
from tests.support.rendered import html_of, problems, text_of, view_of
from tests.support.transcript_gallery import gallery, kind_of
from transcripts_app.format.kinds import Kind
from transcripts_app.render.text import record_markdown, record_text

RECORDS = gallery().records


def name_of(record: dict[str, Any]) -> str:
    return f"{record['type']}-{kind_of(record).name.lower()}"


@pytest.mark.parametrize("record", RECORDS, ids=name_of)
def test_every_record_is_drawn_by_our_own_tags_alone(record: dict[str, Any]) -> None:
    for whole in (False, True):
        html = html_of(record, RECORDS, whole=whole)
        assert problems(html) == []
        assert text_of(html)


@pytest.mark.parametrize("record", RECORDS, ids=name_of)
def test_every_record_has_a_text_and_a_markdown(record: dict[str, Any]) -> None:
    kind = kind_of(record)
    assert record_markdown(record, kind).startswith("### ")
    if kind != Kind.THINKING:
        assert record_text(record, kind).strip()


@pytest.mark.parametrize(
    ("content", "shown", "tone"),
    [
        (
            "<command-name>/review</command-name><command-args>a.py</command-args>",
            ["/review", "a.py"],
            "prompt",
        ),
        ("<bash-input>git log</bash-input>", ["!git log"], "prompt"),
        ("<bash-stdout>a1 x</bash-stdout><bash-stderr>fatal</bash-stderr>", ["a1 x", "fatal"], "prompt"),
        ("<system-reminder>Think.</system-reminder>", ["Reminder to the model", "Think."], "note"),
        (
            "<task-notification><task-id>t1</task-id><status>failed</status><summary>It broke</summary>"
            "</task-notification>",
            ["It broke", "failed", "t1"],
            "note",
        ),
        ("[Request interrupted by user]", ["Interrupted by the user"], "error"),
    ],
)
def test_tags_of_claude_code_are_drawn_as_what_they_are(content: str, shown: list[str], tone: str) -> None:
    record = Transcript(Path(".")).prompt(content)
    view = view_of(record)
    seen = text_of(html_of(record))
    assert view.tone == tone
    assert "<" not in seen
    for words in shown:
        assert words in seen


def test_a_compaction_says_why_and_how_much_there_was() -> None:
    one = Transcript(Path("."))
    record = one.add(
        "system", subtype="compact_boundary", compactMetadata={"trigger": "auto", "preTokens": 155202}
    )
    assert "the window was full" in text_of(html_of(record))
    assert "155,202" in text_of(html_of(record))


def test_an_unknown_record_says_its_type_and_keeps_the_rest_folded() -> None:
    record = Transcript(Path(".")).add("teleported", planet="Mars")
    view = view_of(record)
    assert (view.is_quiet, view.parts[0].label, view.parts[0].is_folded) == (True, "teleported", True)
    assert "Mars" in html_of(record)


def test_errors_of_the_api_are_red() -> None:
    record = Transcript(Path(".")).answer("API Error: 529", isApiErrorMessage=True)
    assert view_of(record).tone == "error"
    assert 'class="tp-error" data-tone="bad"' in html_of(record)


def test_lone_surrogates_and_nul_can_be_sent() -> None:
    record = Transcript(Path(".")).prompt("a\ud800b\0c")
    html = html_of(record)
    assert html.encode()
    assert "\0" not in html
    assert record_text(record, Kind.PROMPT).encode()


def test_absurd_nesting_is_drawn() -> None:
    deep: Any = "end"
    for _ in range(900):
        deep = [deep]
    one = Transcript(Path("."))
    record = one.add("novel", deep=deep)
    assert problems(html_of(record)) == []
    call = one.answer({"type": "tool_use", "id": "t", "name": "mcp__a__b", "input": {"deep": deep}})
    assert problems(html_of(call)) == []
    assert record_markdown(call, Kind.TOOL_CALL)
