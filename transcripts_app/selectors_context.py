"""What filled the context window of a session or of one of its sub-agents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.core.cache import cache
from django.db.models import F, QuerySet

from transcripts_app.archive.models import Record, Response, Session, ToolCall, TranscriptFile
from transcripts_app.format.kinds import Kind
from transcripts_app.format.lines import LineBad
from transcripts_app.format.tree import Node
from transcripts_app.insight.measure import record_parts
from transcripts_app.insight.waterfall import Piece, Turn, turns
from transcripts_app.selectors_files import session_calls
from transcripts_app.store import RawLines

LINE_MOST = 8 * 2**20  # of a record whose characters are counted; longer ones count by their bytes
SILENT = (Kind.PROGRESS, Kind.SNAPSHOT, Kind.STATE, Kind.TITLE, Kind.SYSTEM, Kind.PULL_REQUEST, Kind.UNKNOWN)
CACHE_SECONDS = 600
RECORDS_AT_ONCE = 500
COLUMNS = ("file_id", "block_id", "start", "length", "kind", "at_ms", "response")


@dataclass(slots=True)
class Waterfall:
    """The turns of one file: of the session itself, or of a sub-agent."""

    file: TranscriptFile
    turns: list[Turn] = field(default_factory=list)

    @property
    def peak(self) -> int:
        return max((turn.window for turn in self.turns), default=0)

    @property
    def compactions(self) -> int:
        return sum(turn.is_compacted for turn in self.turns)


def files_read(session: Session) -> list[TranscriptFile]:
    """Return the files that hold responses: the session's own first, then its sub-agents'."""
    files = session.files.filter(role__in=("session", "agent")).order_by("pk")
    return sorted(files, key=lambda file: (file.role != "session", file.pk))


def waterfall(session: Session, file: TranscriptFile) -> Waterfall:
    """Return what filled the window of one file's responses on its active path.

    Read once per change of the session: it takes every raw line of the file.
    """
    key = f"transcript-context:{session.key}:{file.pk}:{session.changed_ms}:{file.read_to}"
    kept = cache.get(key)
    if kept is None:
        kept = [
            (turn.record, turn.at_ms, turn.window, turn.parts, turn.added, turn.dropped, turn.is_compacted)
            for turn in turns(_pieces(session, file), _windows(file))
        ]
        cache.set(key, kept, CACHE_SECONDS)
    return Waterfall(file, [Turn(*one) for one in kept])


def file_records(file: TranscriptFile) -> QuerySet[Record]:
    """Return the records of a file as it is now, in its order."""
    return Record.objects.filter(file=file, generation=file.generation).order_by("line")


def nodes_of(records: QuerySet[Record]) -> list[Node]:
    """Return records as nodes of the tree, in their order."""
    rows = records.values_list("pk", "uid", "parent_uid", "logical_parent_uid", "kind")
    return [
        Node(pk, _uid(uid), _uid(parent), _uid(logical), is_prompt=kind == Kind.PROMPT)
        for pk, uid, parent, logical, kind in rows.iterator(chunk_size=2000)
    ]


def _uid(value: bytes | memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)


def _windows(file: TranscriptFile) -> dict[int, int]:
    ids = file_records(file).exclude(response=None).values("response")
    tokens = (
        F("input_tokens") + F("cache_read_tokens") + F("cache_write_5m_tokens") + F("cache_write_1h_tokens")
    )
    rows = Response.objects.filter(pk__in=ids, is_synthetic=False).annotate(window=tokens)
    return dict(rows.values_list("pk", "window"))


def _pieces(session: Session, file: TranscriptFile) -> Iterator[Piece]:
    tools = dict(session_calls(session).values_list("tool_use_id", "name"))
    records = file_records(file).exclude(kind__in=SILENT).filter(is_aside=False, is_twin=False)
    lines = RawLines()
    for record in records.only(*COLUMNS).iterator(chunk_size=RECORDS_AT_ONCE):
        kind = Kind(record.kind)
        parts = _parts(lines, record, kind, tools)
        yield Piece(record.pk, record.at_ms, parts, record.response, kind is Kind.COMPACT_BOUNDARY)


def _parts(lines: RawLines, record: Record, kind: Kind, tools: dict[str, str]) -> dict[str, int]:
    if record.length > LINE_MOST:
        return {"unseen": record.length}
    try:
        return record_parts(lines.json(record), kind, tools)
    except LineBad:
        return {}


def agent_calls(session: Session) -> dict[int, ToolCall]:
    """Return the call that started each sub-agent, by its file."""
    calls = session_calls(session).filter(agent_file__isnull=False).select_related("record")
    return {call.agent_file_id: call for call in calls if call.agent_file_id is not None}
