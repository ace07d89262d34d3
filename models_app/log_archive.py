"""Logs of containers that outlive them: stored in pieces as nodes send them, paged, searched, downloaded.

The pieces may lag behind what the container has written by minutes; what is
newer comes over the live socket, and from `last_log` once a container has ended.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet, Sum

from models_app.log_chunks import (
    ChunkInvalid,
    chunk_header,
    lines_unpack,
    skipped_count,
)
from models_app.models import LaunchMember, LogChunk

log = structlog.get_logger(__name__)

PAGE_LINES = 1000
HITS_MOST = 100
# One question reads at most this many pieces (512 kB of text each); the next one goes on from there.
SEARCH_CHUNKS = 60
PRUNE_AT_ONCE = 50
_STAMPED = re.compile(r"\d{4}-\d\d-\d\dT")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


# Storing -------------------------------------------------------------------------


def chunk_store(node_name: str, body: bytes) -> bool:
    """Keep a piece that a node sends; False where it was there already.

    Raises ChunkInvalid for what is no piece, or of a container that is not the node's.
    """
    header, packed = chunk_header(body)
    lines = lines_unpack(packed)
    if len(lines) != header.lines:
        raise ChunkInvalid(f"the header says {header.lines} lines, there are {len(lines)}")
    if any("\0" in line for line in lines):
        raise ChunkInvalid("there is a NUL in it")
    member = LaunchMember.objects.filter(uid=header.member, node__name=node_name).first()
    if member is None:
        raise ChunkInvalid(f"{header.member} is no container of {node_name}")
    if LogChunk.objects.filter(member=member, number=header.number).exists():
        return False
    path = _folder(member) / f"{header.number}.gz"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(packed)
    fresh.replace(path)
    try:
        with transaction.atomic():
            LogChunk.objects.create(
                member=member,
                number=header.number,
                first_line=header.first_line,
                lines=header.lines,
                from_at=header.from_at,
                to_at=header.to_at,
                size_bytes=len(packed),
                is_last=header.last,
            )
    except IntegrityError:
        return False
    _prune(member)
    return True


def _prune(member: LaunchMember) -> None:
    """Keep each container, and all together, within their limits; the first piece of one goes last."""
    own = LogChunk.objects.filter(member=member)
    _drop(own.filter(number__gt=0).order_by("number"), _size(own) - settings.LOG_CONTAINER_MB * 10**6)
    _drop(LogChunk.objects.order_by("pk"), _size(LogChunk.objects.all()) - settings.LOG_KEEP_MB * 10**6)


def _size(rows: QuerySet[LogChunk]) -> int:
    return rows.aggregate(size=Sum("size_bytes"))["size"] or 0


def _drop(rows: QuerySet[LogChunk], excess_bytes: int) -> None:
    """Drop the first of `rows` until `excess_bytes` are free, some at a time."""
    if excess_bytes <= 0:
        return
    for row in rows.select_related("member")[:PRUNE_AT_ONCE]:
        if excess_bytes <= 0:
            return
        excess_bytes -= row.size_bytes
        row.delete()
        (_folder(row.member) / f"{row.number}.gz").unlink(missing_ok=True)


def folders_tidy() -> int:
    """Remove the folders of containers that the database does not know any more; how many."""
    root = Path(settings.DATA_DIR) / "launch-logs"
    if not root.is_dir():
        return 0
    found = {path.name: path for path in root.iterdir()}
    known = set(LaunchMember.objects.filter(uid__in=found).values_list("uid", flat=True))
    gone = [path for name, path in found.items() if name not in known]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return len(gone)


def _folder(member: LaunchMember) -> Path:
    return Path(settings.DATA_DIR) / "launch-logs" / member.uid


# Reading -------------------------------------------------------------------------


@dataclass(frozen=True)
class LogLine:
    """One line by its number, counted from the container's first; or that `skipped` lines are missing.

    `skipped` is None for a line, 0 where nobody knows how many.
    """

    line: int
    text: str
    skipped: int | None = None


@dataclass(frozen=True)
class LogPage:
    """Lines in order; `before_line` is where an earlier page ends, None at the beginning.

    `behind`: what was asked for is so new that the node has not sent it yet.
    """

    lines: list[LogLine]
    before_line: int | None
    behind: bool = False


def log_page(
    member: LaunchMember, *, before_line: int | None = None, before_at: str = "", count: int = PAGE_LINES
) -> LogPage:
    """The `count` lines before a line's number or time (both left out: the newest)."""
    rows = LogChunk.objects.filter(member=member)
    newest = rows.order_by("-number").first()
    if newest is None or (before_at and newest.to_at < before_at and not newest.is_last and member.live):
        return LogPage([], None, behind=member.live)
    if before_line is not None:
        rows = rows.filter(first_line__lt=before_line)
    if before_at:
        rows = rows.filter(from_at__lt=before_at)
    found: list[LogLine] = []
    for lines in _backwards(member, rows):
        found = [one for one in lines if _is_before(one, before_line, before_at)] + found
        if len(found) > count:
            break
    more = len(found) > count or (bool(found) and found[0].line > 0)
    found = found[-count:]
    return LogPage(found, found[0].line if more else None)


def _is_before(one: LogLine, before_line: int | None, before_at: str) -> bool:
    if before_line is not None and one.line >= before_line:
        return False
    return not before_at or one.skipped is not None or one.text.partition(" ")[0] < before_at


@dataclass(frozen=True)
class LogHits:
    """Lines that match, newest first; `before_line` is where the search goes on, None when it is through."""

    hits: list[LogLine]
    before_line: int | None


def log_search(member: LaunchMember, text: str, before_line: int | None = None) -> LogHits:
    """Find a text, whatever its case, in the pieces that are stored, from the newest back."""
    wanted = text.casefold()
    rows = LogChunk.objects.filter(member=member)
    if before_line is not None:
        rows = rows.filter(first_line__lt=before_line)
    hits: list[LogLine] = []
    for read, lines in enumerate(_backwards(member, rows), 1):
        for one in reversed(lines):
            inside = before_line is None or one.line < before_line
            if inside and one.skipped is None and wanted in _ANSI.sub("", one.text).casefold():
                hits.append(one)
                if len(hits) == HITS_MOST:
                    return LogHits(hits, one.line or None)
        if read == SEARCH_CHUNKS:
            return LogHits(hits, lines[0].line or None)
    return LogHits(hits, None)


def log_is_whole(member: LaunchMember) -> bool:
    """Whether the pieces reach to the container's last line."""
    newest = LogChunk.objects.filter(member=member).order_by("-number").first()
    return newest is not None and newest.is_last


async def log_download(member: LaunchMember, rest: list[str]) -> AsyncIterator[bytes]:
    """The whole log as text, piece by piece; `rest` are lines that may be newer than the pieces."""
    through, next_line = "", 0
    numbers = await sync_to_async(lambda: list(_rows(member).values_list("number", flat=True)))()
    for number in numbers:
        row = await sync_to_async(lambda number=number: _rows(member).filter(number=number).first())()
        if row is None:
            continue
        lines = await sync_to_async(_lines_of)(member, row, next_line)
        next_line, through = row.first_line + row.lines, max(through, row.to_at)
        if lines:
            yield ("\n".join(_plain(one) for one in lines) + "\n").encode()
    newer = [line for line in rest if not through or (_STAMPED.match(line) and line.split(" ")[0] > through)]
    if newer:
        yield ("\n".join(newer) + "\n").encode()


def _rows(member: LaunchMember) -> QuerySet[LogChunk]:
    return LogChunk.objects.filter(member=member).order_by("number")


def _plain(one: LogLine) -> str:
    if one.skipped is None:
        return one.text
    return f"--- {f'{one.skipped:,} lines' if one.skipped else 'lines'} are missing here"


def _backwards(member: LaunchMember, rows: QuerySet[LogChunk]) -> Iterator[list[LogLine]]:
    """The lines of each piece, the newest piece first, with marks where pieces are missing."""
    ordered = list(rows.order_by("-number"))
    for place, row in enumerate(ordered):
        before = ordered[place + 1] if place + 1 < len(ordered) else None
        expected = before.first_line + before.lines if before else 0
        if lines := _lines_of(member, row, expected):
            yield lines


def _lines_of(member: LaunchMember, row: LogChunk, expected_line: int) -> list[LogLine]:
    """The lines of one piece; a mark before them where those from `expected_line` on were dropped."""
    try:
        texts = lines_unpack((_folder(member) / f"{row.number}.gz").read_bytes())
    except (OSError, ChunkInvalid) as error:
        log.warning(
            "a piece of a log cannot be read", member=member.uid, number=row.number, reason=str(error)
        )
        return [LogLine(row.first_line, "", row.lines)] if row.lines else []
    lines = [LogLine(row.first_line + n, text, skipped_count(text)) for n, text in enumerate(texts)]
    if row.first_line > expected_line and lines:
        lines.insert(0, LogLine(expected_line, "", row.first_line - expected_line))
    return lines
