"""How many characters each part of a record puts into the context window. No Django here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transcripts_app.format.kinds import Kind
from transcripts_app.format.record import blocks_of
from transcripts_app.format.tools import result_text, words_of
from transcripts_app.insight.waterfall import RESULT, SUMMARY, THINKING

IMAGE_CHARACTERS = 6000  # about 1,500 tokens, which is what the API takes for a large picture
PROMPTS, ANSWERS, CALLS, ATTACHMENTS, REMINDERS = "prompts", "answers", "calls", "attachments", "reminders"
PLACES = {
    Kind.PROMPT: PROMPTS, Kind.COMMAND: PROMPTS, Kind.QUEUE: PROMPTS, Kind.META: REMINDERS,
    Kind.COMPACT_SUMMARY: SUMMARY,
}  # fmt: skip


def record_parts(record: dict[str, Any], kind: Kind, tools: Mapping[str, str]) -> dict[str, int]:
    """Return characters by part. `tools` names the tool of a tool_use id; results count by tool."""
    if record.get("type") == "attachment":
        return _counted({ATTACHMENTS: len(words_of(record.get("attachment")))})
    message = record.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    parts: dict[str, int] = {}
    for block in blocks_of(content):
        if record.get("type") == "assistant":
            name, size = _said(block)
        elif block.get("type") == "tool_result":
            name = RESULT + tools.get(_text(block, "tool_use_id"), "unknown")
            size = len(result_text(block.get("content"))) + _images(block.get("content"))
        else:
            name, size = PLACES.get(kind, PROMPTS), _size(block)
        parts[name] = parts.get(name, 0) + size
    return _counted(parts)


def _said(block: dict[str, Any]) -> tuple[str, int]:
    kind = block.get("type")
    if kind == "thinking":
        # Newer versions write the signature alone: the text, encrypted, is about as long.
        return THINKING, len(_text(block, "thinking")) or len(_text(block, "signature"))
    if kind == "redacted_thinking":
        return THINKING, len(_text(block, "data"))
    if kind == "text":
        return ANSWERS, len(_text(block, "text"))
    if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        return CALLS, len(_text(block, "name")) + len(words_of(block.get("input")))
    return RESULT + "server", len(result_text(block.get("content")))


def _size(block: dict[str, Any]) -> int:
    if block.get("type") == "image":
        return IMAGE_CHARACTERS
    if block.get("type") == "document":
        source = block.get("source")
        data = len(_text(source, "data"))
        return data if isinstance(source, dict) and source.get("type") == "text" else min(data, 60_000)
    return len(_text(block, "text"))


def _images(content: Any) -> int:
    listed = content if isinstance(content, list) else []
    return IMAGE_CHARACTERS * sum(isinstance(part, dict) and part.get("type") == "image" for part in listed)


def _counted(parts: dict[str, int]) -> dict[str, int]:
    return {name: size for name, size in parts.items() if size}


def _text(holder: Any, name: str) -> str:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, str) else ""
