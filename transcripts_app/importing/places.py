"""Sources, projects, sessions and files of the archive: found, or made when they are met first."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from transcripts_app.importing.walk import Found
from transcripts_app.importing.writer import Writer, now_ms


@dataclass(slots=True)
class FileState:
    """A row of TranscriptFile, as far as reading on needs it."""

    id: int
    path: str
    role: str
    session: int | None
    generation: int
    read_to: int
    size: int
    mtime_ns: int
    fingerprint: bytes
    lines: int
    bad_lines: int
    rewritten_to: int
    problem: str
    gone_ms: int | None


FILE_COLUMNS = (
    "id, path, role, session_id, generation, read_to, size, mtime_ns, fingerprint, lines, bad_lines, "
    "rewritten_to, problem, gone_ms"
)
NOT_ALPHANUMERIC = re.compile("[^A-Za-z0-9]")
GUESSED, BY_AGENT, BY_SESSION = range(3)
"""How a session's project is known: from the folder's name, a sub-agent's record, or its own."""


def source_ensure(writer: Writer, node: str, root: str, kind: str, owner: str = "") -> int:
    """Return the id of a source."""
    row = writer.connection.execute(
        "SELECT id FROM archive_source WHERE node = ? AND root = ?", (node, root)
    ).fetchone()
    if row:
        return int(row[0])
    new = writer.next_id("source")
    writer.insert(
        "source",
        ("id", "node", "root", "kind", "owner", "seen_ms", "problem"),
        [(new, node, root, kind, owner, None, "")],
    )
    return new


def files_known(writer: Writer, source: int, paths: Sequence[str] | None = None) -> dict[str, FileState]:
    """Return every file of a source by path, or those of `paths`."""
    query = f"SELECT {FILE_COLUMNS} FROM archive_transcriptfile WHERE source_id = {int(source)}"  # noqa: S608
    if paths is None:
        rows: Iterable[tuple[Any, ...]] = writer.connection.execute(query)
    else:
        rows = writer.where_in(query + " AND path IN (%s)", paths)
    return {row[1]: FileState(*row) for row in rows}


def file_make(writer: Writer, source: int, found: Found) -> FileState:
    """Add a file that is met for the first time; nothing of it is read yet."""
    new = writer.next_id("transcriptfile")
    state = FileState(new, found.path, found.role, None, 1, 0, -1, 0, b"", 0, 0, 0, "", None)
    meta = writer.connection.execute(
        "SELECT meta FROM archive_transcriptfile WHERE source_id = ? AND path = ? AND role = 'meta'",
        (source, found.path.removesuffix(".jsonl") + ".meta.json"),
    ).fetchone()
    told = meta[0] if meta and found.role == "agent" else "{}"
    values = {
        "id": new, "source_id": source, "path": found.path, "role": found.role, "session_id": None,
        "agent_id": found.agent_id, "tool_use_id": found.tool_use_id or _tool_use_id(told), "meta": told,
        "generation": 1, "read_to": 0, "size": 0, "mtime_ns": 0, "fingerprint": b"", "lines": 0,
        "bad_lines": 0, "rewritten_to": 0, "problem": "", "gone_ms": None,
    }  # fmt: skip
    writer.insert("transcriptfile", tuple(values), [tuple(values.values())])
    return state


def meta_store(writer: Writer, source: int, file: FileState, told: str) -> None:
    """Keep what is noted of a sub-agent with it, now or once its file is met."""
    agent = file.path.removesuffix(".meta.json") + ".jsonl"
    execute = writer.connection.execute
    execute("UPDATE archive_transcriptfile SET meta = ? WHERE id = ?", (told, file.id))
    execute(
        "UPDATE archive_transcriptfile SET meta = ?, tool_use_id = ? WHERE source_id = ? AND path = ?",
        (told, _tool_use_id(told), source, agent),
    )
    execute(
        "UPDATE archive_session SET is_stale = 1 WHERE id = (SELECT session_id FROM archive_transcriptfile "
        "WHERE source_id = ? AND path = ?)",
        (source, agent),
    )


def _tool_use_id(told: str) -> str:
    return str(json.loads(told).get("toolUseId", ""))


def session_key(node: str, root: str, folder: str, session_id: str) -> str:
    """Return the key of a session. Claude Code's id alone is none: it repeats across folders."""
    return hashlib.sha256("\0".join((node, root, folder, session_id)).encode()).hexdigest()[:16]


def project_key(node: str, path: str) -> str:
    """Return the key of a project: of its node and working directory."""
    return hashlib.sha256(f"{node}\0{path}".encode()).hexdigest()[:16]


def project_ensure(writer: Writer, node: str, path: str, *, guessed: bool) -> int:
    """Return the id of a project."""
    key = project_key(node, path)
    row = writer.connection.execute(
        "SELECT id, path_guessed FROM archive_project WHERE key = ?", (key,)
    ).fetchone()
    if row:
        if row[1] and not guessed:
            writer.connection.execute("UPDATE archive_project SET path_guessed = 0 WHERE id = ?", (row[0],))
        return int(row[0])
    new = writer.next_id("project")
    name = path.rstrip("/").rpartition("/")[2] or path or "(no folder)"
    writer.insert(
        "project",
        ("id", "key", "node", "path", "name", "path_guessed"),
        [(new, key, node, path, name, guessed)],
    )
    return new


def session_ensure(writer: Writer, source: int, node: str, root: str, folder: str, session_id: str) -> int:
    """Return the id of a session. Until a record names a working directory, its project is the folder's."""
    key = session_key(node, root, folder, session_id)
    row = writer.connection.execute("SELECT id FROM archive_session WHERE key = ?", (key,)).fetchone()
    if row:
        return int(row[0])
    new = writer.next_id("session")
    values = {
        "id": new, "key": key, "session_id": session_id, "source_id": source,
        "project_id": project_ensure(writer, node, folder, guessed=True), "project_from": GUESSED,
        "folder": folder, "changed_ms": now_ms(), "is_stale": True, "model_names": json.dumps([]),
        **dict.fromkeys(_EMPTY, ""), **dict.fromkeys(_ZERO, 0),
    }  # fmt: skip
    writer.insert("session", tuple(values), [tuple(values.values())])
    return new


def project_path(folder: str, cwd: str) -> str:
    """Return the working directory, or the folder above it, that a project's folder is named after.

    Claude Code may have moved below it before its first record; empty where none has that name.
    """
    name, path = folder.rpartition("/")[2], cwd
    while path and len(path) >= len(name):
        if NOT_ALPHANUMERIC.sub("-", path) == name:
            return path
        path = path[: max(path.rfind("/"), path.rfind("\\"), 0)]
    return ""


def session_settle(writer: Writer, session: int, node: str, role: str, cwd: str) -> int:
    """Let a working directory settle a session's project; return how the project is known then.

    One that the session's folder is named after counts, else the session's own first, else a
    sub-agent's, which may work elsewhere and is read first more often than not.
    """
    known, before, folder = writer.connection.execute(
        "SELECT project_from, project_id, folder FROM archive_session WHERE id = ?", (session,)
    ).fetchone()
    path = project_path(folder, cwd)
    now = BY_SESSION if role == "session" or path else BY_AGENT
    if known >= now:
        return int(known)
    project = project_ensure(writer, node, path or cwd, guessed=False)
    writer.connection.execute(
        "UPDATE archive_session SET project_id = ?, project_from = ? WHERE id = ?", (project, now, session)
    )
    writer.connection.execute(
        "DELETE FROM archive_project WHERE id = ? AND NOT EXISTS "
        "(SELECT 1 FROM archive_session WHERE project_id = ?1)",
        (before,),
    )
    return now


_EMPTY = ("title", "title_kind", "first_prompt", "version", "branch", "outcome")
_ZERO = (
    "active_ms", "records", "prompts", "answers", "tool_calls", "tool_errors", "api_errors", "compactions",
    "agents", "files_touched", "lines_added", "lines_removed", "input_tokens", "output_tokens",
    "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "bytes", "secrets", "is_warmup",
)  # fmt: skip
