"""Which files below a folder belong to transcripts, and what each is. No Django here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

DEPTH_MOST = 12


@dataclass(frozen=True, slots=True)
class Found:
    """A file below a root. Roles: session, agent, journal, meta, result; refused, with the problem."""

    path: str
    role: str
    size: int
    mtime_ns: int
    folder: str  # the encoded project folder below the root
    session_id: str  # "" where only the records tell it
    agent_id: str = ""
    problem: str = ""


def walk(root: str) -> Iterator[Found]:
    """Find transcripts below a root, in no order. What cannot be read has a problem; loops end."""
    yield from _folder(root, "", {_identity(root)}, 0)


def _folder(root: str, below: str, seen: set[tuple[int, int]], depth: int) -> Iterator[Found]:
    try:
        entries = list(os.scandir(os.path.join(root, below)))
    except OSError as error:
        if below:
            yield Found(below, "refused", 0, 0, "", "", problem=f"cannot be listed: {error.strerror}")
        return
    for entry in entries:
        path = f"{below}/{entry.name}" if below else entry.name
        try:
            if entry.is_dir():
                here = _identity(entry.path)
                if here not in seen and depth < DEPTH_MOST:
                    yield from _folder(root, path, seen | {here}, depth + 1)
                elif entry.name.endswith(".jsonl"):
                    yield Found(path, "refused", 0, 0, "", "", problem="is a folder that leads to itself")
                continue
            place = place_of(path)
            if place is None:
                continue
            status = entry.stat()
        except OSError as error:
            yield Found(path, "refused", 0, 0, "", "", problem=f"cannot be read: {error.strerror}")
            continue
        role, folder, session_id, agent_id = place
        problem = "" if stat.S_ISREG(status.st_mode) else f"is no file, but {_sort(status.st_mode)}"
        role = "refused" if problem else role
        yield Found(path, role, status.st_size, status.st_mtime_ns, folder, session_id, agent_id, problem)


def place_of(path: str) -> tuple[str, str, str, str] | None:
    """Return role, project folder, session id and agent id of a path below a root; None for other files.

    Source: docs/transcripts-archive.md, "Files".
    """
    parts = PurePosixPath(path).parts
    name = parts[-1]
    for at in range(len(parts) - 2, 0, -1):
        if parts[at] == "subagents":
            return _agent_place(name, "/".join(parts[: at - 1]), parts[at - 1])
        if parts[at] == "tool-results":
            return "result", "/".join(parts[: at - 1]), parts[at - 1], ""
    if not name.endswith(".jsonl"):
        return None
    folder, stem = "/".join(parts[:-1]), name.removesuffix(".jsonl")
    if stem.startswith("agent-"):
        return "agent", folder, "", stem.removeprefix("agent-")
    return "session", folder, stem, ""


def _agent_place(name: str, folder: str, session_id: str) -> tuple[str, str, str, str] | None:
    if name.endswith(".meta.json"):
        return "meta", folder, session_id, name.removesuffix(".meta.json").removeprefix("agent-")
    if not name.endswith(".jsonl"):
        return None
    stem = name.removesuffix(".jsonl")
    role = "agent" if stem.startswith("agent-") else "journal"
    return role, folder, session_id, stem.removeprefix("agent-") if role == "agent" else ""


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _sort(mode: int) -> str:
    for test, word in ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket")):
        if test(mode):
            return word
    return "a device"
