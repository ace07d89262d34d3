"""A record as plain text and as Markdown: for the API, exports and whoever copies it. No Django here.

Nothing is cut. Colours of a terminal are taken off, pictures are named, calls stand with their input.
"""

from __future__ import annotations

import json
from typing import Any

from transcripts_app.format.kinds import Kind
from transcripts_app.format.record import blocks_of
from transcripts_app.format.tools import result_text
from transcripts_app.render.tags import pieces_of
from transcripts_app.render.terminal import terminal_text
from transcripts_app.render.tools import mcp_name
from transcripts_app.render.values import count, items, mapping, record_clean, short, text

HEADINGS = {
    Kind.PROMPT: "Prompt", Kind.ANSWER: "Claude", Kind.THINKING: "Thinking", Kind.TOOL_CALL: "Tool call",
    Kind.TOOL_RESULT: "Result", Kind.META: "Told to the model", Kind.COMMAND: "Command",
    Kind.COMPACT_BOUNDARY: "Compaction", Kind.COMPACT_SUMMARY: "Summary of what came before",
    Kind.SYSTEM: "System", Kind.ATTACHMENT: "Attached", Kind.QUEUE: "Told while at work",
    Kind.PULL_REQUEST: "Pull request", Kind.TITLE: "Title", Kind.PROGRESS: "Progress",
}  # fmt: skip
LANGUAGE_OF_FIELD = {"command": "bash", "content": "", "new_string": "", "old_string": "", "plan": "markdown"}


def record_text(record: dict[str, Any], kind: Kind) -> str:
    """Return what a record says as plain text, its parts with an empty line between."""
    return "\n\n".join(words for _, words in _pieces(record_clean(record), kind) if words.strip())


def record_markdown(record: dict[str, Any], kind: Kind) -> str:
    """Return a record as Markdown: a heading with its kind, prose as it is, everything else fenced."""
    record = record_clean(record)
    parts = [f"### {_heading(record, kind)}"]
    for language, words in _pieces(record, kind):
        if words.strip():
            parts.append(words.strip("\n") if language is None else fenced(words, language))
    return "\n\n".join(parts) + "\n"


def fenced(words: str, language: str = "") -> str:
    """Put a text into a fence that is longer than any inside of it."""
    longest = run = 0
    for letter in words:
        run = run + 1 if letter == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{words.rstrip(chr(10))}\n{fence}"


def _heading(record: dict[str, Any], kind: Kind) -> str:
    if kind == Kind.TOOL_CALL:
        names = [
            text(block, "name")
            for block in blocks_of(mapping(record, "message").get("content"))
            if "tool_use" in str(block.get("type"))
        ]
        shown = (": ".join(part for part in mcp_name(name) if part) for name in names if name)
        return short(", ".join(shown)) or HEADINGS[kind]
    return HEADINGS.get(kind, short(text(record, "type"), 60) or "Record")


Pieces = list[tuple[str | None, str]]  # language of the fence, None for prose; text


def _pieces(record: dict[str, Any], kind: Kind) -> Pieces:
    kept = record.get("type")
    if kept in ("user", "assistant"):
        out: Pieces = []
        for block in blocks_of(mapping(record, "message").get("content")):
            out += _block(block)
        return out
    if kept == "system":
        return [(None, terminal_text(text(record, "content")) or _system(record))]
    if kept == "attachment":
        return _attachment(mapping(record, "attachment"))
    if kept == "queue-operation":
        said = "\n".join(text(block, "text") for block in blocks_of(record.get("content")))
        return [(None, said or f"queue: {text(record, 'operation')}")]
    if kept == "pr-link":
        number = count(record, "prNumber")
        title = f"{text(record, 'prRepository')} #{'?' if number is None else number}"
        return [(None, f"{title} {text(record, 'prUrl')}")]
    if kind == Kind.TITLE:
        return [(None, text(record, "summary", "customTitle", "aiTitle", "agentName"))]
    return [("json", _json(record))]


def _system(record: dict[str, Any]) -> str:
    told = mapping(record, "compactMetadata")
    if told:
        before = count(told, "preTokens")
        return f"Compacted ({text(told, 'trigger') or 'unknown'})" + (
            f", {before:,} tokens before" if before else ""
        )
    duration = count(record, "durationMs")
    words = text(record, "subtype").replace("_", " ")
    return f"{words}: {duration:,} ms" if duration is not None else words


def _attachment(told: dict[str, Any]) -> Pieces:
    if text(told, "type") == "queued_command":
        return [(None, "\n".join(text(block, "text") for block in blocks_of(told.get("prompt"))))]
    words = text(told, "content", "snippet", "stdout", "message")
    return [("", words)] if words else [("json", _json(told))]


def _block(block: dict[str, Any]) -> Pieces:
    kind = block.get("type")
    if kind == "text":
        return _words(text(block, "text"))
    if kind == "thinking":
        return [(None, text(block, "thinking"))]
    if kind == "redacted_thinking":
        return [(None, "[encrypted thinking]")]
    if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        return _call(block)
    if kind in ("image", "document"):
        source = mapping(block, "source")
        if kind == "document" and source.get("type") == "text":
            return [("", text(source, "data"))]
        return [(None, f"[{kind}{': ' + text(block, 'title') if text(block, 'title') else ''}]")]
    if kind == "tool_result" or (isinstance(kind, str) and kind.endswith("_tool_result")):
        return _result(block)
    return [("json", _json(block))]


def _words(words: str) -> Pieces:
    out: Pieces = []
    for piece in pieces_of(words):
        if not piece.tag:
            out.append((None, piece.text.strip("\n")))
        elif piece.tag in ("command-name", "command-message", "command-args"):
            if piece.text.strip() and piece.tag != "command-message":
                out.append((None, piece.text.strip()))
        elif piece.tag == "bash-input":
            out.append(("bash", piece.text.strip()))
        elif piece.text.strip():
            out.append(("", terminal_text(piece.text.strip("\n"))))
    return out


def _call(block: dict[str, Any]) -> Pieces:
    """The name, short values line by line, long ones fenced each."""
    given = block.get("input")
    name = text(block, "name")
    if not isinstance(given, dict):
        return [(None, name), ("json", _json(given))] if given else [(None, name)]
    lines, longer = [name], list[tuple[str | None, str]]()
    for key, value in given.items():
        if isinstance(value, str) and ("\n" in value or len(value) > 120 or key in LANGUAGE_OF_FIELD):
            longer += [(None, f"{key}:"), (LANGUAGE_OF_FIELD.get(key, ""), value)]
        elif isinstance(value, dict | list):
            longer += [(None, f"{key}:"), ("json", _json(value))]
        else:
            lines.append(f"{key}: {value}")
    return [(None, "  \n".join(lines)), *longer]


def _result(block: dict[str, Any]) -> Pieces:
    words = terminal_text(result_text(block.get("content")))
    pictures = sum(isinstance(one, dict) and one.get("type") == "image" for one in items(block, "content"))
    out: Pieces = [(None, "Error:")] if block.get("is_error") is True else []
    out.append(("", words))
    return [*out, (None, f"[{pictures} pictures]" if pictures > 1 else "[picture]")] if pictures else out


def _json(value: Any) -> str:
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "[nested too deeply]"
