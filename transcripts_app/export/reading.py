"""A session as an export reads it: its files in order, records by batches, calls with their results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from transcripts_app.archive.models import Record, Session, ToolCall, TranscriptFile
from transcripts_app.format.kinds import READ, Kind
from transcripts_app.format.lines import LineBad
from transcripts_app.redaction.engine import Redactor
from transcripts_app.store import RawLines

BATCH_RECORDS = 100
ROLES = {"session": "s", "agent": "a", "result": "o", "journal": "j"}


@dataclass
class Section:
    """One file of a session. `name` is short and made by us: s1, a2, o1."""

    name: str
    file: TranscriptFile
    title: str


@dataclass
class Line:
    """A record of a section: its row, its object (masked where the export masks), what it calls."""

    row: Record
    record: dict[str, Any]
    calls: list[ToolCall] = field(default_factory=list)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_drawn_above: bool = False  # a result that stands with its call


class SessionReader:
    """One session, read once; memory is that of one batch."""

    def __init__(self, session: Session, redactor: Redactor | None = None) -> None:
        self.session, self.redactor = session, redactor
        self.lines = RawLines()
        self.sections = self._sections()
        self.by_file = {section.file.pk: section for section in self.sections}

    def text(self, text: str) -> str:
        """A title or path, masked where the export masks."""
        return self.redactor.text(text) if self.redactor and text else text

    @property
    def title(self) -> str:
        return self.text(self.session.title) or "(no title)"

    def read(self, section: Section) -> Iterator[Line]:
        """Yield the records of a section in the file's order."""
        rows = Record.objects.filter(file=section.file, generation=section.file.generation).order_by("line")
        above: set[int] = set()
        batch: list[Record] = []
        for row in rows.iterator(chunk_size=BATCH_RECORDS):
            batch.append(row)
            if len(batch) == BATCH_RECORDS:
                yield from self._batch(batch, above)
                batch = []
        yield from self._batch(batch, above)

    def read_page(self, section: Section, first: int, count: int) -> Iterator[Line]:
        """Yield some records of a section: `count` of them, from the one at `first` on."""
        rows = Record.objects.filter(file=section.file, generation=section.file.generation).order_by("line")
        yield from self._batch(list(rows[first : first + count]), set())

    def object(self, row: Record) -> dict[str, Any]:
        """A record's object, masked where the export masks."""
        if row.kind == Kind.RESULT_FILE:
            text = self.lines.line(row).decode(errors="replace")
            record: dict[str, Any] = {"type": row.type, "text": text}
        else:
            try:
                record = self.lines.json(row)
            except LineBad:
                record = {"type": row.type}
        return self.redactor.record(record) if self.redactor else record

    def _batch(self, batch: list[Record], above: set[int]) -> Iterator[Line]:
        calls: dict[int, list[ToolCall]] = {}
        # A copy has the calls of the record that was read first.
        first = [row.copy_of or row.pk for row in batch]
        for call in ToolCall.objects.filter(record__in=first).select_related("result").order_by("pk"):
            calls.setdefault(call.record_id, []).append(call)
        for row in batch:
            mine = calls.get(row.copy_of or row.pk, [])
            line = Line(row, self.object(row), mine, is_drawn_above=(row.copy_of or row.pk) in above)
            for call in line.calls:
                if call.result is not None:
                    above.add(call.result.pk)
                    line.results[call.tool_use_id] = self.object(call.result)
            yield line

    def _sections(self) -> list[Section]:
        counts: dict[str, int] = {}
        sections = []
        files = self.session.files.filter(role__in=ROLES, read_to__gt=0)
        for file in sorted(files, key=lambda one: (list(ROLES).index(one.role), one.path)):
            letter = ROLES[file.role]
            counts[letter] = counts.get(letter, 0) + 1
            sections.append(Section(f"{letter}{counts[letter]}", file, self._title(file)))
        return sections

    def _title(self, file: TranscriptFile) -> str:
        if file.role == "session":
            return "Session"
        if file.role == "result":
            return self.text(f"Large output of {file.agent_id}")
        meta = file.meta if isinstance(file.meta, dict) else {}
        said = " · ".join(str(meta[one]) for one in ("agentType", "description") if meta.get(one))
        return self.text(said or f"Sub-agent {file.agent_id}" if file.role == "agent" else "Workflow journal")


def is_read(row: Record) -> bool:
    """Whether a reader of a page sees this record."""
    return Kind(row.kind) in READ or row.kind in (Kind.RESULT_FILE, Kind.META)
