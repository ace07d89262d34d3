"""Where a record was hit: its text made anew from the raw line, in windows around the words.

No Django here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from transcripts_app.format.kinds import Kind
from transcripts_app.format.lines import LineBad, line_read, text_clean
from transcripts_app.format.record import INDEX_MOST, blocks_of, record_parse
from transcripts_app.format.tools import result_text, words_of
from transcripts_app.search.query import Words
from transcripts_app.search.words import words_pattern

AROUND = 90
WINDOWS_MOST = 3
HITS_MOST = 400
SCANNED_MOST = 400_000
"""Characters of one text that are looked through."""

_UNSEEN = re.compile(
    "\x1b\\[[0-9;?]*[ -/]*[@-~]|"
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_BLANK = re.compile(r"\s+")
_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")
_LABELS = {
    Kind.PROMPT: "Prompt", Kind.ANSWER: "Answer", Kind.THINKING: "Thinking", Kind.META: "Told to the model",
    Kind.COMMAND: "Command", Kind.COMPACT_SUMMARY: "Summary of a compaction", Kind.SYSTEM: "System",
    Kind.COMPACT_BOUNDARY: "Compaction", Kind.ATTACHMENT: "Attachment", Kind.TITLE: "Title",
    Kind.QUEUE: "Queued prompt", Kind.PULL_REQUEST: "Pull request", Kind.RESULT_FILE: "Large output",
}  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """A part of a snippet; `is_hit`: it is marked."""

    text: str
    is_hit: bool = False


@dataclass(frozen=True)
class Snippet:
    """One window. `label` says what it is of: `Bash output`, `Edit input`, `Prompt`."""

    label: str
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True)
class Segment:
    """A text of a record, and what it is."""

    label: str
    text: str


class Marker:
    """Finds the words of a query in texts, as the index does. Make one per search."""

    def __init__(self, phrases: Sequence[Words]) -> None:
        self._phrases = [(one.words, one.is_prefix) for one in phrases]
        self._ascii = words_pattern(self._phrases, ascii_only=True)
        self._any: re.Pattern[str] | None = None

    def hits(self, text: str) -> list[tuple[int, int, int]]:
        """Return where words stand: begin, end, which phrase."""
        if not self._phrases:
            return []
        pattern = self._ascii
        if not text.isascii():
            pattern = self._any = self._any or words_pattern(self._phrases, ascii_only=False)
        found = []
        for hit in pattern.finditer(text, 0, SCANNED_MOST):
            found.append((hit.start(), hit.end(), (hit.lastindex or 1) - 1))
            if len(found) == HITS_MOST:
                break
        return found


def snippets_of(segments: Sequence[Segment], marker: Marker, most: int = WINDOWS_MOST) -> list[Snippet]:
    """Return the windows that show most of the words; without a hit the beginning of the text."""
    windows = [
        (len({number for _, _, number in hits}), -order, segment, hits)
        for order, (segment, hits) in enumerate(
            (segment, hits) for segment in segments for hits in _windows(marker.hits(segment.text))
        )
    ]
    if not windows:
        first = next((one for one in segments if one.text.strip()), None)
        return [_plain(first)] if first else []
    best = sorted(windows, key=lambda one: one[:2], reverse=True)[:most]
    return [_snippet(segment, hits) for _, _, segment, hits in sorted(best, key=lambda one: -one[1])]


class Mask(Protocol):
    """What hides secrets: of a JSON value, whose keys tell too, and of a text."""

    def value(self, value: Any) -> Any: ...

    def text(self, text: str) -> str: ...


def segments_of(line: bytes, kind: int, tool: str, mask: Mask) -> list[Segment]:
    """Return the texts of a raw line as they were searched, masked. `kind` and `tool` are those of its row.

    All of a text is masked, not its windows: a window may begin within a secret.
    """
    if kind == Kind.RESULT_FILE:
        text = text_clean(line[: 4 * SCANNED_MOST].decode(errors="replace"))[:SCANNED_MOST]
        return [Segment(_LABELS[Kind.RESULT_FILE], mask.text(text))]
    try:
        record = line_read(line)
    except LineBad:
        return []
    message, type_ = record.get("message"), record.get("type")
    if not isinstance(message, dict):
        parsed = record_parse(mask.value(record))
        return [Segment(_LABELS.get(parsed.kind, "Record"), parsed.text)]
    # The rest of such a record is not shown, and a picture has no words: only these blocks are masked.
    shown = [block for block in blocks_of(message.get("content")) if block.get("type") != "image"]
    blocks = mask.value(shown)
    if type_ == "assistant" or kind == Kind.TOOL_RESULT:
        made = (_answered(block) if type_ == "assistant" else _result(block, tool) for block in blocks)
        return [one for one in made if one]
    parsed = record_parse(record | {"message": message | {"content": blocks}})
    return [Segment(_LABELS.get(parsed.kind, "Record"), parsed.text)]


def _answered(block: dict[str, Any]) -> Segment | None:
    kind = block.get("type")
    if kind == "text":
        return Segment("Answer", _text(block.get("text")))
    if kind == "thinking":
        return Segment("Thinking", _text(block.get("thinking")))
    if kind in _CALLS:
        name = _text(block.get("name"))[:80]
        return Segment(f"{name} input", text_clean(f"{name}\n{words_of(block.get('input'), INDEX_MOST)}"))
    if isinstance(kind, str) and kind.endswith("_tool_result"):
        return Segment("Output", text_clean(result_text(block.get("content"))))
    return None


def _result(block: dict[str, Any], tool: str) -> Segment | None:
    kind = block.get("type")
    if kind == "tool_result":
        label = f"{tool} output" if tool else "Output"
        label = label.replace(" output", " error") if block.get("is_error") is True else label
        return Segment(label, text_clean(result_text(block.get("content"))))
    return Segment("Prompt", _text(block.get("text"))) if kind == "text" else None


def _text(value: Any) -> str:
    return text_clean(value) if isinstance(value, str) else ""


def _windows(hits: list[tuple[int, int, int]]) -> list[list[tuple[int, int, int]]]:
    """Hits that stand near each other, together."""
    found: list[list[tuple[int, int, int]]] = []
    for hit in hits:
        if found and hit[0] - found[-1][-1][1] < AROUND and hit[1] - found[-1][0][0] < 4 * AROUND:
            found[-1].append(hit)
        else:
            found.append([hit])
    return found


def _snippet(segment: Segment, hits: list[tuple[int, int, int]]) -> Snippet:
    text = segment.text
    begin, end = max(0, hits[0][0] - AROUND), min(len(text), hits[-1][1] + AROUND)
    begin, end = _at_blank(text, begin, hits[0][0], 1), _at_blank(text, end, hits[-1][1], -1)
    pieces, at = [Piece("… ")] if begin else [], begin
    for start, stop, _ in hits:
        pieces += [Piece(_shown(text[at:start])), Piece(_shown(text[start:stop][:400]), True)]
        at = stop
    pieces += [Piece(_shown(text[at:end])), *([Piece(" …")] if end < len(text) else [])]
    return Snippet(segment.label, tuple(piece for piece in pieces if piece.text))


def _plain(segment: Segment) -> Snippet:
    text = segment.text[: 4 * AROUND]
    more = [Piece(" …")] if len(segment.text) > len(text) else []
    return Snippet(segment.label, (Piece(_shown(text).strip()), *more))


def _at_blank(text: str, at: int, toward: int, step: int) -> int:
    """Move an edge to a blank at most 20 characters nearer, so that no word is cut where that is easy."""
    if at in (0, len(text)):
        return at
    for place in range(at, min(toward, at + 20) if step > 0 else max(toward, at - 20), step):
        if text[place].isspace():
            return place
    return at


def _shown(text: str) -> str:
    """On one line, without what a screen does not show."""
    return _BLANK.sub(" ", _UNSEEN.sub("", text))
