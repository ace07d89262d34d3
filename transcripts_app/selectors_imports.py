"""What pages and API tell of sources, of what was read, and of lines that are none."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import zstandard
from django.conf import settings
from django.db.models import Count as Counted
from django.db.models import Q, QuerySet, Sum

from sparkweb.accounts.models import Role, User
from transcripts_app.access import projects_visible
from transcripts_app.archive.models import (
    BadLine,
    ImportFile,
    ImportRun,
    RawBlock,
    Source,
    TranscriptFile,
    moment,
)
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.state import state_read
from transcripts_app.models_requests import TranscriptSource

RUNS_SHOWN = 15
LINE_SHOWN = 400


@dataclass
class SourceRow:
    """A source with what was read of it."""

    source: TranscriptSource
    state: str  # reads, follows, waits, problem, disabled
    problem: str = ""
    seen_at: datetime | None = None
    files: int = 0
    gone: int = 0
    refused: int = 0
    bad_lines: int = 0
    bytes: int = 0
    sessions: int = 0
    reading: dict[str, Any] | None = None

    @property
    def percent(self) -> int | None:
        """How far the first reading is."""
        told = self.reading
        return min(100, 100 * told["bytes_done"] // told["bytes"]) if told and told.get("bytes") else None


@dataclass
class RunRow:
    """A run with its totals."""

    run: ImportRun
    count: Count
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def types(self) -> list[tuple[str, int]]:
        """Records by type, most first. Pairs: of a mapping a template would take a type called `items`."""
        return self.count.by_type.most_common()

    @property
    def unknown(self) -> list[tuple[str, int]]:
        """The same for types that are not known."""
        return self.count.unknown.most_common()


@dataclass
class FileRow:
    """A file with what one run read of it."""

    file: TranscriptFile
    count: Count


@dataclass
class BadRow:
    """A line that is no record, with its bytes as text."""

    bad: BadLine
    text: str
    cut: bool


@dataclass
class FilePage:
    """Everything about one file."""

    file: TranscriptFile
    bad: list[BadRow]
    bad_more: int
    runs: list[RunRow] = field(default_factory=list)
    unknown: list[tuple[str, int]] = field(default_factory=list)
    types: list[tuple[str, int]] = field(default_factory=list)


def sources_visible(user: User) -> QuerySet[TranscriptSource]:
    """All sources for admins, else one's own."""
    rows = TranscriptSource.objects.filter(removed_at=None).select_related("owner")
    return rows if user.has_role(Role.ADMIN) else rows.filter(owner=user)


def source_rows(user: User) -> list[SourceRow]:
    """Each source that a user may see, with what was read of it and how it is."""
    state = state_read(settings.ARCHIVE_PATH)
    known = {(one.node, one.root): one for one in Source.objects.all()}
    return [_source_row(row, known.get((row.node, row.path)), state) for row in sources_visible(user)]


def _source_row(row: TranscriptSource, archived: Source | None, state: dict[str, Any]) -> SourceRow:
    out = SourceRow(row, "waits", problem=row.problem, seen_at=row.seen_at)
    if archived is not None:
        files = TranscriptFile.objects.filter(source=archived)
        told = files.aggregate(
            files=Counted("pk"),
            gone=Counted("pk", filter=Q(gone_ms__isnull=False)),
            refused=Counted("pk", filter=~Q(problem="")),
            bad_lines=Sum("bad_lines"),
            bytes=Sum("read_to"),
            sessions=Counted("session", distinct=True),
        )
        for name, value in told.items():
            setattr(out, name, value or 0)
        out.seen_at = out.seen_at or moment(archived.seen_ms)
    local = state.get("sources", {}).get(str(row.pk)) if state.get("alive") else None
    if local:
        out.problem = local.get("problem", "")
        out.seen_at = moment(local.get("seen_ms") or None) or out.seen_at
    reading = state.get("reading") if state.get("alive") else None
    if reading and reading.get("source") == row.pk:
        out.reading = reading
    out.state = _word(row, out, local)
    return out


def _word(row: TranscriptSource, out: SourceRow, local: dict[str, Any] | None) -> str:
    if not row.enabled:
        return "disabled"
    if out.problem:
        return "problem"
    if out.reading:
        return "reads"
    if row.node != settings.NODE_NAME:
        return "follows" if out.files or out.seen_at else "waits"
    return "follows" if local and local.get("read") else "waits"


def archive_state() -> dict[str, Any]:
    """What the archive process is at."""
    return state_read(settings.ARCHIVE_PATH)


def run_rows(before: int | None = None, limit: int = RUNS_SHOWN) -> list[RunRow]:
    """Runs, newest first."""
    rows = ImportRun.objects.order_by("-pk")
    if before is not None:
        rows = rows.filter(pk__lt=before)
    return [run_row(run) for run in rows[:limit]]


def run_row(run: ImportRun) -> RunRow:
    """One run with its totals."""
    return RunRow(run, Count.from_json(run.totals), moment(run.started_ms), moment(run.ended_ms))


def run_files(run: ImportRun) -> QuerySet[ImportFile]:
    """What a run read, file by file."""
    return ImportFile.objects.filter(run=run).select_related("file__source", "file__session").order_by("pk")


def file_row(row: ImportFile) -> FileRow:
    """One file of a run."""
    return FileRow(row.file, Count.from_json(row.count))


def file_visible(user: User, number: int) -> TranscriptFile | None:
    """A file that a user may see: an admin any, others those of sessions in projects they see."""
    rows = TranscriptFile.objects.select_related("source", "session")
    file = rows.filter(pk=min(number, 2**62)).first()
    visible = projects_visible(user)
    if file is None or visible is None:
        return file
    return file if file.session is not None and file.session.project_id in visible else None


def file_page(file: TranscriptFile, most: int = 50) -> FilePage:
    """A file with its bad lines, its runs, and the types of its records."""
    bad = BadLine.objects.filter(file=file).order_by("-generation", "line")
    page = FilePage(file, [_bad_row(one) for one in bad[:most]], max(0, bad.count() - most))
    total = Count()
    for row in ImportFile.objects.filter(file=file).select_related("run").order_by("-pk")[:30]:
        count = Count.from_json(row.count)
        total.add(count)
        page.runs.append(RunRow(row.run, count, moment(row.run.started_ms), moment(row.run.ended_ms)))
    page.unknown, page.types = total.unknown.most_common(), total.by_type.most_common()
    return page


def bad_bytes(bad: BadLine, most: int | None = None) -> bytes:
    """The bytes of a bad line as they were, with its newline; empty where they are no longer kept."""
    block = (
        RawBlock.objects.filter(file_id=bad.file_id, generation=bad.generation, start__lte=bad.start)
        .order_by("-start")
        .first()
    )
    if block is None:
        return b""
    data = zstandard.decompress(block.data, max_output_size=block.length)
    at = bad.start - block.start
    return data[at : at + (bad.length if most is None else min(most, bad.length))]


def _bad_row(bad: BadLine) -> BadRow:
    data = bad_bytes(bad, LINE_SHOWN)
    text = data.rstrip(b"\r\n").decode(errors="backslashreplace").replace("\0", "\\x00")
    return BadRow(bad, text, bad.length > LINE_SHOWN)
