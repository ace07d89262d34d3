"""Sources, projects, sessions and files of the archive: found, or made when they are met first."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

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
    problem: str


FILE_COLUMNS = "id, path, role, session_id, generation, read_to, size, mtime_ns, fingerprint, lines, problem"


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


def files_known(writer: Writer, source: int) -> dict[str, FileState]:
    """Return every file of a source by path."""
    rows = writer.connection.execute(
        f"SELECT {FILE_COLUMNS} FROM archive_transcriptfile WHERE source_id = ?",  # noqa: S608
        (source,),
    )
    return {row[1]: FileState(*row) for row in rows}


def file_make(writer: Writer, source: int, found: Found) -> FileState:
    """Add a file that is met for the first time; nothing of it is read yet."""
    new = writer.next_id("transcriptfile")
    state = FileState(new, found.path, found.role, None, 1, 0, 0, 0, b"", 0, found.problem)
    writer.insert(
        "transcriptfile",
        ("id", "source_id", "path", "role", "session_id", "agent_id", "meta", "generation", "read_to", "size",
         "mtime_ns", "fingerprint", "lines", "bad_lines", "problem", "gone_ms"),
        [(new, source, found.path, found.role, None, found.agent_id, "{}", 1, 0, 0, 0, b"", 0, 0,
          found.problem, None)],
    )  # fmt: skip
    return state


def session_key(node: str, root: str, folder: str, session_id: str) -> str:
    """Return the key of a session. Claude Code's id alone is none: it repeats across folders."""
    return hashlib.sha256("\0".join((node, root, folder, session_id)).encode()).hexdigest()[:16]


def project_key(node: str, path: str) -> str:
    """Return the key of a project: of its node and working directory."""
    return hashlib.sha256(f"{node}\0{path}".encode()).hexdigest()[:16]


def project_ensure(writer: Writer, node: str, path: str, *, guessed: bool) -> int:
    """Return the id of a project."""
    key = project_key(node, path)
    row = writer.connection.execute("SELECT id FROM archive_project WHERE key = ?", (key,)).fetchone()
    if row:
        return int(row[0])
    new = writer.next_id("project")
    name = path.rstrip("/").rpartition("/")[2] or path or "(no folder)"
    writer.insert(
        "project",
        ("id", "key", "node", "path", "name", "path_guessed"),
        [(new, key, node, path, name, guessed)],
    )
    return new


def session_ensure(
    writer: Writer, source: int, node: str, root: str, folder: str, session_id: str, cwd: str
) -> int:
    """Return the id of a session. A first record with a working directory settles its project."""
    key = session_key(node, root, folder, session_id)
    row = writer.connection.execute(
        "SELECT s.id, p.path_guessed FROM archive_session s JOIN archive_project p ON p.id = s.project_id "
        "WHERE s.key = ?",
        (key,),
    ).fetchone()
    if row and not (row[1] and cwd):
        return int(row[0])
    project = project_ensure(writer, node, cwd or folder, guessed=not cwd)
    if row:
        writer.connection.execute("UPDATE archive_session SET project_id = ? WHERE id = ?", (project, row[0]))
        return int(row[0])
    new = writer.next_id("session")
    values = {
        "id": new, "key": key, "session_id": session_id, "source_id": source, "project_id": project,
        "folder": folder, "changed_ms": now_ms(), "model_names": json.dumps([]),
        **dict.fromkeys(_EMPTY, ""), **dict.fromkeys(_ZERO, 0),
    }  # fmt: skip
    writer.insert("session", tuple(values), [tuple(values.values())])
    return new


_EMPTY = ("title", "title_kind", "first_prompt", "version", "branch", "outcome")
_ZERO = (
    "active_ms", "records", "prompts", "answers", "tool_calls", "tool_errors", "api_errors", "compactions",
    "agents", "files_touched", "lines_added", "lines_removed", "input_tokens", "output_tokens",
    "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "bytes", "secrets", "is_warmup",
)  # fmt: skip
