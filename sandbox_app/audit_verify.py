"""Read the whole chain again and say whether it holds, and where it does not.

What is looked at, in this order: the guards of the database, every entry from the first to the head
(number, link, keyed hash), what retention left out (a checkpoint must stand for it), the head, and the
copies of earlier heads in the data folder and on nodes. Rows come by a raw cursor in batches by number,
so memory stays flat and entries may be appended meanwhile.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from django.db import connection

from sandbox_app.audit import audit_key
from sandbox_app.audit_heads import HeadCopy, copies_known, macs_of
from sandbox_app.audit_triggers import triggers_missing

BATCH_ROWS = 10_000
TRIES = 4


Progress = Callable[[int, int], None]


class Row(NamedTuple):
    """One entry as the database holds it; `at` is text in UTC."""

    number: int
    at: str
    kind: str
    run_uid: str
    tool_name: str
    user_label: str
    outcome: str
    covers: int | None
    body: str
    previous: str
    mac: str


@dataclass(frozen=True)
class Fault:
    """What does not hold: at which entry (None: at none of them), which kind of fault, and a sentence."""

    number: int | None
    code: str
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """What a verification found. `rows` entries from `first` to `last` were read in `seconds`."""

    ok: bool
    rows: int
    first: int
    last: int
    head: str
    pruned_through: int
    copies: int
    seconds: float
    faults: list[Fault] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        if self.faults:
            return self.faults[0].sentence
        if not self.rows:
            return "No entry has been written yet."
        pruned = (
            f", and a checkpoint stands for those up to {self.pruned_through}" if self.pruned_through else ""
        )
        return f"All {self.rows} entries hold, up to number {self.last}{pruned}."

    def to_json(self) -> dict[str, Any]:
        """As `verify_audit --json` prints it."""
        return asdict(self) | {"sentence": self.sentence}


class Ends(NamedTuple):
    """Head, largest number, lowest number and newest checkpoint, as of one moment."""

    head: int
    head_mac: str
    highest: int
    lowest: int
    covers: int
    checkpoint: int


def chain_verify(
    progress: Progress | None = None, copies: Iterable[HeadCopy] | None = None, upto: int | None = None
) -> Verdict:
    """Verify the chain up to its head, or up to `upto` alone (then no head, copies and guards).

    `progress` is called with entries done and entries in all. Where retention prunes meanwhile, it
    begins again.
    """
    began = time.monotonic()
    for _ in range(TRIES):
        ends = ends_read()
        walk = _Walk(ends, ends.head if upto is None else upto, progress)
        fault = walk.run()
        if fault is None or ends_read().checkpoint == ends.checkpoint:
            break
    faults = [fault] if fault else []
    known = [] if upto is not None else list(copies_known() if copies is None else copies)
    if upto is None:
        faults += _head_faults(ends, walk, bool(fault)) + _copy_faults(ends, known) + _guard_faults()
    return Verdict(
        ok=not faults,
        rows=walk.rows,
        first=walk.first,
        last=walk.last,
        head=ends.head_mac,
        pruned_through=ends.covers,
        copies=len(known),
        seconds=round(time.monotonic() - began, 3),
        faults=faults,
    )


def ends_read() -> Ends:
    """Read where the chain begins and ends, in one statement and so as of one moment.

    The newest checkpoint is found by its own index: a max() would read the table back to it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce((SELECT number FROM sandbox_app_audithead WHERE id = 1), 0), "
            "coalesce((SELECT mac FROM sandbox_app_audithead WHERE id = 1), ''), "
            "coalesce((SELECT max(number) FROM sandbox_app_auditrecord), 0), "
            "coalesce((SELECT min(number) FROM sandbox_app_auditrecord), 0), "
            "coalesce((SELECT covers FROM sandbox_app_auditrecord WHERE covers IS NOT NULL "
            "ORDER BY covers DESC LIMIT 1), 0), "
            "coalesce((SELECT number FROM sandbox_app_auditrecord WHERE covers IS NOT NULL "
            "ORDER BY covers DESC LIMIT 1), 0)"
        )
        return Ends(*cursor.fetchone())


def rows_read(after: int, upto: int, batch: int = BATCH_ROWS) -> Iterator[list[Row]]:
    """Yield entries with a number above `after` in batches, oldest first.

    A text of the time is asked for: what a driver makes of it costs more than the hash.
    """
    at = (
        "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
        if connection.vendor == "postgresql"
        else "CASE length(at) WHEN 19 THEN at || '.000000' ELSE CAST(at AS text) END"
    )
    query = (
        f"SELECT number, {at}, kind, run_uid, tool_name, user_label, outcome, covers, body, previous, mac "  # noqa: S608
        "FROM sandbox_app_auditrecord WHERE number > %s AND number <= %s ORDER BY number LIMIT %s"
    )
    while True:
        with connection.cursor() as cursor:
            cursor.execute(query, [after, upto, batch])
            rows = cursor.fetchall()
        if not rows:
            return
        yield rows
        after = rows[-1][0]


class _Walk:
    """One pass over the entries."""

    def __init__(self, ends: Ends, upto: int, progress: Progress | None) -> None:
        self.ends, self.upto, self._progress = ends, upto, progress
        self.rows = self.last = 0
        self.first = ends.lowest
        self.mac = ""
        self._checkpoint = _checkpoint_read(ends.checkpoint)

    def run(self) -> Fault | None:
        """Return the first fault, or None."""
        fault = self._beginning()
        if fault:
            return fault
        expected = self.first
        total = max(0, self.upto - self.first + 1)
        for rows in rows_read(self.first - 1, self.upto) if self.first else ():
            fault = self._batch(rows, expected)
            if fault:
                return fault
            expected = self.last + 1
            if self._progress:
                self._progress(self.rows, total)
        return None

    def _beginning(self) -> Fault | None:
        """Whether the first entry may be the first: the chain's own, or what a checkpoint left."""
        lowest, covers = self.ends.lowest, self.ends.covers
        if not lowest or lowest <= 1:
            return None
        if lowest > covers + 1:
            return Fault(
                covers + 1,
                "missing",
                f"Entries {covers + 1} to {lowest - 1} are gone, and no checkpoint covers them.",
            )
        if lowest == covers + 1:
            self.mac = str(self._checkpoint.get("last_mac", ""))
        else:  # pruning has not finished: what is left of it must still lead to the checkpoint's last entry
            self.mac = _previous_of(lowest)
        return None

    def _batch(self, rows: list[Row], expected: int) -> Fault | None:
        key, digest, before = audit_key(), hmac.digest, self.mac
        covers = self.ends.covers
        for row in rows:
            number, at, kind, run, tool, user, outcome, cover, body, previous, mac = row
            if number != expected:
                return Fault(expected, "missing", _missing(expected, number - 1))
            message = (
                f"{previous}\n{number}\n{at}\n{kind}\n{run}\n{tool}\n{user}\n{outcome}\n"
                f"{'' if cover is None else cover}\n{body}"
            )
            if digest(key, message.encode("utf-8", "surrogatepass"), "sha256").hex() != mac:
                return Fault(number, "changed", _changed(number, self.first))
            if previous != before:
                return Fault(number, "order", f"Entry {number} does not follow the one before it.")
            if number == covers and mac != self._checkpoint.get("last_mac"):
                return Fault(
                    number, "checkpoint", f"Entry {number} is not the one that checkpoint pruned up to."
                )
            before = mac
            expected += 1
        self.rows += len(rows)
        self.last, self.mac = expected - 1, before
        return None


def _missing(first: int, last: int) -> str:
    return f"Entry {first} is gone." if first == last else f"Entries {first} to {last} are gone."


def _changed(number: int, first: int) -> str:
    if number == first:
        return (
            f"Entry {number} was changed or forged, or the file audit_key in the data folder is not the one "
            "that this chain was written with."
        )
    return f"Entry {number} was changed or forged."


def _previous_of(number: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT previous FROM sandbox_app_auditrecord WHERE number = %s", [number])
        found = cursor.fetchone()
    return found[0] if found else ""


def _checkpoint_read(number: int) -> dict[str, Any]:
    from sandbox_app.models_audit import AuditRecord

    record = AuditRecord.objects.filter(number=number).first() if number else None
    content = record.content if record else {}
    return content if record and content.get("through") == record.covers else {}


def _head_faults(ends: Ends, walk: _Walk, broken: bool) -> list[Fault]:
    if ends.highest > ends.head:
        number = ends.head + 1
        return [
            Fault(
                number, "inserted", f"Entry {number} stands behind the head, at {ends.head}: it was forged."
            )
        ]
    if broken:
        return []
    if walk.last < ends.head:
        sentence = f"{_missing(walk.last + 1, ends.head)[:-1]}: the end was cut off."
        return [Fault(walk.last + 1, "truncated", sentence)]
    if ends.head and walk.mac != ends.head_mac:
        return [Fault(ends.head, "head", f"Entry {ends.head} is not the one that the head names.")]
    return []


def _copy_faults(ends: Ends, copies: list[HeadCopy]) -> list[Fault]:
    """Each copy of an earlier head names an entry that must be there, with that very hash."""
    ahead = [copy for copy in copies if copy.number > ends.head]
    if ahead:
        copy = max(ahead, key=lambda one: one.number)
        return [
            Fault(
                ends.head + 1,
                "rolled_back",
                f"The chain ends at {ends.head}, but {copy.source} holds its head at {copy.number}: "
                f"entries from {ends.head + 1} on were cut off, or an old backup was restored.",
            )
        ]
    macs = macs_of([copy.number for copy in copies])
    for copy in sorted(copies, key=lambda one: one.number):
        if macs.get(copy.number, copy.mac) != copy.mac:
            sentence = (
                f"Entry {copy.number} is not the one that {copy.source} holds: the chain was written anew "
                "from there or before, as after the restore of an old backup."
            )
            return [Fault(copy.number, "rewritten", sentence)]
    return []


def _guard_faults() -> list[Fault]:
    missing = triggers_missing(connection)
    if not missing:
        return []
    return [Fault(None, "guard", f"The database no longer refuses changes: missing {', '.join(missing)}.")]
