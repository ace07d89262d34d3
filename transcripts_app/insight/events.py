"""What a tool call tells of the file that it reads or changes. No Django here.

Fields of `toolUseResult` are those of Claude Code 2.0 and 2.1: Read `file{content,startLine,numLines,
totalLines}`; Write `type,content,originalFile,structuredPatch`; Edit `oldString,newString,originalFile,
structuredPatch,userModified,replaceAll`; MultiEdit `edits,originalFileContents`; NotebookEdit
`original_file,updated_file`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any

from transcripts_app.insight.content import Hunk

NUMBERED = re.compile(r"^\s{0,8}(\d{1,9})(?:→|\t)(.*)$")
CHANGING = frozenset(
    (
        "mv", "rm", "cp", "sed", "tee", "truncate", "patch", "dd", "perl", "ed", "ln", "install", "rsync",
        "touch", "unlink", "shred", "black", "ruff", "prettier", "gofmt", "rustfmt", "isort", "eslint",
        "clang-format", "autopep8", "yapf", "dos2unix", "awk", "python", "python3", "node", "unzip", "tar",
    )
)  # fmt: skip
GIT_CHANGING = frozenset(
    ("checkout", "stash", "reset", "restore", "clean", "merge", "rebase", "pull", "apply", "am", "revert",
     "cherry-pick", "switch", "mv", "rm")
)  # fmt: skip
COMMAND_MOST = 5_000


@dataclass(frozen=True, slots=True)
class Replacement:
    """One old text and what takes its place."""

    old: str
    new: str
    every: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """What one successful call tells of a file, or `outside`: a command that may have changed it.

    `before` and `after` are the whole file where the call tells it.
    """

    verb: str  # read, write, edit, outside
    before: str | None = None
    after: str | None = None
    edits: tuple[Replacement, ...] = ()
    hunks: tuple[Hunk, ...] = ()
    start: int = 1
    lines: tuple[str, ...] = ()
    total: int | None = None
    by_person: bool = False  # the user changed what was proposed before accepting it
    note: str = ""  # of a command

    @property
    def changes(self) -> bool:
        return self.verb in ("write", "edit")


def event_of(name: str, given: Any, told: Any, text: str) -> Event | None:
    """Read a call that succeeded: its input, toolUseResult and result text. None where it tells nothing."""
    values = given if isinstance(given, dict) else {}
    result = told if isinstance(told, dict) else {}
    if name == "Read":
        return _read(result, text)
    if name == "Write":
        return _write(values, result)
    if name in ("Edit", "MultiEdit"):
        return _edit(values, result)
    if name == "NotebookEdit":
        before, after = _text_or_none(result, "original_file"), _text_or_none(result, "updated_file")
        return Event("edit", before, after)
    return None


def command_event(command: str, path: str) -> Event | None:
    """Return an event where a shell command may have changed, moved or removed a file; else None."""
    return Event("outside", note=command[:300]) if may_change(command[:COMMAND_MOST], path) else None


def may_change(command: str, path: str) -> bool:
    """Whether a shell command looks as if it might change a file: it names it beside a verb that changes,
    or has git change the working tree. It errs on the side of doubt."""
    words = _words(command)
    heads = {word.rpartition("/")[2] for word in words}
    if "git" in heads and heads & GIT_CHANGING:
        return True
    name = path.rstrip("/").rpartition("/")[2]
    named = bool(name) and any(word.rpartition("/")[2] == name or path in word for word in words)
    if not named and not (name and name in command):
        return False
    return bool(heads & CHANGING) or ">" in command


def _words(command: str) -> list[str]:
    split = re.sub(r"[;&|()<>`]+", " ", command)
    try:
        return shlex.split(split, comments=False)
    except ValueError:
        return split.split()


def _read(result: dict[str, Any], text: str) -> Event | None:
    file = result.get("file")
    content = _text_or_none(file, "content")
    if result.get("type") in (None, "text") and isinstance(file, dict) and content is not None:
        lines = tuple(content.split("\n"))
        total = _count(file, "totalLines")
        start = _count(file, "startLine") or 1
        return Event("read", start=start, lines=lines, total=total)
    if result.get("type") not in (None, "text"):
        return None
    return _numbered(text)


def _numbered(text: str) -> Event | None:
    """Lines as `cat -n` writes them, which is what the model sees."""
    start = 0
    lines: list[str] = []
    for line in text.split("\n"):
        match = NUMBERED.match(line)
        if match is None or (lines and int(match[1]) != start + len(lines)):
            break
        start = start or int(match[1])
        lines.append(match[2])
    return Event("read", start=start, lines=tuple(lines)) if lines and start else None


def _write(values: dict[str, Any], result: dict[str, Any]) -> Event | None:
    after = _text_or_none(result, "content")
    if after is None:
        after = _text_or_none(values, "content")
    if after is None:
        return None
    before = "" if result.get("type") == "create" else _text_or_none(result, "originalFile")
    return Event("write", before, after)


def _edit(values: dict[str, Any], result: dict[str, Any]) -> Event | None:
    before = _text_or_none(result, "originalFile")
    if before is None:
        before = _text_or_none(result, "originalFileContents")
    edits = _replacements(result, "oldString", "newString", "replaceAll") or _replacements(
        values, "old_string", "new_string", "replace_all"
    )
    hunks = _hunks(result.get("structuredPatch"))
    if not edits and not hunks:
        return None
    return Event("edit", before, edits=edits, hunks=hunks, by_person=result.get("userModified") is True)


def _replacements(holder: dict[str, Any], old: str, new: str, every: str) -> tuple[Replacement, ...]:
    listed = holder.get("edits")
    found = []
    for one in listed if isinstance(listed, list) else [holder]:
        for names in ((old, new, every), ("old_string", "new_string", "replace_all")):
            before, after = _text_or_none(one, names[0]), _text_or_none(one, names[1])
            if before is not None and after is not None:
                found.append(Replacement(before, after, one.get(names[2]) is True))
                break
    return tuple(found)


def _hunks(value: Any) -> tuple[Hunk, ...]:
    """Return the hunks of a patch; none at all where one is not whole."""
    hunks = []
    for one in value if isinstance(value, list) else []:
        lines = one.get("lines") if isinstance(one, dict) else None
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            return ()
        # "\ No newline at end of file" is a remark, no line.
        kept = tuple(line for line in lines if line[:1] in (" ", "-", "+"))
        start = _count(one, "oldStart")
        if start is None:
            return ()
        hunks.append(Hunk(start, kept))
    return tuple(hunks)


def _text_or_none(holder: Any, name: str) -> str | None:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, str) else None


def _count(holder: Any, name: str) -> int | None:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None
