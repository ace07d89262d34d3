"""Drawing records for a page: raw lines, calls with results, sub-agents, copies, and what folds away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from django.db.models import Q

from transcripts_app.archive.models import Record, Session, ToolCall, TranscriptFile
from transcripts_app.format.kinds import READ, Kind
from transcripts_app.format.lines import LineBad
from transcripts_app.format.record import blocks_of
from transcripts_app.redaction.display import mask_of
from transcripts_app.render.record import record_view
from transcripts_app.render.view import Part, RecordView
from transcripts_app.store import RawLines
from transcripts_app.thread import Window

LINE_MOST = 2 * 2**20  # bytes of a line that a page parses unasked
RESULT_MOST = 256 * 2**10
NOTES_MOST = 200
QUIET_SYSTEM = ("stop_hook_summary", "bridge_status", "turn_duration")
QUIET_ATTACHMENTS = ("hook_", "deferred_tools", "task_reminder", "todo_reminder", "critical_system_reminder")


@dataclass(slots=True)
class Agent:
    """A sub-agent below the call that started it."""

    file: TranscriptFile
    opened: int | None = None  # the window of it that shows at once

    @property
    def kind(self) -> str:
        value = self.file.meta.get("agentType") if isinstance(self.file.meta, dict) else ""
        return value if isinstance(value, str) else ""

    @property
    def description(self) -> str:
        value = self.file.meta.get("description") if isinstance(self.file.meta, dict) else ""
        return value if isinstance(value, str) else ""


@dataclass(slots=True)
class Notes:
    """Records that say nothing to a reader unasked: lines `first` to `last` of a file, counted by kind."""

    file: int
    first: int
    last: int
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def words(self) -> str:
        return ", ".join(f"{count} {_noun(name, count)}" for name, count in self.kinds.items())


@dataclass(slots=True)
class Row:
    """A record as a page draws it, and what hangs on it."""

    record: Record | None
    view: RecordView | None
    calls: list[ToolCall] = field(default_factory=list)
    agents: list[Agent] = field(default_factory=list)
    notes: Notes | None = None
    asides: Notes | None = None  # messages that a rewind left behind
    origin: Session | None = None  # whose record this one copies
    output: int | None = None  # the Record of a large output that lies in a file

    @property
    def is_error(self) -> bool:
        return bool(self.record and self.record.is_error) or any(call.is_error for call in self.calls)

    @property
    def edits(self) -> bool:
        return any(call.operation in ("write", "edit") for call in self.calls)


@dataclass(slots=True)
class Drawn:
    """Rows of a window; `elsewhere`: records outside it whose calls got their result in it."""

    rows: list[Row]
    elsewhere: list[int] = field(default_factory=list)


class Reader:
    """Draws records of one session for one request: it keeps unpacked blocks.

    Records that a rewind left behind fold away unless `asides`; `opened` are sub-agents that show at
    once, each at a window.
    """

    def __init__(
        self, session: Session, *, asides: bool = False, opened: dict[int, int] | None = None
    ) -> None:
        self.session, self.asides, self.opened = session, asides, opened or {}
        self.lines = RawLines()
        self.mask = mask_of(session)

    def window(self, window: Window) -> Drawn:
        """Draw one window."""
        records = Record.objects.filter(
            file=window.file, line__gte=window.first, line__lte=window.last
        ).order_by("line", "pk")
        return self.draw(list(records))

    def draw(self, records: list[Record], *, all_kinds: bool = False) -> Drawn:
        """Draw records in their order; unless `all_kinds`, what is no reading folds into notes."""
        shown = [one for one in records if all_kinds or self._shows(one)]
        raw = self._raw(shown, LINE_MOST)
        answered, elsewhere = self._answered(shown, raw)
        calls = self._calls([one for one in shown if one.pk not in answered])
        results = self._results(calls, RESULT_MOST)
        origins = self._origins(shown)
        outputs = self._outputs(calls)
        rows: list[Row] = []
        for record in records:
            if record.pk in raw or (record.length > LINE_MOST and record in shown):
                if record.pk not in answered:
                    mine = calls.get(record.copy_of or record.pk, [])
                    view = _view(record, raw.get(record.pk), {call.tool_use_id: results[call.result_id]
                                 for call in mine if call.result_id in results}, mine)  # fmt: skip
                    agents = self._agents(mine)
                    output = next((outputs[one.result_file_id] for one in mine
                                   if one.result_file_id in outputs), None)  # fmt: skip
                    origin = origins.get(record.copy_of)
                    rows.append(Row(record, view, mine, agents, origin=origin, output=output))
            elif not record.is_twin:
                _note(rows, record, self.asides)
        return Drawn(rows, elsewhere)

    def record(self, record: Record, *, whole: bool = True) -> Row:
        """Draw one record with nothing cut and its results, however large."""
        raw = self._raw([record], None)
        calls = self._calls([record]).get(record.copy_of or record.pk, [])
        results = self._results({0: calls}, None)
        told = {call.tool_use_id: results[call.result_id] for call in calls if call.result_id in results}
        view = record_view(raw[record.pk], kind=Kind(record.kind), results=told, whole=whole)
        return Row(
            record, view, calls, self._agents(calls), origin=self._origins([record]).get(record.copy_of)
        )

    def notes(self, file: TranscriptFile, first: int, last: int, *, asides: bool = False) -> list[Row]:
        """Draw what folded away between two lines: what a rewind left behind, or all else."""
        near = Record.objects.filter(file=file, line__gte=first, line__lte=last).order_by("line", "pk")
        folded = [one for one in near[:NOTES_MOST] if not one.is_twin and is_read(one) == asides]
        if asides:
            folded = [one for one in folded if one.is_aside]
        return self.draw(folded, all_kinds=True).rows

    def _shows(self, record: Record) -> bool:
        return is_read(record) and not record.is_twin and (self.asides or not record.is_aside)

    def _agents(self, calls: list[ToolCall]) -> list[Agent]:
        files = [one.agent_file for one in calls if one.agent_file]
        for file in files:
            file.meta = self.mask.value(file.meta)
        return [Agent(file, self.opened.get(file.pk)) for file in files]

    def _raw(self, records: Iterable[Record], most: int | None) -> dict[int, dict[str, Any]]:
        """The objects of those lines that are not too long."""
        small = [one for one in records if most is None or one.length <= most]
        self.lines.load(small)
        return {one.pk: self._json(one) for one in small}

    def _json(self, record: Record) -> dict[str, Any]:
        if record.kind == Kind.RESULT_FILE:
            text = self.mask.text(self.lines.line(record).decode(errors="replace"))
            return {"type": record.type, "content": text}
        try:
            return self.mask(self.lines.json(record))
        except LineBad as error:  # it was none when it was read; say so where it stands
            return {"type": record.type, "content": f"This record {error}"}

    def _calls(self, records: Iterable[Record]) -> dict[int, list[ToolCall]]:
        """Calls by the record that was read first with them; copies have none of their own."""
        ids = [one.copy_of or one.pk for one in records if one.kind == Kind.TOOL_CALL]
        found: dict[int, list[ToolCall]] = {}
        for call in ToolCall.objects.filter(record__in=ids).select_related("agent_file").order_by("pk"):
            found.setdefault(call.record_id, []).append(call)
        return found

    def _results(
        self, calls: dict[int, list[ToolCall]], most: int | None
    ) -> dict[int | None, dict[str, Any]]:
        ids = [call.result_id for several in calls.values() for call in several if call.result_id]
        records = Record.objects.filter(pk__in=ids) if ids else []
        return cast(dict[int | None, dict[str, Any]], self._raw(records, most))

    def _answered(self, shown: list[Record], raw: dict[int, dict[str, Any]]) -> tuple[set[int], list[int]]:
        """Results that are drawn with their call; and the calls' records that are not among those shown."""
        results = [one for one in shown if one.kind == Kind.TOOL_RESULT]
        if not results:
            return set(), []
        ids = {one.pk: _tool_ids(raw.get(one.pk, {})) for one in results}
        wanted = {name for names in ids.values() for name in names}
        big = [one.copy_of or one.pk for one in results if one.pk not in raw]
        known = Q(tool_use_id__in=wanted)
        if big:
            known |= Q(session=self.session, result__in=big)
        told: dict[int, set[str]] = {}
        owners: dict[int, int] = {}
        for call in ToolCall.objects.filter(known).only("tool_use_id", "result_id", "record_id"):
            told.setdefault(call.result_id or 0, set()).add(call.tool_use_id)
            owners[call.result_id or 0] = call.record_id
        here = {one.copy_of or one.pk for one in shown}
        answered, elsewhere = set(), []
        for one in results:
            first = one.copy_of or one.pk
            if first in told and set(ids[one.pk]) <= told[first]:
                answered.add(one.pk)
                if owners[first] not in here:
                    elsewhere.append(owners[first])
        return answered, elsewhere

    def _origins(self, records: Sequence[Record]) -> dict[int | None, Session]:
        ids = [one.copy_of for one in records if one.copy_of]
        if not ids:
            return {}
        firsts = Record.objects.filter(pk__in=ids).exclude(session=self.session).select_related("session")
        found: dict[int | None, Session] = {one.pk: one.session for one in firsts if one.session}
        for session in found.values():
            session.title = self.mask.text(session.title)
        return found

    def _outputs(self, calls: dict[int, list[ToolCall]]) -> dict[int | None, int]:
        files = [one.result_file_id for several in calls.values() for one in several if one.result_file_id]
        if not files:
            return {}
        return dict(Record.objects.filter(file__in=files).values_list("file", "pk"))


def _view(
    record: Record, raw: dict[str, Any] | None, results: dict[str, dict[str, Any]], calls: list[ToolCall]
) -> RecordView:
    if raw is None:
        part = Part("too_large", {"bytes": record.length}, is_cut=True)
        return RecordView("note", "A very long record", [part])
    view = record_view(raw, kind=Kind(record.kind), results=results)
    if any(call.result_id and call.tool_use_id not in results for call in calls):
        view.parts.append(Part("too_large", {"bytes": None}, is_cut=True))
    return view


def is_read(record: Record) -> bool:
    """Whether a record is shown unasked."""
    kind = Kind(record.kind)
    if kind not in READ:
        return False
    if kind == Kind.QUEUE:
        return record.type == "attachment" or record.subtype == "remove"
    if kind == Kind.SYSTEM:
        return record.is_error or record.subtype not in QUIET_SYSTEM
    return kind != Kind.ATTACHMENT or not record.subtype.startswith(QUIET_ATTACHMENTS)


def _note(rows: list[Row], record: Record, asides: bool) -> None:
    """Fold a record into what it follows; the first ones of a window stand alone."""
    if not rows:
        rows.append(Row(None, None))
    row, fresh = rows[-1], Notes(record.file_id, record.line, record.line)
    if record.is_aside and not asides:
        row.asides = notes = row.asides or fresh
        name = "aside" if is_read(record) else ""
    else:
        row.notes = notes = row.notes or fresh
        name = Kind(record.kind).name.lower()
    notes.last = record.line
    if name:
        notes.kinds[name] += 1


def _tool_ids(record: dict[str, Any]) -> list[str]:
    message = record.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    ids = [block.get("tool_use_id") for block in blocks_of(content) if block.get("type") == "tool_result"]
    return [one for one in ids if isinstance(one, str)]


NOUNS = {
    "aside": ("message left by rewinding", "messages left by rewinding"),
    "meta": ("note to the model", "notes to the model"),
    "progress": ("line of progress", "lines of progress"),
    "snapshot": ("file snapshot", "file snapshots"), "title": ("title", "titles"),
    "state": ("state", "states"), "unknown": ("record of an unknown type", "records of unknown types"),
    "queue": ("queued text", "queued texts"), "attachment": ("attachment", "attachments"),
    "system": ("system note", "system notes"),
}  # fmt: skip


def _noun(name: str, count: int) -> str:
    one, many = NOUNS.get(name, (name.replace("_", " "), name.replace("_", " ")))
    return one if count == 1 else many
