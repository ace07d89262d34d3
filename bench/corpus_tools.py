"""Calls of Claude Code's tools, what they answer, and what is true of them, for the generated corpus."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.corpus_text import WORDS, Text

ENDINGS = ("py", "ts", "tsx", "go", "rs", "sql", "md")


@dataclass(slots=True)
class Done:
    """A call and its result. `path`, `added` and `removed` are what it changed, if it did."""

    name: str
    given: dict[str, Any]
    content: Any
    told: Any
    is_error: bool = False
    path: str = ""
    added: int = 0
    removed: int = 0


@dataclass(slots=True)
class Desk:
    """A session's working directory and the files that it knows."""

    text: Text
    cwd: str
    files: list[str] = field(default_factory=list)

    def path(self) -> str:
        """A file of the project, often one that was met before."""
        rng = self.text.rng
        if self.files and rng.random() < 0.6:
            return rng.choice(self.files)
        word = self.text.name().lower()
        self.files.append(f"{self.cwd}/{rng.choice(WORDS)}/{word}.{rng.choice(ENDINGS)}")
        return self.files[-1]


def call_make(desk: Desk) -> Done:
    """Make one call; about one in twenty fails."""
    rng = desk.text.rng
    done = rng.choices(_MAKERS, weights=_WEIGHTS)[0](desk)
    if rng.random() < 0.05:
        _fail(desk, done)
    return done


def _fail(desk: Desk, done: Done) -> None:
    words = desk.text.prose(60).replace("\n", " ")
    error = f"Exit code 1\n{desk.text.log(200)}" if done.name == "Bash" else words
    done.content = error if done.name == "Bash" else f"<tool_use_error>{error}</tool_use_error>"
    done.told, done.is_error, done.path, done.added, done.removed = f"Error: {error}", True, "", 0, 0


def _read(desk: Desk) -> Done:
    text, path = desk.text, desk.path()
    if text.rng.random() < 0.004:
        return _image(desk)
    source = text.code(text.size(900, 1.6, 60_000))
    lines = source.split("\n")
    content = "\n".join(f"{number:>6}\u2192{line}" for number, line in enumerate(lines, 1))
    file = {
        "filePath": path, "content": source, "numLines": len(lines), "startLine": 1, "totalLines": len(lines),
    }  # fmt: skip
    return Done("Read", {"file_path": path}, content, {"type": "text", "file": file})


def _image(desk: Desk) -> Done:
    rng = desk.text.rng
    data = base64.b64encode(rng.randbytes(rng.randrange(8_000, 90_000))).decode()
    path = f"{desk.cwd}/{rng.choice(WORDS)}.png"
    block = {"type": "image", "source": {"type": "base64", "data": data, "media_type": "image/png"}}
    told = {"type": "image", "file": {"base64": data, "type": "image/png", "originalSize": len(data)}}
    return Done("Read", {"file_path": path}, [block], told)


def _edit(desk: Desk) -> Done:
    text, path, rng = desk.text, desk.path(), desk.text.rng
    before = text.lines(rng.randrange(2, 14))
    at = rng.randrange(len(before))
    removed = rng.randrange(0, len(before) - at + 1)
    added = rng.randrange(0 if removed else 1, 12)
    after = before[:at] + [text.new_line() for _ in range(added)] + before[at + removed :]
    old, new = "\n".join(before), "\n".join(after)
    whole = text.code(text.size(5_500, 1.55)) + "\n" + old
    changes = [f" {line}" for line in before[:at]] + [f"-{line}" for line in before[at : at + removed]]
    changes += [f"+{line}" for line in after[at : at + added]] + [f" {line}" for line in after[at + added :]]
    patch = {"oldStart": 1, "oldLines": len(before), "newStart": 1, "newLines": len(after), "lines": changes}
    told = {"filePath": path, "oldString": old, "newString": new, "originalFile": whole,
            "structuredPatch": [patch], "userModified": False, "replaceAll": False}  # fmt: skip
    content = f"The file {path} has been updated. Here's the result of running `cat -n`:\n{new}"
    given = {"file_path": path, "old_string": old, "new_string": new}
    return Done("Edit", given, content, told, path=path, added=added, removed=removed)


def _multi_edit(desk: Desk) -> Done:
    one, other = _edit(desk), _edit(desk)
    edits = [{name: done.given[name] for name in ("old_string", "new_string")} for done in (one, other)]
    told = {"filePath": one.path, "edits": edits, "originalFileContents": one.told["originalFile"],
            "structuredPatch": one.told["structuredPatch"] + other.told["structuredPatch"]}  # fmt: skip
    added, removed = one.added + other.added, one.removed + other.removed
    given = {"file_path": one.path, "edits": edits}
    return Done("MultiEdit", given, "Applied 2 edits", told, path=one.path, added=added, removed=removed)


def _write(desk: Desk) -> Done:
    text, path = desk.text, desk.path()
    source = text.code(text.size(1_500, 1.2)).strip("\n") or "pass"
    lines = source.count("\n") + 1
    if text.rng.random() < 0.02:
        source = source.replace(" ", "\u2028", 1).replace(" ", "\f", 1)  # no ends of lines to a programmer
    told = {"type": "create", "filePath": path, "content": source, "structuredPatch": []}
    given = {"file_path": path, "content": source + "\n"}
    return Done("Write", given, f"File created successfully at: {path}", told, path=path, added=lines)


def _bash(desk: Desk) -> Done:
    text, rng = desk.text, desk.text.rng
    command = f"{rng.choice(('pytest -q', 'git diff', 'npm run', 'grep -rn', 'cargo test'))} {text.name()}"
    out = text.log(text.size(300, 1.5))
    if rng.random() < 0.1:
        out = "\x1b[32m✓\x1b[0m " + out
    told = {"stdout": out, "stderr": "", "interrupted": False, "isImage": False}
    return Done("Bash", {"command": command, "description": text.prose(30)}, out, told)


def _grep(desk: Desk) -> Done:
    text = desk.text
    found = [f"{desk.path()}:{n}:{line}" for n, line in enumerate(text.lines(text.size(6, 1.0, 200)), 7)]
    content = "\n".join(found)
    told = {"mode": "content", "numFiles": 0, "filenames": [], "content": content, "numLines": len(found)}
    return Done("Grep", {"pattern": text.name(), "output_mode": "content", "path": desk.cwd}, content, told)


def _glob(desk: Desk) -> Done:
    names = [desk.path() for _ in range(desk.text.size(5, 1.0, 100))]
    told = {"filenames": names, "durationMs": 12, "numFiles": len(names), "truncated": False}
    return Done("Glob", {"pattern": f"**/*{desk.text.name()}*.py"}, "\n".join(names), told)


def _todo(desk: Desk) -> Done:
    states = ("completed", "in_progress", "pending")
    todos = [
        {"content": line, "status": state, "activeForm": line}
        for line, state in zip(desk.text.prose(160).split("\n"), states, strict=False)
    ]
    told = {"oldTodos": [], "newTodos": todos}
    return Done("TodoWrite", {"todos": todos}, "Todos have been modified successfully.", told)


def _fetch(desk: Desk) -> Done:
    text = desk.text
    words = text.prose(text.size(700, 0.9))
    url = f"https://docs.example.org/{text.name()}/{text.name()}.html"
    told = {"bytes": 4 * len(words), "code": 200, "codeText": "OK", "result": words, "durationMs": 900,
            "url": url}  # fmt: skip
    return Done("WebFetch", {"url": url, "prompt": text.prose(60)}, words, told)


def _mcp(desk: Desk) -> Done:
    text = desk.text
    parts = [{"type": "text", "text": text.log(text.size(250, 1.2))}]
    return Done("mcp__database__query", {"sql": f"SELECT {text.name()} FROM {text.name()}"}, parts, parts)


_MAKERS: tuple[Callable[[Desk], Done], ...]
_MAKERS = (_bash, _read, _edit, _grep, _todo, _write, _glob, _mcp, _fetch, _multi_edit)
_WEIGHTS = (32, 26, 18, 9, 6, 4, 2, 2, 1, 0.5)
