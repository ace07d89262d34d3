"""How long sessions were active."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from transcripts_app.format.facets import day_of
from transcripts_app.format.kinds import Kind
from transcripts_app.importing.writer import Writer

PAUSE_MOST_MS = 300_000


Moment = tuple[int, bool, int]
"""Time, whether a prompt begins a turn there, and the duration told there."""
Days = dict[int | None, list[int]]


def days_read(writer: Writer) -> dict[int, Days]:
    """Return by session being finished, and day: active milliseconds and prompts, of their own records."""
    rows = writer.connection.execute(
        "SELECT r.session_id, r.at_ms, r.kind, r.duration_ms FROM finishing c "
        "CROSS JOIN archive_record r ON r.session_id = c.id "
        "WHERE r.at_ms IS NOT NULL AND NOT r.is_sidechain AND r.copy_of IS NULL "
        "ORDER BY r.session_id, r.at_ms, r.id"
    )
    return {
        session: days_sum((at_ms, kind == Kind.PROMPT, duration) for _, at_ms, kind, duration in moments)
        for session, moments in groupby(rows, key=lambda row: row[0])
    }


def days_sum(moments: Iterable[Moment]) -> Days:
    """Sum turns by the day that they began on: active milliseconds, prompts."""
    days: Days = {}
    for begun_ms, active, is_prompt in turns_of(moments):
        sums = days.setdefault(day_of(begun_ms), [0, 0])
        sums[0] += active
        sums[1] += is_prompt
    return days


def turns_of(moments: Iterable[Moment]) -> Iterator[tuple[int, int, bool]]:
    """Return turns, in order of time: when each began, how long it took, whether a prompt began it.

    As long as Claude Code says that it took, else its pauses of at most five minutes.
    """
    gaps = told = 0
    begun: int | None = None
    before, prompt = 0, False
    for at_ms, begins, duration in moments:
        gap = at_ms - before if begun is not None else 0
        if begun is None or begins:
            if begun is not None:
                yield begun, told or gaps, prompt
            begun, prompt, gaps, told = at_ms, begins, 0, 0
        gaps += gap if gap <= PAUSE_MOST_MS else 0
        told += duration
        before = at_ms
    if begun is not None:
        yield begun, told or gaps, prompt
