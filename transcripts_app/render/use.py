"""A tool call with its result, as the views of tools take it. No Django here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from transcripts_app.format.tools import result_text
from transcripts_app.render.media import places
from transcripts_app.render.parts import media_part, note_part, saved_part, text_part
from transcripts_app.render.values import items, mapping, text
from transcripts_app.render.view import Part

REJECTED = (
    "The user doesn't want to",
    "The user doesn’t want to",
    "[Request interrupted by user for tool use]",
)


@dataclass(slots=True)
class Result:
    """A tool_result block, and what the record around it tells besides (`toolUseResult`)."""

    block: dict[str, Any]
    told: Any
    places: dict[int, str] = field(default_factory=dict)

    @property
    def content(self) -> Any:
        return self.block.get("content")

    @property
    def is_error(self) -> bool:
        return self.block.get("is_error") is True

    @property
    def text(self) -> str:
        return result_text(self.content)

    @property
    def state(self) -> str:
        """done, error, rejected or interrupted."""
        if isinstance(self.told, dict) and self.told.get("interrupted") is True:
            return "interrupted"
        if not self.is_error:
            return "done"
        words = self.text[:200]
        if words.startswith(REJECTED):
            return "rejected"
        return "interrupted" if "interrupted by user" in words else "error"


@dataclass(slots=True)
class Use:
    """One call: `given` is its input. `whole` cuts nothing, `inline` carries pictures inside."""

    name: str
    given: dict[str, Any]
    id: str = ""
    result: Result | None = None
    whole: bool = False
    inline: bool = False

    @property
    def told(self) -> dict[str, Any]:
        """What the result tells as an object; empty while there is none, or after an error."""
        told = self.result.told if self.result else None
        return told if isinstance(told, dict) else {}

    @property
    def done(self) -> bool:
        """Whether it has a result that is no error."""
        return self.result is not None and not self.result.is_error


@dataclass(slots=True)
class Drawn:
    """What a tool's view says: a line beside its name, parts, and whether they show the result too."""

    detail: str = ""
    parts: list[Part] = field(default_factory=list)
    has_result: bool = False
    icon: str = "tool"


def result_of(record: dict[str, Any], tool_use_id: str | None = None) -> Result | None:
    """Return the result that a record holds, of this call or the first one."""
    for block in items(mapping(record, "message"), "content"):
        is_result = isinstance(block, dict) and block.get("type") == "tool_result"
        if is_result and tool_use_id in (None, block.get("tool_use_id")):
            return Result(block, record.get("toolUseResult"), places(record))
    return None


def result_parts(
    result: Result, *, whole: bool = False, inline: bool = False, folded: bool = False
) -> list[Part]:
    """Draw a result by its blocks: texts, pictures, references to tools."""
    content = result.content
    blocks = content if isinstance(content, list) else [content]
    parts: list[Part] = []
    for block in blocks[: 200 if not whole else 5000]:
        if isinstance(block, str):
            block = {"type": "text", "text": block}
        if not isinstance(block, dict):
            continue
        kind = block.get("type")
        if kind == "text":
            parts += _text(text(block, "text"), whole, folded)
        elif kind in ("image", "document"):
            parts.append(media_part(block, result.places.get(id(block), ""), inline=inline))
        elif kind == "tool_reference":
            parts.append(note_part(text(block, "tool_name"), icon="tool"))
        else:
            parts += _text(result_text([block]), whole, folded)
    return parts


def _text(value: str, whole: bool, folded: bool) -> list[Part]:
    if not value.strip():
        return []
    parts = [text_part(value, whole=whole, folded=folded, label="Result" if folded else "")]
    saved = saved_part(value)
    return [*parts, saved] if saved else parts
