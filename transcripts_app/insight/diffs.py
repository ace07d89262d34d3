"""Two known contents of a file as one list of lines: what stayed, went and came. No Django here."""

from __future__ import annotations

from dataclasses import dataclass

from transcripts_app.insight.blame import same_stretches
from transcripts_app.insight.content import Row

CONTEXT = 3
LINE_MOST = 2000


@dataclass(frozen=True, slots=True)
class DiffRow:
    """One row. `kind`: same, gone, new, gap (unknown lines) or fold (`hidden` lines that stayed)."""

    kind: str
    old_number: int | None = None
    new_number: int | None = None
    text: str = ""
    hidden: int | None = None


def diff_rows(before: list[Row], after: list[Row], context: int = CONTEXT) -> list[DiffRow]:
    """Return a unified view; stretches that stayed are folded to `context` lines beside a change."""
    rows: list[DiffRow] = []
    old_at = new_at = 0
    old, new = [row.text for row in before], [row.text for row in after]
    stretches = same_stretches(old, new)
    for place, (old_same, new_same, length) in enumerate([*stretches, (len(old), len(new), 0)]):
        rows += [_row("gone", row, None) for row in before[old_at:old_same]]
        rows += [_row("new", None, row) for row in after[new_at:new_same]]
        same = [_row("same", before[old_same + step], after[new_same + step]) for step in range(length)]
        first = not rows and place == 0
        last = old_same + length == len(old) and new_same + length == len(new)
        rows += _folded(same, 0 if first else context, 0 if last else context)
        old_at, new_at = old_same + length, new_same + length
    return rows


def counts(rows: list[DiffRow]) -> tuple[int, int]:
    """How many lines came, and how many went."""
    return sum(row.kind == "new" for row in rows), sum(row.kind == "gone" for row in rows)


def _row(kind: str, old: Row | None, new: Row | None) -> DiffRow:
    row = new or old
    assert row is not None
    if row.text is None:
        return DiffRow("gap", hidden=row.hidden)
    return DiffRow(kind, old.number if old else None, new.number if new else None, row.text[:LINE_MOST])


def _folded(same: list[DiffRow], head: int, tail: int) -> list[DiffRow]:
    if len(same) <= head + tail + 1:
        return same
    end = len(same) - tail
    return [*same[:head], DiffRow("fold", hidden=end - head), *same[end:]]
