"""The whole log of each container of ours, on its way to web, where it outlives the container.

Readers put lines in and never wait; pieces of them lie compressed in the spool folder
until web has stored them. An agent that is killed goes on where its spool ends: the
lines after that are still with Docker.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from models_app.log_chunks import ChunkHeader, ChunkInvalid, chunk_header, chunk_pack, skipped_mark
from sparkweb.adapters.docker_logs import LogLine, Unrepeated
from sparkweb.node_link.http_client import WebAnswer, WebUnreachable

log = structlog.get_logger(__name__)

CHUNK_LINES = 5_000
CHUNK_CHARACTERS = 512_000
# A start is what people look back at; later pieces may be larger and fewer.
EARLY_CHUNKS = 30
EARLY_SECONDS = 10.0
LATE_SECONDS = 60.0
# What one container may write for good, and all at once after a while of less. The rest is counted.
LINES_PER_SECOND, LINES_AT_ONCE = 2_000, 100_000
CHARACTERS_PER_SECOND, CHARACTERS_AT_ONCE = 400_000, 20_000_000
EVERY_SECONDS = 1.0
RETRY_SECONDS, RETRY_SLOWEST_SECONDS = 1.0, 30.0
JOIN_SECONDS = 0.5
FORGET_AFTER_SECONDS = 8 * 86400.0
TARGET = "/node/log-chunks/"


class Web(Protocol):
    """What the archive needs of sparkweb/node_link/http_client.py."""

    def post(self, target: str, body: bytes) -> WebAnswer: ...


@dataclass
class Allowance:
    """How much may pass: `rate` a second, at most `burst` at once."""

    rate: float
    burst: float
    left: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.left = self.burst

    def refill(self, now: float) -> None:
        self.left = min(self.burst, self.left + max(0.0, now - self.at) * self.rate)
        self.at = now


class MemberArchive:
    """One member's log, from its first line to its last. Any thread may use it."""

    def __init__(self, folder: Path, member: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._member = member
        self._clock = clock
        self._lock = threading.Lock()
        self._next = _cursor(folder, member)
        self._ends = dict(self._next.ends)
        self._unrepeated = Unrepeated(ends={int(stream): at for stream, at in self._ends.items()})
        self._lines: list[str] = []
        self._characters = 0
        self._began_at = 0.0
        self._skipped = 0
        self._line_allowance = Allowance(LINES_PER_SECOND, LINES_AT_ONCE)
        self._text_allowance = Allowance(CHARACTERS_PER_SECOND, CHARACTERS_AT_ONCE)

    @property
    def since(self) -> str | None:
        """From when on lines may be missing yet; None before the first."""
        return min(self._ends.values(), default=None)

    def put(self, lines: list[LogLine]) -> None:
        """Take lines, each once; those beyond the allowance are counted instead."""
        with self._lock:
            now = self._clock()
            self._line_allowance.refill(now)
            self._text_allowance.refill(now)
            for line in self._unrepeated.of(lines):
                self._ends[str(line.stream)] = line.at
                if self._line_allowance.left < 1 or self._text_allowance.left < len(line.text):
                    self._skipped += 1
                    continue
                self._line_allowance.left -= 1
                self._text_allowance.left -= len(line.text)
                self._mark_skipped()
                self._add(line.stamped, now)
                if len(self._lines) >= CHUNK_LINES or self._characters >= CHUNK_CHARACTERS:
                    self._write(last=False)

    def gap(self) -> None:
        """Note that lines are missing here, and nobody knows how many."""
        with self._lock:
            self._mark_skipped()
            self._add(skipped_mark(0), self._clock())

    def write_due(self) -> None:
        """Write what has waited long enough."""
        with self._lock:
            wait = EARLY_SECONDS if self._next.number < EARLY_CHUNKS else LATE_SECONDS
            if (self._lines or self._skipped) and self._clock() - self._began_at >= wait:
                self._mark_skipped()
                self._write(last=False)

    def finish(self, *, ended: bool) -> None:
        """Write what is left; `ended`: the container writes no more."""
        with self._lock:
            self._mark_skipped()
            if self._lines or ended:
                self._write(last=ended)

    def _add(self, line: str, now: float) -> None:
        if not self._lines:
            self._began_at = now
        self._lines.append(line)
        self._characters += len(line)

    def _mark_skipped(self) -> None:
        if self._skipped:
            self._add(skipped_mark(self._skipped), self._clock())
            self._skipped = 0

    def _write(self, *, last: bool) -> None:
        lines, self._lines, self._characters = self._lines, [], 0
        stamps = [line.partition(" ")[0] for line in lines if line[:1].isdigit()]
        header = ChunkHeader(
            member=self._member,
            number=self._next.number,
            first_line=self._next.line,
            lines=len(lines),
            from_at=min(stamps, default=""),
            to_at=max(stamps, default=""),
            ends=dict(self._ends),
            last=last,
        )
        self._next = Cursor(header.number + 1, header.first_line + header.lines, header.ends)
        try:
            _replace(self._folder / f"{self._member}-{header.number:08d}.chunk", chunk_pack(header, lines))
            _replace(self._folder / f"{self._member}.json", json.dumps(asdict(self._next)).encode())
        except OSError as error:
            log.warning("a piece of a log was not kept", member=self._member, reason=str(error))


@dataclass(frozen=True)
class Cursor:
    """Where the next chunk of a member begins."""

    number: int = 0
    line: int = 0
    ends: dict[str, str] = field(default_factory=dict)


def _cursor(folder: Path, member: str) -> Cursor:
    """Where an earlier agent stopped: its note, or a chunk that it wrote just before it was killed."""
    found = Cursor()
    try:
        found = Cursor(**json.loads((folder / f"{member}.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        log.debug("no earlier part of this log", member=member)
    for path in sorted(folder.glob(f"{member}-*.chunk")):
        try:
            header, _ = chunk_header(path.read_bytes())
        except (OSError, ChunkInvalid):
            continue
        if header.number >= found.number:
            found = Cursor(header.number + 1, header.first_line + header.lines, header.ends)
    return found


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


class LogArchive:
    """The archives of all members of one node, and the thread that sends them."""

    def __init__(self, folder: Path, web: Web, limit_bytes: int) -> None:
        """`folder` is the spool, which holds at most `limit_bytes`: beyond that the oldest pieces go."""
        self._folder = folder
        self._web = web
        self._limit_bytes = limit_bytes
        self._members: dict[str, MemberArchive] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._wanted = threading.Event()
        self._down = False
        self._retry_seconds = RETRY_SECONDS
        self._thread = threading.Thread(target=self._run, name="log-archive", daemon=True)

    def start(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is not written, and stop sending: the next agent goes on with it."""
        self._closing.set()
        self._wanted.set()
        for one in self._every():
            one.finish(ended=False)
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def member(self, uid: str) -> MemberArchive:
        """The archive of a member, the same one each time."""
        with self._lock:
            if uid not in self._members:
                self._members[uid] = MemberArchive(self._folder, uid)
            return self._members[uid]

    def forget(self, uid: str) -> None:
        """The member's container is no more; its note stays a while, should it be asked for again."""
        with self._lock:
            self._members.pop(uid, None)

    def _every(self) -> list[MemberArchive]:
        with self._lock:
            return list(self._members.values())

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                for one in self._every():
                    one.write_due()
                self._send_all()
                self._tidy()
            except OSError as error:
                log.warning("the spool of logs cannot be used", reason=str(error))
            self._wanted.wait(self._retry_seconds if self._down else EVERY_SECONDS)
            self._wanted.clear()

    def _spool(self) -> list[Path]:
        """The pieces that wait, oldest first."""
        return sorted(self._folder.glob("*.chunk"), key=lambda path: (path.stat().st_mtime, path.name))

    def _send_all(self) -> None:
        for path in self._spool():
            if self._closing.is_set():
                return
            try:
                answer = self._web.post(TARGET, path.read_bytes())
            except WebUnreachable as error:
                self._waits(str(error))
                return
            if answer.status in (401, 403, 429) or answer.status >= 500:
                self._waits(f"web answered {answer.status}: {answer.text[:200]}")
                return
            if answer.status >= 300:
                log.warning("a piece of a log was refused", piece=path.name, reason=answer.text[:200])
            self._down, self._retry_seconds = False, RETRY_SECONDS
            path.unlink(missing_ok=True)

    def _waits(self, reason: str) -> None:
        if not self._down:
            log.warning("logs wait in the spool", reason=reason)
        self._down = True
        self._retry_seconds = min(2 * self._retry_seconds, RETRY_SLOWEST_SECONDS)

    def _tidy(self) -> None:
        """Keep the spool within its limit; forget where members ended whose containers are long gone."""
        spool = self._spool()
        size = sum(path.stat().st_size for path in spool)
        while spool and size > self._limit_bytes:
            oldest = spool.pop(0)
            size -= oldest.stat().st_size
            oldest.unlink(missing_ok=True)
            log.warning("a piece of a log was dropped: the spool is full", piece=oldest.name)
        before = time.time() - FORGET_AFTER_SECONDS
        with self._lock:
            known = set(self._members)
        for note in self._folder.glob("*.json"):
            if note.stem not in known and note.stat().st_mtime < before:
                note.unlink(missing_ok=True)
