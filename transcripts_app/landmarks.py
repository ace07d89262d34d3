"""Where things stand in a session: landmarks for its outline, the next of a kind, the place of a record."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet, Sum
from django.db.models.expressions import Combinable

from transcripts_app.archive.models import Record, Session, ToolCall
from transcripts_app.format.kinds import READ, Kind
from transcripts_app.format.record import blocks_of, uid_of
from transcripts_app.redaction.display import mask_of
from transcripts_app.store import RawLines
from transcripts_app.thread import Thread, agents_of, thread_of

LANDMARKS_MOST = 300
DEPTH_MOST = 10
CHANGES = ("write", "edit")
PROMPTS = Q(kind=Kind.PROMPT) | Q(kind=Kind.QUEUE, type="attachment")
COMPACTIONS = Q(kind=Kind.COMPACT_BOUNDARY)
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]?")
JUMPS = ("prompt", "error", "file", "compaction")


@dataclass(frozen=True)
class Place:
    """Where a record stands: a window of the thread, and which sub-agents must be open, at which window."""

    window: int
    opened: dict[int, int] = field(default_factory=dict)


def place_of(session: Session, record: Record) -> Place | None:
    """Return where a record of a session shows; None where it shows nowhere, as titles elsewhere."""
    thread, opened = thread_of(session), dict[int, int]()
    for _ in range(DEPTH_MOST):
        window = thread.window_of(record)
        if window is not None:
            return Place(window, opened)
        if record.file.role != "agent" or record.file_id in opened:
            return None
        opened[record.file_id] = Thread(session, [record.file]).window_of(record) or 0
        call = ToolCall.objects.filter(session=session, agent_file=record.file_id).order_by("pk").first()
        if call is None:
            return Place(max(0, thread.windows - 1), opened)
        record = Record.objects.select_related("file").get(pk=call.record_id)
    return None


def record_of(session: Session, text: str) -> Record | None:
    """Return a record of a session by its number in the archive or by its uuid."""
    records = Record.objects.filter(session=session).select_related("file")
    number = whole_number(text)
    if number is not None:
        return records.filter(pk=number).first()
    uid = uid_of(text) if len(text) <= 200 else None
    return records.filter(uid=uid).order_by("pk").first() if uid else None


def whole_number(text: str) -> int | None:
    """Return a number of at most 15 digits; None for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


def records_of(thread: Thread) -> QuerySet[Record]:
    """Return the records of a thread in reading order."""
    return Record.objects.filter(file__in=[file.pk for file in thread.files]).order_by("file", "line", "pk")


def jump(
    thread: Thread, start: Record, kind: str, *, back: bool = False, asides: bool = False
) -> Record | None:
    """Return the next record of a kind behind `start` (before it, with `back`); None at the end.

    What a rewind left behind is passed over unless `asides`.
    """
    records = records_of(thread).filter(_kind(kind), is_twin=False)
    if not asides:
        records = records.filter(is_aside=False)
    here, beyond = Q(file=start.file_id), Q(file__gt=start.file_id)
    if back:
        earlier = Q(line__lt=start.line) & here | Q(file__lt=start.file_id)
        return records.filter(earlier).order_by("-file", "-line", "-pk").first()
    return records.filter(Q(line__gt=start.line) & here | beyond).first()


def _kind(kind: str) -> Combinable | Q:
    if kind == "prompt":
        return PROMPTS
    if kind == "compaction":
        return COMPACTIONS
    calls = ToolCall.objects.filter(record=OuterRef("pk"))
    if kind == "error":
        return Q(is_error=True) & ~Q(kind=Kind.TOOL_RESULT) | Exists(calls.filter(is_error=True))
    return Q(kind=Kind.TOOL_CALL) & Exists(calls.filter(operation__in=CHANGES))


def landmarks(
    thread: Thread, kind: str = "", text: str = "", after: int = 0
) -> tuple[list[dict[str, Any]], bool]:
    """Return prompts, compactions and errors in order, and whether there are more behind them.

    `kind` narrows to prompts or errors; `text` is looked for in what they say.
    """
    wanted = {"prompt": PROMPTS, "error": Q(is_error=True)}.get(
        kind, PROMPTS | COMPACTIONS | Q(is_error=True)
    )
    records = records_of(thread).filter(wanted, is_aside=False, is_twin=False)
    if text:
        records = records.filter(preview__icontains=text)
    fields = ("pk", "kind", "preview", "is_error", "at_ms", "file", "line", "tool", "copy_of")
    found = list(records.values(*fields)[after : after + LANDMARKS_MOST + 1])
    mask = mask_of(thread.session)
    for one in found:
        one["preview"] = mask.text(COLOURS.sub("", one["preview"]))
        one["is_prompt"] = not one["is_error"] and one["kind"] != Kind.COMPACT_BOUNDARY
    return found[:LANDMARKS_MOST], len(found) > LANDMARKS_MOST


def asides_count(thread: Thread) -> int:
    """Return how many messages of a thread a rewind left behind."""
    return records_of(thread).filter(is_aside=True, kind__in=READ, is_twin=False).order_by().count()


def files_changed(session: Session, text: str = "") -> list[dict[str, Any]]:
    """Return the files that a session wrote or edited, most often first; `record` is the first time."""
    calls = ToolCall.objects.filter(session=session, operation__in=CHANGES).exclude(path="")
    if text:
        calls = calls.filter(path__icontains=text)
    sums = calls.values("path").annotate(
        times=Count("pk"), added=Sum("lines_added"), removed=Sum("lines_removed"), record=Min("record"),
        failed=Count("pk", filter=Q(is_error=True)),
    )  # fmt: skip
    mask = mask_of(session)
    rows = sums.order_by("-times", "path")[:LANDMARKS_MOST]
    return [{**one, "path": mask.text(one["path"])} for one in rows]


def todo(session: Session) -> tuple[int, list[dict[str, str]]] | None:
    """Return the last list of things to do: its record, and (content, status) each. None for none."""
    calls = ToolCall.objects.filter(session=session, name="TodoWrite", record__is_sidechain=False)
    call = calls.select_related("record").order_by("-pk").first()
    if call is None:
        return None
    raw = mask_of(session)(RawLines().json(call.record))
    message = raw.get("message")
    blocks = blocks_of(message.get("content") if isinstance(message, dict) else None)
    given = next((block.get("input") for block in blocks if block.get("id") == call.tool_use_id), None)
    items = given.get("todos") if isinstance(given, dict) else None
    rows = [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []
    return call.record_id, [
        {"content": str(one.get("content", "")), "status": str(one.get("status", ""))} for one in rows
    ]


def agents(session: Session) -> list[dict[str, Any]]:
    """Return a session's sub-agents, each with the record whose call started it, where that is known."""
    calls = dict(
        ToolCall.objects.filter(session=session, agent_file__isnull=False).values_list("agent_file", "record")
    )
    return [{"file": file, "record": calls.get(file.pk)} for file in agents_of(session)[:LANDMARKS_MOST]]
