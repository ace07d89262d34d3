"""Flagging what a source has no longer. Nothing is ever deleted for that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transcripts_app.importing.walk import Found
from transcripts_app.importing.writer import Writer, now_ms


def gone_flag(writer: Writer, source: int, found: Iterable[Found]) -> None:
    """Note which files and sessions the source has no longer, and which are back.

    What lies in a folder that cannot be listed right now is not gone.
    """
    present = {one.path for one in found}
    closed = tuple(f"{one.path}/" for one in found if one.problem.startswith("cannot be listed"))
    rows = writer.connection.execute(
        "SELECT id, path, gone_ms, session_id FROM archive_transcriptfile WHERE source_id = ?", (source,)
    ).fetchall()
    gone = [
        row for row in rows
        if row[2] is None and row[1] not in present and not (closed and row[1].startswith(closed))
    ]  # fmt: skip
    back = [row for row in rows if row[2] is not None and row[1] in present]
    if not gone and not back:
        return
    now = now_ms()
    with writer.transaction() as connection:
        change = "UPDATE archive_transcriptfile SET gone_ms = ? WHERE id = ?"
        connection.executemany(change, [(now, row[0]) for row in gone])
        connection.executemany(change, [(None, row[0]) for row in back])
        connection.executemany(
            "UPDATE archive_session SET gone_ms = CASE WHEN EXISTS (SELECT 1 FROM archive_transcriptfile f "
            "WHERE f.session_id = archive_session.id AND f.role IN ('session', 'agent') "
            "AND f.gone_ms IS NULL) THEN NULL ELSE COALESCE(gone_ms, ?) END WHERE id = ?",
            [(now, session) for session in {row[3] for row in gone + back if row[3] is not None}],
        )


def back_flag(writer: Writer, source: int, paths: Sequence[str]) -> None:
    """Note that these files are there, also those that were gone."""
    query = f"SELECT id, session_id FROM archive_transcriptfile WHERE source_id = {int(source)} "  # noqa: S608
    back = list(writer.where_in(query + "AND gone_ms IS NOT NULL AND path IN (%s)", paths))
    if not back:
        return
    with writer.transaction() as connection:
        change = "UPDATE archive_transcriptfile SET gone_ms = NULL WHERE id = ?"
        connection.executemany(change, [(file,) for file, _ in back])
        connection.executemany(
            "UPDATE archive_session SET gone_ms = NULL WHERE id = ? AND EXISTS (SELECT 1 FROM "
            "archive_transcriptfile f WHERE f.session_id = archive_session.id "
            "AND f.role IN ('session', 'agent') AND f.gone_ms IS NULL)",
            [(session,) for session in {session for _, session in back if session is not None}],
        )
