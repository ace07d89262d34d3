# ruff: noqa: E501 - tables of results
"""Each tool's own view: what a reader learns from it, with and without a result, and when it failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.claude_code import Transcript
from tests.support.rendered import Tags, html_of, problems, text_of, view_of
from tests.support.transcript_gallery import PATCH, TESTS, gallery
from transcripts_app.format.kinds import Kind
from transcripts_app.render.media import media_read
from transcripts_app.render.text import fenced, record_markdown, record_text
from transcripts_app.render.view import Part


def called(
    name: str, given: dict[str, Any], content: Any = None, **result: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A call's record, and all records of its session."""
    one = Transcript(Path())
    call = one.call(name, **given)
    if content is not None:
        one.result(call, content, **result)
    return one.records[0], one.records


def tool_of(record: dict[str, Any], records: list[dict[str, Any]], **options: Any) -> Part:
    (part,) = view_of(record, records, **options).parts
    assert part.template == "tool"
    return part


def test_bash_is_a_terminal_with_its_exit_code_and_colours() -> None:
    record, records = called(
        "Bash", {"command": "pytest", "description": "Run the tests"}, f"Exit code 1\n{TESTS}", error=True
    )
    html = html_of(record, records)
    assert view_of(record, records).tone == "error"
    assert '<span class="ansi-f2">2 passed</span>' in html
    seen = text_of(html)
    assert "exit 1" in seen
    assert "Exit code 1" not in seen
    assert seen.count("Downloading") == 1
    assert "Downloading 100%" in seen
    assert seen.startswith("Bash Run the tests failed $ pytest")


def test_bash_keeps_errors_apart_and_says_when_it_wrote_nothing() -> None:
    told = {
        "stdout": "out",
        "stderr": "err",
        "interrupted": False,
        "returnCodeInterpretation": "No matches found",
    }
    record, records = called("Bash", {"command": "x"}, "out\nerr", told=told)
    html = html_of(record, records)
    assert '<pre class="tp-output tp-stderr"' in html
    assert "No matches found" in html
    record, records = called("Bash", {"command": "true"}, "", told={"stdout": "", "stderr": ""})
    assert "It wrote nothing." in html_of(record, records)


@pytest.mark.parametrize(
    ("content", "result", "state", "words"),
    [
        (None, {}, "open", "no result yet"),
        ("fine", {}, "done", ""),
        ("broken", {"error": True}, "error", "failed"),
        (
            "The user doesn't want to proceed with this tool use.",
            {"error": True},
            "rejected",
            "refused by the user",
        ),
        ("x", {"told": {"stdout": "x", "stderr": "", "interrupted": True}}, "interrupted", "interrupted"),
    ],
)
@pytest.mark.parametrize("name", ["Bash", "Read", "Edit", "Grep", "Task", "mcp__a__b", "Frobnicate"])
def test_the_state_of_every_call_shows(
    name: str, content: Any, result: dict[str, Any], state: str, words: str
) -> None:
    record, records = called(
        name, {"command": "c", "file_path": "/a.py", "pattern": "p", "prompt": "do"}, content, **result
    )
    part = tool_of(record, records)
    assert (part.data["state"], part.data["state_text"]) == (state, words if state != "open" else "")
    assert words in text_of(html_of(record, records))
    assert view_of(record, records).tone == ("error" if state == "error" else "tool")
    if state in ("error", "rejected"):
        assert content in text_of(html_of(record, records))


def test_read_takes_the_numbers_off_and_counts_on() -> None:
    numbered = "    41→def f():\n    42→    return 1\n\n<system-reminder>Not malware.</system-reminder>"
    record, records = called("Read", {"file_path": "/a/b.py", "offset": 41}, numbered, told="text")
    part = tool_of(record, records)
    assert part.data["detail"] == "/a/b.py · lines 41–42"
    (lines,) = part.parts
    assert (lines.data["numbers"], lines.data["language"], lines.is_folded, lines.label) == (
        "41\n42",
        "Python",
        True,
        "2 lines",
    )
    assert '<span class="k">def </span>' in lines.data["html"]
    assert "malware" not in html_of(record, records)


def test_edit_shows_the_lines_of_the_file_and_how_many_changed() -> None:
    record, records = called("Edit", {"file_path": "/a.py", "old_string": "a", "new_string": "b", "replace_all": True},
                             "updated", told={"filePath": "/a.py", "structuredPatch": PATCH, "userModified": True})  # fmt: skip
    part = tool_of(record, records)
    assert part.data["detail"] == "/a.py · +3 −2"
    html = html_of(record, records)
    assert (
        '<tr class="tp-less"><td>14</td><td></td><td>−</td><td>        return len(self.lines)</td></tr>'
        in html
    )
    assert "Changed by the user" in html


def test_edit_without_a_patch_compares_old_and_new() -> None:
    record, records = called(
        "MultiEdit", {"file_path": "/a", "edits": [{"old_string": "a = 1", "new_string": "a = 2"}] * 40}
    )
    part = tool_of(record, records)
    assert len([one for one in part.parts if one.template == "diff"]) == 30
    assert "and 10 more changes" in text_of(html_of(record, records))


def test_what_was_found_is_grouped_by_file() -> None:
    found = "a.py:1:import os\na.py-2-\nb/c.py:10:os.sep\n--\nodd line"
    record, records = called(
        "Grep",
        {"pattern": "os", "output_mode": "content"},
        found,
        told={"mode": "content", "content": found, "numLines": 4},
    )
    (part,) = tool_of(record, records).parts
    groups = [(group["path"], [line[0] for line in group["lines"]]) for group in part.data["matches"]]
    assert groups == [("a.py", ["1", "2"]), ("b/c.py", ["10"]), ("", ["", ""])]


def test_a_to_do_list_says_what_changed() -> None:
    record = next(one for one in gallery().records if '"TodoWrite"' in str(one).replace("'", '"'))
    seen = text_of(html_of(record, gallery_with(record)))
    for words in ("Find the count done now", "Write a test begun", "Tell Ben new", "Ask Cleo"):
        assert words in seen


def gallery_with(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The result of a gallery's call, found by its place: each gallery has ids of its own."""
    ids = [block["id"] for block in record["message"]["content"]]
    old = [{"content": "Find the count", "status": "in_progress"}, {"content": "Ask Cleo", "status": "pending"},
           {"content": "Write a test", "status": "pending"}]  # fmt: skip
    one = Transcript(Path())
    one.result(ids[0], "Todos have been modified", told={"oldTodos": old, "newTodos": []})
    return one.records


def test_a_sub_agent_leaves_room_for_its_messages_and_says_what_it_took() -> None:
    record, records = called("Task", {"subagent_type": "Explore", "description": "Look", "prompt": "Find *all*"}, [{"type": "text", "text": "Two."}],
                             told={"agentId": "a1", "totalToolUseCount": 9, "totalTokens": 48120, "totalDurationMs": 64210})  # fmt: skip
    html = html_of(record, records)
    call = record["message"]["content"][0]["id"]
    assert f'data-agent-slot="{call}" data-agent="a1"' in html
    seen = text_of(html)
    for words in ("Agent Explore · Look", "Tool calls 9", "Tokens 48,120", "1 min 4 s", "Two."):
        assert words in seen


def test_an_answer_to_a_question_is_marked() -> None:
    questions = [
        {
            "question": "Which?",
            "header": "Badge",
            "options": [{"label": "A", "description": "a"}, {"label": "B", "description": "b"}],
        }
    ]
    record, records = called(
        "AskUserQuestion", {"questions": questions}, "ok", told={"answers": {"Which?": "B"}}
    )
    html = html_of(record, records)
    assert html.count("<li data-chosen>") == 1
    record, records = called(
        "AskUserQuestion", {"questions": questions}, "ok", told={"answers": {"Which?": "Neither"}}
    )
    assert "Neither" in text_of(html_of(record, records))


def test_mcp_shows_server_and_tool_apart() -> None:
    record, records = called(
        "mcp__my_server__do_it", {"a": {"b": [1, 2]}}, [{"type": "text", "text": "done"}]
    )
    part = tool_of(record, records)
    assert (part.data["name"], part.data["server"], part.data["icon"]) == ("do_it", "my_server", "plug")
    assert '<span class="nt">&quot;b&quot;</span>' in html_of(record, records)


def test_a_search_of_the_web_links_only_web_addresses() -> None:
    content = 'Web search results for query: "x"\n\nLinks: [{"title":"A","url":"https://a.example/"},{"title":"B","url":"javascript:x"}]\n\nShops *count*.'
    record, records = called("WebSearch", {"query": "x"}, content, told="none")
    html = html_of(record, records)
    assert [attributes["href"] for tag, attributes in Tags(html).tags if tag == "a"] == ["https://a.example/"]
    assert "<em>count</em>" in html


def test_a_long_output_that_was_put_aside_names_its_file() -> None:
    content = "<persisted-output>\nOutput too large (54KB). Full output saved to: /x/tool-results/toolu_1.txt\n\nPreview\n</persisted-output>"
    record, records = called("mcp__a__b", {}, content)
    assert "All of the output was put aside in /x/tool-results/toolu_1.txt" in text_of(
        html_of(record, records)
    )


def test_a_result_without_its_call_is_drawn_by_what_it_tells() -> None:
    for told, template in (
        ({"stdout": "x", "stderr": ""}, "terminal"),
        ({"filePath": "/a", "structuredPatch": PATCH, "oldString": "a"}, "diff"),
        ({"type": "text", "file": {"filePath": "/a.py", "content": "x = 1", "startLine": 3}}, "lines"),
        ({"mode": "files_with_matches", "filenames": ["a", "b"]}, "found"),
        ("text", "text"),
    ):
        _, records = called("X", {}, "content", told=told)
        view = view_of(records[1])
        assert (view.tone, view.parts[0].template) == ("result", template)


HUGE = "line of <b>text</b> \x1b[31mred\x1b[0m\n" * (3 * 2**20 // 36)


@pytest.mark.parametrize(
    "name", ["Bash", "Read", "Edit", "Write", "Grep", "mcp__a__b", "WebFetch", "Task", "TodoWrite", "Odd"]
)
def test_a_call_whose_every_field_has_megabytes_is_drawn_small(name: str) -> None:
    """What is sent stays below 200 kB, and is bounded too when all is asked for."""
    given = dict.fromkeys(
        ("command", "file_path", "old_string", "content", "pattern", "url", "prompt", "description", "query"),
        HUGE,
    )
    todos = [{"content": HUGE, "status": "pending"}] * 3
    told = dict.fromkeys(("stdout", "stderr", "content", "result"), HUGE) | {
        "file": {"content": HUGE},
        "type": "text",
    }
    record, records = called(
        name, {**given, "new_string": HUGE.replace("red", "blue"), "todos": todos}, HUGE, told=told
    )
    html = html_of(record, records)
    assert len(html) < 200_000
    assert problems(html) == []
    assert view_of(record, records).is_cut == (name != "TodoWrite")
    assert len(html_of(record, records, whole=True)) < 12_000_000


def test_an_output_of_70_megabytes_is_drawn_small_and_whole_is_bounded() -> None:
    huge = "0123456789" * 7 * 2**20
    record, records = called("Bash", {"command": "x"}, huge, told={"stdout": huge, "stderr": ""})
    assert len(html_of(record, records)) < 30_000
    assert "73,400 kB" in text_of(html_of(record, records))
    assert len(html_of(record, records, whole=True)) < 1_100_000


def test_texts_are_whole_in_the_plain_forms() -> None:
    long = "word " * 50_000
    record = Transcript(Path()).prompt(long)
    assert record_text(record, Kind.PROMPT) == long
    record, _ = called("Bash", {"command": "echo ```x```", "timeout": 5})
    assert record_text(record, Kind.TOOL_CALL) == "Bash  \ntimeout: 5\n\ncommand:\n\necho ```x```"
    assert (
        record_markdown(record, Kind.TOOL_CALL)
        == "### Bash\n\nBash  \ntimeout: 5\n\ncommand:\n\n````bash\necho ```x```\n````\n"
    )


def test_a_fence_is_longer_than_those_inside() -> None:
    assert fenced("a `` b") == "```\na `` b\n```"
    assert fenced("````\nx\n````", "md") == "`````md\n````\nx\n````\n`````"


def test_base64_that_is_cut_is_still_known() -> None:
    assert media_read("iVBORw0KGgo", "image/png").type == ""
