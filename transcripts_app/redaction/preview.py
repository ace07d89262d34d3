"""What a profile would mask of a session: counts by rule, and each place with what stands around it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from transcripts_app.archive.models import Record, Session
from transcripts_app.format.lines import LineBad
from transcripts_app.format.record import blocks_of
from transcripts_app.redaction.engine import Redactor
from transcripts_app.redaction.rules import Rules
from transcripts_app.store import RawLines

RECORDS_MOST = 20_000
BYTES_MOST = 40 * 2**20
PLACES_MOST = 200
AROUND = 60
AT_ONCE = 200


@dataclass
class Place:
    """One masked thing: in which record, and the text around it, masked too."""

    record: int
    kind: str
    before: str
    placeholder: str
    after: str


@dataclass
class Preview:
    """`looked_at` of `records` were looked at: a preview stops after 40 MiB."""

    counts: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)  # different ones
    places: list[Place] = field(default_factory=list)
    records: int = 0
    looked_at: int = 0


def preview(session: Session, rules: Rules) -> Preview:
    """Say what these rules would mask of a session, its title included."""
    out, redactor = Preview(), Redactor(rules)
    words = "|".join(re.escape(rule.word) for rule in rules.rules)
    mark = re.compile(rf"\[(?:{words}) \d+\]") if words else None
    rows = Record.objects.filter(session=session, copy_of=None).order_by("file_id", "line")
    out.records, size = rows.count(), 0
    redactor.text(session.title)
    lines = RawLines()
    for row in rows[:RECORDS_MOST].iterator(chunk_size=AT_ONCE):
        if size > BYTES_MOST:
            break
        out.looked_at, size = out.looked_at + 1, size + row.length
        before = redactor.counts.total()
        try:
            masked = redactor.record(lines.json(row))
        except LineBad:
            masked = {"text": redactor.text(lines.line(row).decode(errors="replace"))}
        if mark and redactor.counts.total() > before and len(out.places) < PLACES_MOST:
            _places(row, masked, mark, out)
    out.counts = redactor.counts
    out.values = redactor.numbers.last
    return out


def _places(row: Record, masked: dict[str, Any], mark: re.Pattern[str], out: Preview) -> None:
    seen: set[str] = set()
    for text in _texts(masked):
        for found in mark.finditer(text):
            before = " ".join(text[max(0, found.start() - AROUND) : found.start()].split())
            after = " ".join(text[found.end() : found.end() + AROUND].split())
            if f"{before}{found.group()}{after}" in seen:
                continue  # toolUseResult repeats the block
            seen.add(f"{before}{found.group()}{after}")
            out.places.append(Place(row.pk, row.get_kind_display(), before, found.group(), after))
            if len(out.places) >= PLACES_MOST:
                return


def _texts(masked: dict[str, Any]) -> list[str]:
    """Texts of a record, the message's first."""
    message = masked.get("message")
    first = [_value for block in blocks_of(message.get("content") if isinstance(message, dict) else None)
             for _value in _strings(block)]  # fmt: skip
    return first + _strings({key: value for key, value in masked.items() if key != "message"})


def _strings(value: Any) -> list[str]:
    found: list[str] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, dict):
            waiting.extend(one.values())
            waiting.extend(one.keys())
        elif isinstance(one, list):
            waiting.extend(one)
    return found
