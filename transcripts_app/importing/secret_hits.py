"""Notes which records hold likely secrets: record, rule, how many; never the secret."""

from __future__ import annotations

from collections.abc import Iterable

from transcripts_app.importing.writer import Writer

Found = tuple[tuple[str, int], ...]
"""Rules and how many places each found: of one line, or of a large output."""


def hits_store(writer: Writer, session: int | None, found: Iterable[tuple[int, Found]]) -> None:
    """Store what was found, by record, inside the caller's transaction."""
    writer.insert(
        "secrethit",
        ("id", "session_id", "record_id", "rule", "count"),
        [
            (writer.next_id("secrethit"), session, record, rule, count)
            for record, counts in found
            for rule, count in counts
        ],
    )


def hits_replace(writer: Writer, session: int, record: int, found: Found) -> None:
    """The same for a record that was written anew."""
    writer.connection.execute("DELETE FROM archive_secrethit WHERE record_id = ?", (record,))
    hits_store(writer, session, [(record, found)])
