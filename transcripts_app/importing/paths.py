"""The active path of the sessions being finished: where it ends, and which records lie aside."""

from __future__ import annotations

from dataclasses import dataclass

from transcripts_app.format.kinds import Kind
from transcripts_app.format.tree import Node, active_path
from transcripts_app.importing.writer import Writer

NO_LEAF = (Kind.PROGRESS, Kind.STATE, Kind.SNAPSHOT, Kind.TITLE)
BEGINS = (Kind.PROMPT, Kind.COMMAND)
SAYS_HOW_IT_ENDED = (Kind.PROMPT, Kind.ANSWER, Kind.THINKING, Kind.TOOL_CALL, Kind.TOOL_RESULT)
INTERRUPTED = "[Request interrupted"


@dataclass(slots=True)
class Ends:
    """How a session ends: its leaf, and the last record that tells whether it was done."""

    leaf: int | None = None
    kind: int | None = None
    is_error: bool = False
    at_ms: int | None = None


def paths_mark(writer: Writer) -> dict[int, Ends]:
    """Find the ends of the sessions, and mark what was left by a rewind in their own files."""
    files = writer.connection.execute(
        "SELECT f.session_id, f.id, f.role, f.generation FROM finishing c "
        "CROSS JOIN archive_transcriptfile f ON f.session_id = c.id "
        "WHERE f.role IN ('session', 'agent') ORDER BY f.session_id, f.role = 'session', f.id"
    ).fetchall()
    chosen = {session: (file, role, generation) for session, file, role, generation in files}
    return {session: _file_mark(writer, *values) for session, values in chosen.items()}


def _file_mark(writer: Writer, file: int, role: str, generation: int) -> Ends:
    nodes: list[Node] = []
    aside: set[int] = set()
    ends, leaf_uid = Ends(), None
    for (
        record, uid, parent, logical, kind, is_aside, is_error, at_ms, preview
    ) in writer.connection.execute(
        "SELECT id, uid, parent_uid, logical_parent_uid, kind, is_aside, is_error, at_ms, preview "
        "FROM archive_record WHERE file_id = ? AND generation = ? AND uid IS NOT NULL "
        "AND (? OR NOT is_sidechain) ORDER BY line",
        (file, generation, role == "agent"),
    ):  # fmt: skip
        nodes.append(Node(record, uid, parent, logical, kind in BEGINS))
        if is_aside:
            aside.add(record)
        if kind not in NO_LEAF:
            ends.leaf, leaf_uid = record, uid
        if kind in SAYS_HOW_IT_ENDED or (kind == Kind.SYSTEM and is_error) or preview.startswith(INTERRUPTED):
            ends.kind, ends.is_error, ends.at_ms = kind, bool(is_error), at_ms
    if role == "session":
        off = {node.id for node in nodes} - set(active_path(nodes, leaf_uid))
        change = "UPDATE archive_record SET is_aside = ? WHERE id = ?"
        writer.connection.executemany(change, [(True, one) for one in sorted(off - aside)])
        writer.connection.executemany(change, [(False, one) for one in sorted(aside - off)])
    return ends
