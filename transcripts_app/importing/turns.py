"""How long sessions were active."""

from __future__ import annotations

from collections.abc import Iterable

from transcripts_app.format.kinds import Kind
from transcripts_app.importing.writer import Writer

PAUSE_MOST_MS = 300_000


def active_ms(writer: Writer) -> dict[int, int]:
    """Return the active milliseconds of the sessions being finished, by their own records' times."""
    found: dict[int, int] = {}
    session, moments = None, list[tuple[int, bool, int]]()
    for one, at_ms, kind, duration in writer.connection.execute(
        "SELECT r.session_id, r.at_ms, r.kind, r.duration_ms FROM finishing c "
        "CROSS JOIN archive_record r ON r.session_id = c.id "
        "WHERE r.at_ms IS NOT NULL AND NOT r.is_sidechain AND r.copy_of IS NULL "
        "ORDER BY r.session_id, r.at_ms, r.id"
    ):
        if one != session:
            if session is not None:
                found[session] = turns_sum(moments)
            session, moments = one, []
        moments.append((at_ms, kind == Kind.PROMPT, duration))
    if session is not None:
        found[session] = turns_sum(moments)
    return found


def turns_sum(moments: Iterable[tuple[int, bool, int]]) -> int:
    """Sum turns: as long as Claude Code says that they took, else their pauses of at most five minutes.

    Moments are time, whether a prompt begins a turn there, and the duration told there; in order of time.
    """
    total = gaps = told = 0
    before: int | None = None
    for at_ms, begins, duration in moments:
        gap = at_ms - before if before is not None else 0
        if begins:
            total += told or gaps
            gaps = told = 0
        gaps += gap if gap <= PAUSE_MOST_MS else 0
        told += duration
        before = at_ms
    return total + (told or gaps)
