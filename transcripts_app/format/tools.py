"""What a tool call did, as far as the archive counts it. No Django here."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from transcripts_app.format.lines import text_clean

PATH_FIELDS = ("file_path", "notebook_path", "path")
OPERATIONS = {
    "Read": "read", "NotebookRead": "read", "Write": "write", "Edit": "edit", "MultiEdit": "edit",
    "NotebookEdit": "edit",
}  # fmt: skip
DIFF_LINES_MOST = 4000
ERROR_MOST = 300
NAME_MOST = 200


@dataclass(slots=True)
class Call:
    """One tool_use block. `path` only where the tool reads or changes that one file."""

    id: str
    name: str
    path: str = ""
    operation: str = ""
    lines_added: int = 0
    lines_removed: int = 0


def call_of(block: dict[str, Any]) -> Call:
    """Read a tool_use block; what it lacks stays empty."""
    given = block.get("input")
    values = given if isinstance(given, dict) else {}
    name = text_clean(_text(block, "name"))[:NAME_MOST]
    call = Call(_text(block, "id"), name, operation=OPERATIONS.get(name, ""))
    if call.operation:
        call.path = text_clean(next((_text(values, key) for key in PATH_FIELDS if _text(values, key)), ""))
        call.lines_added, call.lines_removed = _lines_changed(name, values)
    return call


def lines_changed(old: str, new: str) -> tuple[int, int]:
    """Return how many lines a replacement adds and removes, as `diff` counts them."""
    before, after = old.splitlines(), new.splitlines()
    if len(before) + len(after) > DIFF_LINES_MOST:
        return len(after), len(before)
    added = removed = 0
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            removed += i2 - i1
            added += j2 - j1
    return added, removed


def _lines_changed(name: str, values: dict[str, Any]) -> tuple[int, int]:
    if name == "Write":
        return len(_text(values, "content").splitlines()), 0
    if name == "NotebookEdit":
        return len(_text(values, "new_source").splitlines()), 0
    edits = values.get("edits") if name == "MultiEdit" else [values]
    added = removed = 0
    for edit in edits if isinstance(edits, list) else []:
        if isinstance(edit, dict) and name != "Read":
            more, less = lines_changed(_text(edit, "old_string"), _text(edit, "new_string"))
            added, removed = added + more, removed + less
    return added, removed


def result_text(content: Any) -> str:
    """Return the text of a tool_result's content; images and references say what they are."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return words_of(content)
    if not isinstance(content, list):
        return ""
    return "\n".join(_part(part) for part in content)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    if part.get("type") == "text":
        return _text(part, "text")
    if part.get("type") == "tool_reference":
        return _text(part, "tool_name")
    return "" if part.get("type") in ("image", "document") else words_of(part)


def error_text(text: str) -> str:
    """The first line that says something of a failed result."""
    inner = text.removeprefix("<tool_use_error>").removesuffix("</tool_use_error>")
    return text_clean(" ".join(inner[: 4 * ERROR_MOST].split())[:ERROR_MOST])


def words_of(value: Any, most: int = 2**20) -> str:
    """Return every text and number inside a JSON value, one per line, without the keys."""
    words: list[str] = []
    waiting, size = [value], 0
    while waiting and size < most:
        item = waiting.pop()
        if isinstance(item, str):
            words.append(item)
            size += len(item) + 1
        elif isinstance(item, dict):
            if item.get("type") != "base64":
                waiting.extend(reversed(item.values()))
        elif isinstance(item, list):
            waiting.extend(reversed(item))
        elif isinstance(item, int | float) and not isinstance(item, bool):
            words.append(str(item))
    return "\n".join(words)


def _text(holder: Any, name: str) -> str:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, str) else ""
