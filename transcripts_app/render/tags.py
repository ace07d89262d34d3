"""Claude Code's own tags inside of user messages: commands, output, reminders. No Django here."""

from __future__ import annotations

import re
from dataclasses import dataclass

TAGS = (
    "command-name", "command-message", "command-args", "command-contents", "local-command-stdout",
    "local-command-stderr", "local-command-caveat", "bash-input", "bash-stdout", "bash-stderr",
    "system-reminder", "task-notification", "user-prompt-submit-hook", "session-start-hook",
    "user-memory-input", "ide_opened_file", "ide_selection", "persisted-output", "teammate-message",
)  # fmt: skip
TASK_TAGS = ("task-id", "tool-use-id", "task-type", "output-file", "status", "summary", "result", "usage")
PIECES_MOST = 500


@dataclass(slots=True, frozen=True)
class Piece:
    """Text between tags (`tag` empty), or what one tag holds."""

    tag: str
    text: str


def pieces_of(value: str, tags: tuple[str, ...] = TAGS) -> list[Piece]:
    """Split a text at known tags that are closed. Tags inside of tags stay text."""
    if "<" not in value:
        return [Piece("", value)] if value else []
    opening = _opening(tags)
    pieces: list[Piece] = []
    unclosed: set[str] = set()
    begin = at = 0
    while len(pieces) < PIECES_MOST and (found := opening.search(value, at)):
        name = found[1]
        end = -1 if name in unclosed else value.find(f"</{name}>", found.end())
        if end < 0:
            unclosed.add(name)  # looked for once: a text of many unclosed tags must not take long
            at = found.end()
            continue
        if value[begin : found.start()].strip():
            pieces.append(Piece("", value[begin : found.start()]))
        pieces.append(Piece(name, value[found.end() : end]))
        begin = at = end + len(name) + 3
    if value[begin:].strip():
        pieces.append(Piece("", value[begin:]))
    return pieces


def tags_of(value: str, tags: tuple[str, ...]) -> dict[str, str]:
    """Return what each of these tags holds, the first of each."""
    found: dict[str, str] = {}
    for piece in pieces_of(value, tags):
        if piece.tag:
            found.setdefault(piece.tag, piece.text.strip("\n"))
    return found


_openings: dict[tuple[str, ...], re.Pattern[str]] = {}


def _opening(tags: tuple[str, ...]) -> re.Pattern[str]:
    if tags not in _openings:
        _openings[tags] = re.compile(f"<({'|'.join(map(re.escape, tags))})(?: [^<>]{{0,200}})?>")
    return _openings[tags]
