"""A record of a transcript as a page draws it. No Django here.

Whatever the record holds, this returns a view of bounded size, and nothing in it runs or loads anything:
texts are escaped, Markdown is sanitised, links are http, https or mailto.
"""

from __future__ import annotations

import re
from typing import Any

from transcripts_app.format.kinds import Kind
from transcripts_app.format.record import SYNTHETIC, blocks_of
from transcripts_app.format.tools import result_text
from transcripts_app.render import notes
from transcripts_app.render.media import places
from transcripts_app.render.parts import (
    error_part,
    json_part,
    markdown_part,
    media_part,
    note_part,
    text_part,
)
from transcripts_app.render.tools import result_alone, tool_part
from transcripts_app.render.tools_work import links_part
from transcripts_app.render.use import Result, result_of
from transcripts_app.render.values import items, mapping, record_clean, short, text
from transcripts_app.render.view import Part, RecordView

BLOCKS_MOST = 200
_UNMARKED = re.compile(r"[`*#]+")
INTERRUPTED = "[Request interrupted by user"


def record_view(
    record: dict[str, Any],
    *,
    kind: Kind,
    results: dict[str, dict[str, Any]],
    whole: bool = False,
    inline_media: bool = False,
) -> RecordView:
    """Return how a record is drawn.

    `results` are raw tool_result records by the id of their call: a call is drawn with its result.
    `whole` cuts nothing below a million characters; `inline_media` carries pictures inside (for files
    that are read without a server), else they are asked for one by one (`media_base` in the template).
    """
    record = record_clean(record)
    if record.get("type") == "assistant":
        return _assistant(record, results, whole, inline_media)
    if record.get("type") == "user":
        return _user(record, kind, whole, inline_media)
    return _other(record, kind, whole, inline_media)


def _other(record: dict[str, Any], kind: Kind, whole: bool, inline: bool) -> RecordView:
    match kind:
        case Kind.COMPACT_BOUNDARY:
            return notes.compact_boundary(record)
        case Kind.QUEUE:
            return notes.queue(record, whole=whole, inline=inline)
        case Kind.ATTACHMENT:
            return notes.attachment(record, whole=whole, inline=inline)
        case Kind.PULL_REQUEST:
            return notes.pull_request(record)
        case Kind.PROGRESS:
            return notes.progress(record, whole=whole)
        case Kind.TITLE:
            return notes.title(record)
        case Kind.RESULT_FILE:
            parts = [text_part(text(record, "content"), whole=whole)]
            return RecordView("result", "Output that was put aside", parts, "file-text")
    if record.get("type") == "system":
        return notes.system(record, whole=whole)
    if record.get("type") == "queue-operation":
        return notes.queue(record, whole=whole, inline=inline)
    return notes.raw(record, whole=whole)


def _user(record: dict[str, Any], kind: Kind, whole: bool, inline: bool) -> RecordView:
    if kind == Kind.COMPACT_SUMMARY:
        return notes.compact_summary(record, whole=whole)
    if kind == Kind.TOOL_RESULT:
        return _result(record, whole, inline)
    content = mapping(record, "message").get("content")
    parts = _user_parts(record, content, whole, inline)
    if kind == Kind.COMMAND:
        return RecordView("prompt", "Command", parts, "slash")
    if kind == Kind.META:
        return _meta(content, parts)
    return RecordView("prompt", "Prompt", parts, "user")


def _user_parts(record: dict[str, Any], content: Any, whole: bool, inline: bool) -> list[Part]:
    parts: list[Part] = []
    where: dict[int, str] | None = None
    blocks = blocks_of(content)
    for block in blocks[:BLOCKS_MOST]:
        kind = block.get("type")
        if kind == "text":
            parts += notes.tagged_parts(text(block, "text"), whole=whole)
        elif kind in ("image", "document"):
            where = places(record) if where is None else where
            parts.append(media_part(block, where.get(id(block), ""), inline=inline))
        else:
            parts.append(_unknown(block, whole))
    return _with_rest(parts, blocks)


def _meta(content: Any, parts: list[Part]) -> RecordView:
    """What was said to the model in the user's name: small, and folded where it is long."""
    first = next((text(block, "text") for block in blocks_of(content)), "").lstrip()
    if first.startswith(INTERRUPTED):
        words = "Interrupted by the user" + (" while a tool ran" if "for tool use" in first[:80] else "")
        return RecordView(
            "error", "", [note_part(words, icon="player-stop", tone="warn")], "player-stop", is_quiet=True
        )
    for part in parts:
        if part.template in ("markdown", "text") and not part.label:
            part.is_folded, part.label = True, "Told to the model"
    return RecordView("note", "", parts, "info-circle", is_quiet=True)


def _result(record: dict[str, Any], whole: bool, inline: bool) -> RecordView:
    parts: list[Part] = []
    is_error = False
    where = places(record)
    for block in blocks_of(mapping(record, "message").get("content"))[:BLOCKS_MOST]:
        if block.get("type") == "tool_result":
            result = Result(block, record.get("toolUseResult"), where)
            is_error = is_error or result.state == "error"
            parts += result_alone(result, whole=whole, inline=inline)
        elif block.get("type") == "text":
            parts += notes.tagged_parts(text(block, "text"), whole=whole)
    parts = parts or [note_part("It returned nothing")]
    return RecordView("error" if is_error else "result", "Result", parts, "tool")


def _assistant(
    record: dict[str, Any], results: dict[str, dict[str, Any]], whole: bool, inline: bool
) -> RecordView:
    message = mapping(record, "message")
    blocks = blocks_of(message.get("content"))
    if record.get("isApiErrorMessage") is True or isinstance(record.get("error"), str):
        words = "\n".join(text(block, "text") for block in blocks) or text(record, "error")
        return RecordView("error", "API error", [error_part(words, whole=whole)], "alert-triangle")
    parts: list[Part] = []
    kinds = set()
    for block in blocks[:BLOCKS_MOST]:
        kinds.add(block.get("type"))
        parts += _answer_block(block, results, whole, inline)
    view = RecordView("answer", "Claude", _with_rest(parts, blocks), "sparkles")
    if kinds <= {"thinking", "redacted_thinking"} and kinds:
        view.tone, view.title, view.icon = "thinking", "Thinking", "brain"
    elif "text" not in kinds and kinds & {"tool_use", "server_tool_use", "mcp_tool_use"}:
        view.tone, view.title, view.icon = "tool", "", "tool"
        if any(part.data.get("state") == "error" for part in view.parts if part.template == "tool"):
            view.tone = "error"
    if text(message, "model") == SYNTHETIC:
        view.title, view.icon, view.is_quiet = "Claude Code", "info-circle", True
    if not parts:
        view.parts = [note_part("It said nothing")]
    return view


def _answer_block(
    block: dict[str, Any], results: dict[str, dict[str, Any]], whole: bool, inline: bool
) -> list[Part]:
    kind = block.get("type")
    if kind == "text":
        words = text(block, "text")
        return [markdown_part(words, whole=whole)] if words.strip() else []
    if kind == "thinking":
        return [_thinking(text(block, "thinking"), whole)]
    if kind == "redacted_thinking":
        return [note_part("Thinking that was encrypted: nobody can read it", icon="lock")]
    if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        if kind == "mcp_tool_use" and (server := text(block, "server_name")):
            block = {**block, "name": f"mcp__{server}__{text(block, 'name')}"}
        there = results.get(text(block, "id"))
        result = result_of(record_clean(there), text(block, "id")) if there else None
        return [tool_part(block, result, whole=whole, inline=inline)]
    if isinstance(kind, str) and kind.endswith("_tool_result"):
        return _server_result(block, whole)
    return [_unknown(block, whole)]


def _thinking(words: str, whole: bool) -> Part:
    if not words.strip():
        return note_part("Thinking, of which only the signature was kept", icon="brain")
    part = markdown_part(words, whole=whole, folded=True)
    part.template, part.label = "thinking", short(_UNMARKED.sub("", words[:600]).lstrip(), 140)
    return part


def _server_result(block: dict[str, Any], whole: bool) -> list[Part]:
    """The result of a tool that the API ran itself: web search, web fetch, code execution."""
    content = block.get("content")
    if isinstance(content, dict) and (code := text(content, "error_code")):
        return [error_part(code)]
    links = [
        (text(one, "title"), text(one, "url")) for one in items(block, "content") if isinstance(one, dict)
    ]
    if links and all(url for _, url in links):
        return [links_part(links)]
    if isinstance(content, dict) and ("stdout" in content or "stderr" in content):
        told = {"stdout": text(content, "stdout"), "stderr": text(content, "stderr")}
        return result_alone(Result({"content": "", "is_error": False}, told), whole=whole)
    if isinstance(content, str) or not content:
        return result_alone(Result({"content": result_text(content)}, None), whole=whole)
    return [json_part(content, whole=whole, label="Result", folded=True)]


def _unknown(block: dict[str, Any], whole: bool) -> Part:
    return json_part(block, whole=whole, label=short(text(block, "type"), 60) or "Block", folded=True)


def _with_rest(parts: list[Part], blocks: list[dict[str, Any]]) -> list[Part]:
    if len(blocks) > BLOCKS_MOST:
        parts.append(
            note_part(f"and {len(blocks) - BLOCKS_MOST:,} more blocks: see the raw line", icon="list")
        )
    return parts
