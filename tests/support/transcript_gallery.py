# ruff: noqa: E501 - long texts stay whole
"""A session with a record of every sort, in the shape of Claude Code's: for tests of how records look, and pictures."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path
from typing import Any

from tests.support.claude_code import Transcript
from transcripts_app.format.kinds import Kind
from transcripts_app.format.record import record_parse

ANSWER = """The count is wrong because `count()` counts *lines*, not **pieces**. ~~Two~~ three things follow:

1. `Basket.count` must sum `line.pieces`
2. the badge must not be cached
   - nor its fragment

| place | before | after |
|:------|-------:|:-----:|
| header | 3 | 7 |
| basket | 3 | 7 |

```python
def count(basket: Basket) -> int:
    \"\"\"Pieces, not lines.\"\"\"
    return sum(line.pieces for line in basket.lines)  # 7
```

- [x] read the code
- [ ] write a test

See [the ticket](https://example.com/issues/42), [basket.py](src/basket.py#L12) and https://example.com/docs.

> A basket of three apples has one line.
"""
PATCH = [{
    "oldStart": 10, "oldLines": 6, "newStart": 10, "newLines": 7,
    "lines": [" class Basket:", "     lines: list[Line]", " ", "     def count(self) -> int:",
              "-        return len(self.lines)", "+        # Pieces, not lines.",
              "+        return sum(line.pieces for line in self.lines)", " ", "     def total(self) -> int:"],
}, {
    "oldStart": 41, "oldLines": 3, "newStart": 42, "newLines": 3,
    "lines": [" def badge(basket: Basket) -> str:", '-    return f"{basket.count()} lines"',
              '+    return f"{basket.count()} pieces"', " "],
}]  # fmt: skip
SOURCE = '''from dataclasses import dataclass


@dataclass
class Line:
    article: str
    pieces: int = 1


class Basket:
    """What a visitor wants to buy."""

    lines: list[Line]

    def count(self) -> int:
        return len(self.lines)
'''
TESTS = (
    "\x1b[1m============ test session starts ============\x1b[0m\n"
    "collected 3 items\n\n"
    "tests/test_basket.py \x1b[32m.\x1b[0m\x1b[32m.\x1b[0m\x1b[31mF\x1b[0m\x1b[31m                   [100%]\x1b[0m\n\n"
    "\x1b[31m\x1b[1m_________ test_badge _________\x1b[0m\n"
    "\x1b[31mE   AssertionError: assert '3 lines' == '7 pieces'\x1b[0m\n"
    "\x1b[38;5;208mwarning: 1 snapshot is old\x1b[0m \x1b[38;2;120;180;255m(truecolor)\x1b[0m\n"
    "Downloading  10%\rDownloading  60%\rDownloading 100%\n"
    "\x1b[31m\x1b[1m1 failed\x1b[0m, \x1b[32m2 passed\x1b[0m\x1b[31m in 0.12s\x1b[0m\n"
)


def png(width: int = 240, height: int = 90, colour: tuple[int, int, int] = (118, 185, 0)) -> str:
    """A picture of two halves, as base64."""
    row = b"\0" + bytes(colour) * (width // 2) + bytes((20, 30, 18)) * (width - width // 2)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * height))
    return base64.b64encode(data + chunk(b"IEND", b"")).decode()


def image(data: str, kind: str = "image/png") -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def pdf(title: str = "Offer.pdf") -> dict[str, Any]:
    data = base64.b64encode(b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF").decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": data}
    return {"type": "document", "title": title, "source": source}


def gallery(root: Path = Path("/nowhere")) -> Transcript:
    """Return a session that shows each view once; nothing is written yet."""
    one = Transcript(root)
    _talk(one)
    _shell(one)
    _files(one)
    _work(one)
    _server_tools(one)
    _notes(one)
    return one


def _talk(one: Transcript) -> None:
    one.prompt(
        "The basket shows **3** although there are 7 pieces in it.\nPlease make it right, and say why."
    )
    one.prompt([{"type": "text", "text": "This is what I see:"}, image(png()), pdf(),
                {"type": "document", "title": "note.txt", "source": {"type": "text", "media_type": "text/plain",
                                                                     "data": "seen since Monday"}}])  # fmt: skip
    one.answer({"type": "thinking", "thinking": "The badge counts lines.\n\nI look at `basket.py` first.",
                "signature": "s"}, id="msg_1")  # fmt: skip
    one.answer({"type": "thinking", "thinking": "", "signature": "s"})
    one.answer({"type": "redacted_thinking", "data": "b2s="})
    one.answer(ANSWER, id="msg_1")


def _shell(one: Transcript) -> None:
    call = one.call("Bash", command="cd shop && python -m pytest tests/test_basket.py -q \\\n  --color=yes", description="Run the tests", timeout=120000)  # fmt: skip
    one.result(call, f"Exit code 1\n{TESTS}", error=True, told=f"Error: Exit code 1\n{TESTS}")
    call = one.call("Bash", command="git status --short && ls nowhere")
    one.result(call, " M basket.py\nls: cannot access 'nowhere'",
               told={"stdout": " M basket.py", "stderr": "ls: cannot access 'nowhere': No such file or directory",
                     "interrupted": False, "isImage": False})  # fmt: skip
    call = one.call("Bash", command="npm run dev", run_in_background=True, description="Start the server")
    one.result(call, "Command running in background with ID: b1f0", told={
        "stdout": "", "stderr": "", "interrupted": False, "isImage": False, "backgroundTaskId": "b1f0"})  # fmt: skip
    call = one.call("BashOutput", bash_id="b1f0")
    one.result(call, "<status>running</status>\n\n<stdout>\nready on http://localhost:3000\n</stdout>", told={
        "shellId": "b1f0", "command": "npm run dev", "status": "running", "exitCode": None,
        "stdout": "ready on http://localhost:3000", "stderr": ""})  # fmt: skip
    call = one.call("KillShell", shell_id="b1f0")
    one.result(call, "Successfully killed shell: b1f0", told={"message": "killed", "shell_id": "b1f0"})
    call = one.call("Bash", command="cat build.log")
    saved = "<persisted-output>\nOutput too large (54.2KB). Full output saved to: /home/ada/.claude/projects/-home-ada-shop/s/tool-results/toolu_big.txt\n\nPreview (first 2KB):\nline 1\nline 2\n</persisted-output>"
    one.result(call, saved, told={"stdout": "line 1\nline 2\n" * 40, "stderr": "", "interrupted": False})
    call = one.call("Bash", command="rm -rf build")
    one.result(call, "The user doesn't want to proceed with this tool use. The tool use was rejected.", error=True,
               told="User rejected tool use")  # fmt: skip
    one.call("Bash", command="sleep 600", description="Wait for the deployment")


def _files(one: Transcript) -> None:
    path = "/home/ada/shop/basket.py"
    call = one.call("Read", file_path=path)
    numbered = "\n".join(f"{n:6}→{line}" for n, line in enumerate(SOURCE.split("\n"), 1))
    one.result(call, numbered, told={"type": "text", "file": {"filePath": path, "content": SOURCE, "numLines": 17,
                                                              "startLine": 1, "totalLines": 17}})  # fmt: skip
    call = one.call("Read", file_path="/home/ada/shop/shot.png")
    one.result(call, [image(png(120, 60, (40, 110, 200)))], told={"type": "image", "file": {
        "base64": png(120, 60, (40, 110, 200)), "type": "image/png", "originalSize": 400}})  # fmt: skip
    call = one.call("Read", file_path="/home/ada/shop/gone.py")
    one.result(
        call,
        "<tool_use_error>File does not exist.</tool_use_error>",
        error=True,
        told="Error: File does not exist.",
    )
    call = one.call("Edit", file_path=path, old_string="return len(self.lines)", new_string="return sum(…)")
    one.result(call, "The file has been updated.", told={"filePath": path, "oldString": "return len(self.lines)",
               "newString": "return sum(…)", "originalFile": SOURCE, "structuredPatch": PATCH, "userModified": False,
               "replaceAll": False})  # fmt: skip
    one.call("MultiEdit", file_path=path, edits=[
        {"old_string": "pieces: int = 1", "new_string": "pieces: int = 2"},
        {"old_string": "a\nb\nc", "new_string": "a\nB\nc\nd"}])  # fmt: skip
    call = one.call("Write", file_path="/home/ada/shop/notes.md", content="# Notes\n\nCount *pieces*.\n")
    one.result(call, "File created successfully", told={"type": "create", "filePath": "/home/ada/shop/notes.md",
               "content": "# Notes\n\nCount *pieces*.\n", "structuredPatch": []})  # fmt: skip
    call = one.call(
        "Write",
        file_path="/home/ada/shop/badge.ts",
        content="export const badge = (n: number) => `${n} pieces`;\n",
    )
    one.result(call, "File created successfully")
    call = one.call("NotebookEdit", notebook_path="/home/ada/sales.ipynb", cell_id="c4", new_source="import pandas as pd\nframe.head()", cell_type="code", edit_mode="insert")  # fmt: skip
    one.result(call, "Inserted cell c4")
    call = one.call("Grep", pattern="count\\(", path="/home/ada/shop", output_mode="content")
    found = "basket.py:15:    def count(self) -> int:\nbasket.py-16-        return len(self.lines)\nbadge.ts:3:basket.count()"
    one.result(
        call, found, told={"mode": "content", "numFiles": 0, "filenames": [], "content": found, "numLines": 3}
    )
    call = one.call("Grep", pattern="Basket", glob="*.py")
    one.result(call, "Found 2 files\nbasket.py\ntests/test_basket.py", told={
        "mode": "files_with_matches", "filenames": ["basket.py", "tests/test_basket.py"], "numFiles": 2})  # fmt: skip
    call = one.call("Glob", pattern="**/*.py")
    one.result(call, "a/x.py\na/y.py\nb/z.py", told={"filenames": ["a/x.py", "a/y.py", "b/z.py"], "durationMs": 4,
                                                    "numFiles": 3, "truncated": True})  # fmt: skip
    call = one.call("LS", path="/home/ada/shop")
    one.result(call, "- /home/ada/shop/\n  - basket.py\n  - tests/")


def _work(one: Transcript) -> None:
    new = [{"content": "Find the count", "status": "completed", "activeForm": "Finding"},
           {"content": "Write a test", "status": "in_progress", "activeForm": "Writing"},
           {"content": "Tell Ben", "status": "pending", "activeForm": "Telling"}]  # fmt: skip
    old = [{"content": "Find the count", "status": "in_progress"}, {"content": "Ask Cleo", "status": "pending"},
           {"content": "Write a test", "status": "pending"}]  # fmt: skip
    call = one.call("TodoWrite", todos=new)
    one.result(call, "Todos have been modified", told={"oldTodos": old, "newTodos": new})
    call = one.call("TaskCreate", subject="Measure the badge", description="With *ten* baskets")
    one.result(call, "Task #1 created", told={"task": {"id": "1", "subject": "Measure the badge"}})
    call = one.call("TaskList")
    one.result(
        call, "#1 open", told={"tasks": [{"id": "1", "subject": "Measure the badge", "status": "pending"}]}
    )
    call = one.call(
        "Task", subagent_type="Explore", description="Find callers", prompt="Find **all** callers of `count`."
    )
    one.result(call, [{"type": "text", "text": "There are *two* callers."}], told={
        "status": "completed", "prompt": "Find **all** callers of `count`.", "agentId": "a1b2c3",
        "content": [{"type": "text", "text": "There are *two* callers."}], "totalDurationMs": 64210,
        "totalTokens": 48120, "totalToolUseCount": 9})  # fmt: skip
    call = one.call("Agent", subagent_type="general-purpose", description="Run the slow tests", prompt="Run them", run_in_background=True)  # fmt: skip
    one.result(call, [{"type": "text", "text": "Async agent launched"}], told={
        "isAsync": True, "status": "async_launched", "agentId": "d4e5", "description": "Run the slow tests"})  # fmt: skip
    call = one.call("ExitPlanMode", plan="## Plan\n\n1. Fix `count`\n2. Test it")
    one.result(call, "User has approved your plan.", told={"plan": "## Plan", "isAgent": False})
    questions = [{"question": "Which badge?", "header": "Badge", "multiSelect": False, "options": [
        {"label": "Pieces", "description": "7"}, {"label": "Lines", "description": "3"}]}]  # fmt: skip
    call = one.call("AskUserQuestion", questions=questions)
    one.result(
        call, "User has answered", told={"questions": questions, "answers": {"Which badge?": "Pieces"}}
    )
    call = one.call("Skill", skill="release-notes", args="1.4")
    one.result(call, "Launching skill: release-notes", told={"success": True, "commandName": "release-notes"})
    call = one.call("SlashCommand", command="/review basket.py")
    one.result(call, "Running")
    call = one.call("WebFetch", url="https://example.com/docs", prompt="How is a basket counted?")
    one.result(call, "By *pieces*.", told={"bytes": 48211, "code": 200, "codeText": "OK", "result": "By *pieces*.",
                                           "durationMs": 812, "url": "https://example.com/docs"})  # fmt: skip
    call = one.call("WebSearch", query="count pieces in basket")
    one.result(call, "Web search results", told={"query": "count pieces in basket", "results": [
        {"tool_use_id": "srv", "content": [{"title": "Baskets", "url": "https://example.com/a"},
                                           {"title": "Pieces", "url": "https://example.org/b"}]},
        "Shops count pieces."], "durationSeconds": 4})  # fmt: skip
    call = one.call("ToolSearch", query="browser", max_results=3)
    one.result(call, [{"type": "tool_reference", "tool_name": "mcp__page__click"}], told={
        "matches": ["mcp__page__click"], "query": "browser"})  # fmt: skip
    call = one.call(
        "mcp__page__take_screenshot", selector="#basket", full=True, options={"scale": 2, "areas": [1, 2]}
    )
    one.result(call, [{"type": "text", "text": "Took a picture of 1 element"}, image(png(160, 80))])
    call = one.call("SendMessage", recipient="ben", content="The *badge* is done.")
    one.result(call, "Message sent")
    call = one.call("Frobnicate", target="basket", depth=3, dry=True, script="one\ntwo\nthree")
    one.result(call, "frobnicated")


def _server_tools(one: Transcript) -> None:
    one.answer(
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "badge"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [
            {"type": "web_search_result", "title": "Badges", "url": "https://example.com/badges",
             "encrypted_content": "x"}]},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_2", "content": {
            "type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}},
        {"type": "code_execution_tool_result", "tool_use_id": "srvtoolu_3", "content": {
            "type": "code_execution_result", "stdout": "7\n", "stderr": "", "return_code": 0}},
        {"type": "something_new", "value": 1},
    )  # fmt: skip


def _notes(one: Transcript) -> None:
    one.prompt("<command-message>review is running…</command-message>\n<command-name>/review</command-name>\n<command-args>basket.py</command-args>")  # fmt: skip
    one.prompt("<local-command-stdout>Set model to \x1b[1mopus\x1b[22m</local-command-stdout>")
    one.prompt("<bash-input>git log --oneline</bash-input>")
    one.prompt("<bash-stdout>a1b2c3 Count pieces</bash-stdout><bash-stderr>fatal: no upstream</bash-stderr>")
    one.prompt("<system-reminder>\nThe to-do list is empty.\n</system-reminder>", isMeta=True)
    one.prompt("<task-notification>\n<task-id>d4e5</task-id>\n<status>completed</status>\n<summary>Agent \"Run the slow tests\" completed</summary>\n<result>All **12** pass.</result>\n</task-notification>")  # fmt: skip
    one.prompt("Caveat: the messages below were generated by the user.", isMeta=True)
    one.prompt([{"type": "text", "text": "[Request interrupted by user for tool use]"}])
    one.answer("API Error: 529 overloaded", isApiErrorMessage=True, error="overloaded")
    one.add("system", subtype="api_error", level="error", error={"status": 529, "error": {"message": "Overloaded"}},
            retryInMs=540.2, retryAttempt=1, maxRetries=10)  # fmt: skip
    one.add(
        "system", subtype="informational", content="Claude is using more memory than usual", level="warning"
    )
    one.add("system", subtype="local_command", content="<command-name>/cost</command-name>\n<command-args></command-args>")  # fmt: skip
    one.add("system", subtype="turn_duration", durationMs=65123)
    one.add("system", subtype="stop_hook_summary", hookCount=1, hookInfos=[{"command": "make lint"}],
            hookErrors=["lint: 2 problems"], preventedContinuation=True, stopReason="Lint must pass")  # fmt: skip
    one.add("system", subtype="compact_boundary", content="Conversation compacted", parentUuid=None,
            compactMetadata={"trigger": "auto", "preTokens": 155202})  # fmt: skip
    one.prompt(
        "This session is continued.\n\n## Summary\n\nThe *badge* counts pieces.", isCompactSummary=True
    )
    one.add("attachment", attachment={"type": "queued_command", "prompt": "And the footer, please"})
    one.add("attachment", attachment={"type": "file", "filename": "/home/ada/shop/badge.ts", "displayPath": "badge.ts",
            "content": {"type": "text", "file": {"content": "export const badge = 1;\n", "startLine": 1}}})  # fmt: skip
    one.add("attachment", attachment={"type": "hook_non_blocking_error", "hookName": "PostToolUse:Edit",
                                      "stderr": "prettier: not found", "exitCode": 127})  # fmt: skip
    one.add("attachment", attachment={"type": "hook_success", "hookName": "SessionStart", "content": "ready"})
    one.add("attachment", attachment={"type": "deferred_tools_delta", "addedNames": ["WebFetch"]})
    one.bare(
        type="queue-operation",
        operation="enqueue",
        content="And the footer, please",
        sessionId=one.session_id,
    )
    one.bare(
        type="queue-operation", operation="remove", content="And the footer, please", sessionId=one.session_id
    )
    one.bare(type="queue-operation", operation="dequeue", sessionId=one.session_id)
    one.bare(type="pr-link", prNumber=42, prUrl="https://github.com/ada/shop/pull/42", prRepository="ada/shop",
             sessionId=one.session_id)  # fmt: skip
    one.add(
        "progress",
        toolUseID="t",
        data={"type": "bash_progress", "output": "compiling", "fullOutput": "compiling"},
    )
    one.bare(type="summary", summary="The basket counts pieces", leafUuid="x")
    one.bare(type="custom-title", customTitle="Basket", sessionId=one.session_id)
    one.bare(
        type="file-history-snapshot",
        messageId="m",
        snapshot={"trackedFileBackups": {}},
        isSnapshotUpdate=False,
    )
    one.bare(type="mode", mode="plan", sessionId=one.session_id)
    one.add("teleported", planet="Mars", crew=["Ada", "Ben"])


def kind_of(record: dict[str, Any]) -> Kind:
    return record_parse(record).kind


def results_of(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Result records by the id of their call."""
    found = {}
    for record in records:
        message = record.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else []:
            if isinstance(block, dict) and block.get("type") == "tool_result":
                found[str(block.get("tool_use_id"))] = record
    return found
