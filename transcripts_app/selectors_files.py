"""Files that a session changed, and any of them at any of its moments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import connections
from django.db.models import Count, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from transcripts_app.archive.models import Record, Session, ToolCall
from transcripts_app.archive.router import ARCHIVE
from transcripts_app.format.lines import LineBad
from transcripts_app.format.record import blocks_of
from transcripts_app.format.tools import result_text
from transcripts_app.insight.events import GIT_CHANGING, Event, command_event, event_of
from transcripts_app.insight.timemachine import Step, replay
from transcripts_app.store import RawLines

CHANGES = ("write", "edit")
EVENTS_MOST = 3000  # reads and changes of one file that are followed
RAW_MOST = 96 * 2**20  # bytes of raw lines that are read for one file
LINE_MOST = 16 * 2**20  # of one record
COMMANDS_MOST = 300
FILES_MOST = 1000


@dataclass(slots=True)
class FileLine:
    """A file that a session changed, with what was done to it."""

    path: str
    call: int  # one of its calls, for addresses
    changes: int
    failed: int
    added: int
    removed: int
    first_ms: int | None
    last_ms: int | None


@dataclass(slots=True)
class StepLine:
    """A stop of the slider: what happened to the file there, without its content."""

    number: int
    call: ToolCall
    verb: str
    note: str
    is_outside: bool
    is_doubtful: bool


@dataclass(slots=True)
class FileView:
    """A file's stops, and the chosen one with its contents. `is_cut`: more happened than was read."""

    path: str
    steps: list[StepLine] = field(default_factory=list)
    chosen: Step[ToolCall] | None = None
    place: int = 0  # of the chosen one, from 1
    failed: int = 0
    is_cut: bool = False


def session_calls(session: Session) -> QuerySet[ToolCall]:
    """Return a session's calls, and those before its fork, which the archive keeps with the first session."""
    copies = Record.objects.filter(session=session, copy_of__isnull=False).values("copy_of")
    return ToolCall.objects.filter(Q(session=session) | Q(record__in=copies))


def files_changed(session: Session) -> list[FileLine]:
    """Return the files that a session changed, most changes first; reads alone do not count."""
    rows = (
        session_calls(session)
        .filter(operation__in=CHANGES)
        .exclude(path="")
        .values("path")
        .annotate(
            call=Max("pk"),
            changes=Count("pk", filter=Q(is_error=False, result__isnull=False)),
            failed=Count("pk", filter=Q(is_error=True)),
            added=Sum("lines_added", filter=Q(is_error=False), default=0),
            removed=Sum("lines_removed", filter=Q(is_error=False), default=0),
            first_ms=Min("started_ms"),
            last_ms=Max("started_ms"),
        )
        .order_by("-changes", "path")
    )
    return [FileLine(**row) for row in rows[:FILES_MOST]]


def file_view(session: Session, path: str, at: int | None = None, place: int | None = None) -> FileView:
    """Follow a file through a session; the stop at record `at`, else the one with number `place`, else the
    last one, comes with its contents."""
    view = FileView(path)
    calls = session_calls(session)
    view.failed = calls.filter(path=path, operation__in=CHANGES, is_error=True).count()
    found = [*calls_in_order(calls.filter(path=path)), *_commands(session, path)]
    found.sort(key=lambda call: (call.ended_ms or call.started_ms or 0, call.pk))
    budget = Budget()
    for step in replay(events_read(found, path, budget)):
        if not step.is_shown:
            continue
        number = len(view.steps) + 1
        verb = "outside" if step.event.verb == "read" else step.event.verb
        view.steps.append(
            StepLine(number, step.origin, verb, step.event.note, step.is_outside, step.is_doubtful)
        )
        fits = step.origin.record_id == at if at is not None else number == place
        if fits or not view.place:
            view.chosen = step
        if fits:
            view.place = number
    view.place = view.place or len(view.steps)
    view.is_cut = budget.is_spent
    return view


def calls_in_order(calls: QuerySet[ToolCall]) -> list[ToolCall]:
    """Return the calls on a file that went well, in the order in which they took effect; the newest ones
    where there are more than are followed."""
    wanted = calls.filter(is_error=False, result__isnull=False, operation__in=("read", *CHANGES))
    related = wanted.select_related("record", "result", "session__project")
    order = Coalesce("ended_ms", "started_ms")
    return list(related.order_by(order.desc(nulls_last=True), "-pk")[:EVENTS_MOST])[::-1]


@dataclass(slots=True)
class Budget:
    """How many raw bytes may still be read."""

    left: int = RAW_MOST
    is_spent: bool = False

    def take(self, size: int) -> bool:
        self.left -= size
        self.is_spent = self.is_spent or self.left < 0
        return self.left >= 0


def events_read(calls: Iterable[ToolCall], path: str, budget: Budget) -> Iterator[tuple[ToolCall, Event]]:
    """Yield what each call tells of the file, until the budget is spent."""
    lines = RawLines()
    for call in calls:
        records = [call.record, *([call.result] if call.result is not None and call.operation else [])]
        if not budget.take(sum(record.length for record in records)):
            return
        event = _event(lines, call, path)
        if event is not None:
            yield call, event


def _event(lines: RawLines, call: ToolCall, path: str) -> Event | None:
    if call.record.length > LINE_MOST or (call.result is not None and call.result.length > LINE_MOST):
        return Event("edit") if call.operation in CHANGES else None  # what it left is not known
    given = call_input(lines, call)
    if not call.operation:
        command = given.get("command")
        return command_event(command, path) if isinstance(command, str) else None
    told, text = call_result(lines, call)
    return event_of(call.name, given, told, text)


def call_input(lines: RawLines, call: ToolCall) -> dict[str, Any]:
    """Return what a call was given; nothing for a line that cannot be read."""
    for block in _blocks(lines, call.record):
        if block.get("id") == call.tool_use_id and isinstance(block.get("input"), dict):
            return dict(block["input"])
    return {}


def call_result(lines: RawLines, call: ToolCall) -> tuple[Any, str]:
    """Return a call's toolUseResult and the text of its result.

    One record may hold several results; then toolUseResult cannot be theirs alone, and is left out.
    """
    if call.result is None:
        return None, ""
    results = [block for block in _blocks(lines, call.result) if block.get("type") == "tool_result"]
    text = next(
        (result_text(one.get("content")) for one in results if one.get("tool_use_id") == call.tool_use_id), ""
    )
    return (lines.json(call.result).get("toolUseResult") if len(results) == 1 else None), text


def _blocks(lines: RawLines, record: Record) -> list[dict[str, Any]]:
    try:
        message = lines.json(record).get("message")
    except LineBad:
        return []
    return blocks_of(message.get("content")) if isinstance(message, dict) else []


def _commands(session: Session, path: str) -> list[ToolCall]:
    """Return shell calls that name the file, or have git change the working tree, by the search index."""
    name = path.rstrip("/").rpartition("/")[2]
    if not any(letter.isalnum() for letter in name):
        return []
    sessions = {session.pk, *filter(None, [session.forked_from_id])}
    phrase = '"' + name.replace('"', '""').replace("\0", "") + '"'
    whose = " OR ".join(f"s{number}" for number in sorted(sessions))
    git = " OR ".join(f'"{verb}"' for verb in sorted(GIT_CHANGING))
    wanted = f"facets : (tbash AND ({whose})) AND body : ({phrase} OR (git AND ({git})))"
    with connections[ARCHIVE].cursor() as cursor:
        cursor.execute(
            "SELECT rowid FROM archive_search WHERE archive_search MATCH %s ORDER BY rowid DESC LIMIT %s",
            [wanted, COMMANDS_MOST],
        )
        found = [row[0] for row in cursor.fetchall()]
    calls = session_calls(session).filter(record__in=found, name="Bash")
    return list(calls.select_related("record", "result", "session__project"))
