"""Which files below a folder belong to transcripts, and what each is. No Django here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

DEPTH_MOST = 12


@dataclass(frozen=True, slots=True)
class Found:
    """A file below a root. Roles: session, agent, journal, meta, result; refused, with the problem.

    `path` is text, whatever bytes the file's name has; `real` opens it.
    """

    path: str
    role: str
    size: int
    mtime_ns: int
    folder: str  # the encoded project folder below the root
    session_id: str  # "" where only the records tell it
    agent_id: str = ""
    tool_use_id: str = ""
    problem: str = ""
    real: str = ""


def walk(root: str, folders: dict[str, int] | None = None) -> Iterator[Found]:
    """Find transcripts below a root, in no order. What cannot be read has a problem; loops end.

    `folders` gets every folder that was looked into: its path below the root, and when it had last
    changed before that, in nanoseconds.
    """
    yield from _folder(root, "", {_identity(root)}, 0, folders)


def _folder(
    root: str, below: str, seen: set[tuple[int, int]], depth: int, folders: dict[str, int] | None
) -> Iterator[Found]:
    try:
        if folders is not None:
            folders[below] = os.stat(os.path.join(root, below)).st_mtime_ns
        with os.scandir(os.path.join(root, below)) as scan:
            entries = list(scan)
    except OSError as error:
        if below:
            yield _refused(below, f"cannot be listed: {error.strerror}")
        return
    for entry in entries:
        path = f"{below}/{entry.name}" if below else entry.name
        try:
            if entry.is_dir():
                here = _identity(entry.path)
                if entry.name.endswith(".jsonl"):
                    yield _refused(path, "is no file, but a folder")
                if here in seen:
                    yield _refused(path, "is a folder that leads to itself")
                elif depth >= DEPTH_MOST:
                    yield _refused(path, "lies too deep")
                else:
                    yield from _folder(root, path, seen | {here}, depth + 1, folders)
                continue
            place = place_of(path)
            if place is None:
                continue
            yield _found(path, place, entry.stat(), entry.is_symlink(), entry.path)
        except OSError as error:
            yield _refused(path, f"cannot be read: {error.strerror}")


def found_at(root: str, path: str) -> Found | None:
    """Return one file below a root as `walk` would; None for one that is no transcript, or not there."""
    place, real = place_of(path), os.path.join(root, path)
    try:
        return _found(path, place, os.stat(real), os.path.islink(real), real) if place else None
    except OSError:
        return None


def _found(
    path: str, place: tuple[str, str, str, str], status: os.stat_result, is_link: bool, real: str
) -> Found:
    role, folder, session_id, name = place
    problem = "" if stat.S_ISREG(status.st_mode) else f"is no file, but {_sort(status.st_mode)}"
    if role == "result" and is_link:
        problem = "is a link: outputs are read inside their folder only"
    return Found(
        text_of(path), "refused" if problem else role, status.st_size, status.st_mtime_ns, text_of(folder),
        text_of(session_id), "" if role == "result" else text_of(name),
        text_of(name) if role == "result" else "", problem, real,
    )  # fmt: skip


def _refused(path: str, problem: str) -> Found:
    return Found(text_of(path), "refused", 0, 0, "", "", problem=problem)


def text_of(path: str) -> str:
    r"""A path as text: bytes that are no UTF-8 become \xNN, so that different names stay different."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path).decode(errors="backslashreplace")
    return path


def place_of(path: str) -> tuple[str, str, str, str] | None:
    """Return role, project folder, session id and agent's or output's id of a path; None for other files.

    Source: docs/transcripts-archive.md, "Files".
    """
    parts = path.split("/")
    name = parts[-1]
    for at in range(len(parts) - 2, 0, -1):
        if parts[at] == "subagents":
            return _agent_place(name, "/".join(parts[: at - 1]), parts[at - 1])
        if parts[at] == "tool-results":
            return "result", "/".join(parts[: at - 1]), parts[at - 1], name.rpartition(".")[0] or name
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
