"""What a tool call did, as far as the archive counts it. No Django here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PATH_FIELDS = ("file_path", "notebook_path", "path")
OPERATIONS = {
    "Read": "read", "NotebookRead": "read", "Write": "write", "Edit": "edit", "MultiEdit": "edit",
    "NotebookEdit": "edit",
}  # fmt: skip
DIFF_PAIRS_MOST = 10**9
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
    name = _text(block, "name")[:NAME_MOST]
    call = Call(_text(block, "id"), name, operation=OPERATIONS.get(name, ""))
    if call.operation:
        call.path = next((_text(values, key) for key in PATH_FIELDS if _text(values, key)), "")
        call.lines_added, call.lines_removed = _lines_changed(name, values)
    return call


def lines_changed(old: str, new: str) -> tuple[int, int]:
    """Return how many lines a replacement adds and removes: the fewest, as `diff --minimal` counts them."""
    before, after = _lines(old), _lines(new)
    while before and after and before[-1] == after[-1]:
        before.pop()
        after.pop()
    start, most = 0, min(len(before), len(after))
    while start < most and before[start] == after[start]:
        start += 1
    before, after = before[start:], after[start:]
    if len(before) * len(after) > DIFF_PAIRS_MOST:
        return len(after), len(before)
    common = _common(before, after)
    return len(after) - common, len(before) - common


def _common(before: list[str], after: list[str]) -> int:
    """Length of the longest common subsequence, 64 comparisons at a time whatever the texts are.

    Source: H. Hyyrö, "Bit-parallel LCS-length computation revisited", 2004.
    """
    places: dict[str, int] = {}
    for at, line in enumerate(before):
        places[line] = places.get(line, 0) | 1 << at
    full = (1 << len(before)) - 1
    row = full
    for line in after:
        if here := row & places.get(line, 0):
            row = ((row + here) | (row - here)) & full
    return len(before) - row.bit_count()


def _lines(text: str) -> list[str]:
    """Lines as diff sees them: U+2028 and form feeds end none."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines


def patch_lines(told: Any) -> tuple[int, int] | None:
    """Return lines added and removed by a toolUseResult's structuredPatch; None where there is none."""
    hunks = told.get("structuredPatch") if isinstance(told, dict) else None
    if not isinstance(hunks, list) or not hunks:
        return None
    added = removed = 0
    for hunk in hunks:
        told_lines = hunk.get("lines") if isinstance(hunk, dict) else None
        told_lines = told_lines if isinstance(told_lines, list) else []
        lines = [line for line in told_lines if isinstance(line, str)]
        before, after = ("\n".join(line[1:] for line in lines if line[:1] in kept) for kept in (" -", " +"))
        more, less = lines_changed(before, after)
        added, removed = added + more, removed + less
    return added, removed


def _lines_changed(name: str, values: dict[str, Any]) -> tuple[int, int]:
    if name == "Write":
        return len(_lines(_text(values, "content"))), 0
    if name == "NotebookEdit":
        return len(_lines(_text(values, "new_source"))), 0
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
    return " ".join(inner[: 4 * ERROR_MOST].split())[:ERROR_MOST]


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
