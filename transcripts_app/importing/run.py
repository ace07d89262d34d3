"""Reading sources into the archive: each file on from where it was left, every byte accounted for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transcripts_app.importing.apply import Store, result_store
from transcripts_app.importing.batch import Chunk, Limits
from transcripts_app.importing.gone import back_flag, gone_flag
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.opened import Opened, bytes_left, file_is_new, job_of
from transcripts_app.importing.pipeline import messages
from transcripts_app.importing.places import (
    BY_SESSION,
    FileState,
    file_make,
    files_known,
    meta_store,
    session_ensure,
    session_settle,
    source_ensure,
)
from transcripts_app.importing.reader import BEGIN, CHUNK, END, META, RESULT, Message
from transcripts_app.importing.search_index import SearchIndex
from transcripts_app.importing.sessions import sessions_finish
from transcripts_app.importing.walk import Found, text_of, walk
from transcripts_app.importing.writer import Writer, now_ms

COMMIT_BYTES = 48 * 2**20  # of files, in one transaction
COMMIT_SECONDS = 2.0
NOTE_SECONDS = 1.0  # so often a page sees how far it is
FINISH_SECONDS = 15.0  # sessions show up while a long run is still reading
CUT_OFF = "ended without a word: the process was killed, or the machine stopped"


@dataclass(slots=True)
class Progress:
    """Where a run is with one source."""

    files: int
    files_done: int = 0
    bytes: int = 0  # to be read, as the walk saw it
    bytes_done: int = 0
    count: Count = field(default_factory=Count)


Told = Callable[[Progress], None]


class ImportRun:
    """One run over sources, with its row in the ledger.

    Killed at any moment, the next run goes on from the last transaction. Raises ArchiveFull where
    the disk has no room.
    """

    def __init__(
        self, writer: Writer, trigger: str, limits: Limits | None = None, commit_bytes: int = COMMIT_BYTES
    ) -> None:
        self.writer = writer
        self.limits, self.commit_bytes = limits or Limits(), commit_bytes
        self.total = Count()
        self.by_file: dict[int, Count] = {}
        self.changed: set[int] = set()  # sessions that were brought up to date
        self.index = SearchIndex(writer)
        with writer.transaction():
            _cut_off_close(writer)
            self.id = writer.next_id("importrun")
            writer.insert(
                "importrun",
                ("id", "trigger", "state", "started_ms", "error", "totals"),
                [(self.id, trigger, "running", now_ms(), "", "{}")],
            )

    def source_read(
        self,
        node: str,
        root: Path,
        kind: str = "local",
        owner: str = "",
        progress: Told | None = None,
        only: Sequence[Found] | None = None,
    ) -> Count:
        """Read everything new below a folder. Files that are gone are flagged, nothing is deleted.

        With `only`, these files alone, and none is flagged: the caller has looked which have changed.
        """
        writer, name = self.writer, str(root)
        with writer.transaction():
            source = source_ensure(writer, node, text_of(name), kind, owner)
        try:
            found = sorted(walk(name) if only is None else only, key=lambda one: (one.mtime_ns, one.path))
        except OSError as error:
            self._source_seen(source, f"cannot be read: {error.strerror}")
            return Count()
        reading = _Reading(self, source, node, name, progress)
        try:
            known = files_known(writer, source, None if only is None else [one.path for one in only])
            self.counts_load([state.id for state in known.values()])
            reading.read(found, known)
        except BaseException as error:
            writer.rollback()
            if full := writer.full(error):
                raise full from error
            raise
        finally:
            self.total.add(reading.count)
        self.finish_sessions()
        self.index.settle()
        if only is None:
            gone_flag(writer, source, found)
        else:
            back_flag(writer, source, [one.path for one in only])
        self._source_seen(source, "")
        return reading.count

    def counts_load(self, files: list[int]) -> None:
        """Recall what this run read of these files before; a run that is only begun has read nothing."""

    def finish_sessions(self) -> list[int]:
        """Bring the rows of sessions up to date that changed; return their ids."""
        done = sessions_finish(self.writer)
        self.changed.update(done)
        return done

    def end(self, error: str = "") -> None:
        """Close the run's row."""
        with self.writer.transaction():
            if error:  # what was rolled back was not read
                self.total = files_sum(self.writer, self.id)
            self.note("failed" if error else "done", self.total, ended_ms=now_ms(), error=error)

    def note(
        self, state: str, total: Count, ended_ms: int | None = None, error: str = "", **more: Any
    ) -> None:
        """Write the run's row, inside the caller's transaction."""
        self.writer.connection.execute(
            "UPDATE archive_importrun SET state = ?, ended_ms = ?, error = ?, totals = ? WHERE id = ?",
            (state, ended_ms, error, json.dumps(total.as_json() | more), self.id),
        )

    def _source_seen(self, source: int, problem: str) -> None:
        with self.writer.transaction() as connection:
            connection.execute(
                "UPDATE archive_source SET problem = ?, seen_ms = CASE WHEN ?1 = '' THEN ? ELSE seen_ms END "
                "WHERE id = ?",
                (problem, now_ms(), source),
            )


def _cut_off_close(writer: Writer) -> None:
    """Runs of processes that are no more: nobody else writes now. Those of this process go on."""
    if writer.is_swept:
        return
    writer.is_swept = True
    rows = writer.connection.execute(
        "SELECT id FROM archive_importrun WHERE state = 'running' AND trigger NOT IN ('follow', 'node')"
    ).fetchall()  # those go on for a day (follow.DayRun)
    for (run,) in rows:
        total = files_sum(writer, run)
        writer.connection.execute(
            "UPDATE archive_importrun SET state = 'failed', error = ?, ended_ms = ?, totals = ? WHERE id = ?",
            (CUT_OFF, now_ms(), json.dumps(total.as_json()), run),
        )


def files_sum(writer: Writer, run: int) -> Count:
    """What a run read, summed over its files."""
    total = Count()
    for (count,) in writer.connection.execute(
        "SELECT count FROM archive_importfile WHERE run_id = ?", (run,)
    ):
        total.add(Count.from_json(json.loads(count)))
    return total


class _Reading:
    """Reading one source: messages in, transactions out."""

    def __init__(self, run: ImportRun, source: int, node: str, root: str, progress: Told | None) -> None:
        self.run, self.writer, self.store = run, run.writer, Store(run.writer)
        self.source, self.node, self.root, self.tell = source, node, text_of(root), progress
        self.count = Count()
        self.files: dict[int, Opened] = {}
        self.dirty: dict[int, Opened] = {}
        self.pending = 0
        self.begun = self.finished = self.noted = time.monotonic()

    def read(self, found: list[Found], known: dict[str, FileState]) -> None:
        todo = [Opened(one, known.get(one.path)) for one in found if file_is_new(one, known.get(one.path))]
        self.progress = Progress(len(todo), bytes=sum(bytes_left(one) for one in todo), count=self.count)
        jobs = []
        for number, one in enumerate(todo):
            self.files[number] = one
            if one.found.role == "refused":
                self._refused(number)
            else:
                jobs.append(job_of(number, one))
        if self.progress.bytes >= self.run.commit_bytes:
            self.run.index.bulk()
        for message in messages(jobs, self.run.limits, self.progress.bytes):
            self._take(message)
        self._commit()

    def _take(self, message: Message) -> None:
        what, number = message[0], message[1]
        one = self.files[number]
        self._begin()
        if what == BEGIN:
            self._file_begin(number, rewritten=message[2])
        elif what == CHUNK:
            self._chunk(one, Chunk(*message[2]))
        elif what == META:
            meta_store(self.writer, self.source, self._state(one), message[2])
            self._state(one).read_to = one.found.size
        elif what == RESULT:
            self._result(one, message)
        elif what == END:
            self._file_end(number, message[2])
        if not one.in_pieces and (
            self.pending >= self.run.commit_bytes or time.monotonic() - self.begun > COMMIT_SECONDS
        ):
            self._commit()

    def _state(self, one: Opened) -> FileState:
        if one.state is None:
            one.state = file_make(self.writer, self.source, one.found)
        return one.state

    def _refused(self, number: int) -> None:
        self._begin()
        self._state(self.files[number])
        self._file_end(number, self.files[number].found.problem)

    def _file_begin(self, number: int, *, rewritten: bool) -> None:
        one = self.files[number]
        state = self._state(one)
        state.role = one.found.role
        one.count.files = 1
        if rewritten:
            state.generation, state.rewritten_to = state.generation + 1, one.found.size
            state.read_to = state.lines = state.bad_lines = 0
            one.count.rewritten = 1
        self.dirty[number] = one

    def _chunk(self, one: Opened, chunk: Chunk) -> None:
        state = self._state(one)
        session = self._session(one, state, chunk.session_id, chunk.cwd)
        one.count.add(self.store.chunk(state, session, chunk))
        one.in_pieces = not chunk.is_whole
        if not chunk.is_whole:
            return
        state.read_to, state.lines, state.fingerprint = chunk.end, chunk.last_line, chunk.fingerprint
        state.bad_lines += chunk.bad_lines
        self._session_touch(one, session, chunk.branch, chunk.version)
        self.pending += chunk.end - chunk.start
        self.progress.bytes_done += chunk.end - chunk.start
        if self.tell:
            self.tell(self.progress)

    def _session(self, one: Opened, state: FileState, told: str, cwd: str) -> int:
        found = one.found
        if state.session is None:
            name = found.session_id or told or found.path
            state.session = session_ensure(self.writer, self.source, self.node, self.root, found.folder, name)
        if cwd and not one.settled:
            known = session_settle(self.writer, state.session, self.node, found.role, cwd)
            one.settled = found.role != "session" or known == BY_SESSION
        return state.session

    def _session_touch(self, one: Opened, session: int, branch: str, version: str) -> None:
        """What the session's own records say of branch and version counts; a sub-agent's where none does."""
        force = one.found.role == "session"
        self.writer.connection.execute(
            "UPDATE archive_session SET is_stale = 1, "
            "branch = CASE WHEN ?1 <> '' AND (?3 OR branch = '') THEN ?1 ELSE branch END, "
            "version = CASE WHEN ?2 <> '' AND (?3 OR version = '') THEN ?2 ELSE version END WHERE id = ?4",
            (branch, version[:40], force, session),
        )

    def _result(self, one: Opened, message: Message) -> None:
        state = self._state(one)
        session = self._session(one, state, "", "")
        one.count.add(result_store(self.store, state, session, message))
        self._session_touch(one, session, "", "")
        self.pending += message[3]
        self.progress.bytes_done += message[3]

    def _file_end(self, number: int, problem: str) -> None:
        one = self.files.pop(number)
        state = self._state(one)
        if one.in_pieces:  # it was cut while a giant line was read: its pieces are no line
            one.in_pieces = False
            self.writer.connection.execute(
                "DELETE FROM archive_rawblock WHERE file_id = ? AND generation = ? AND start >= ?",
                (state.id, state.generation, state.read_to),
            )
        one.count.waiting_bytes = 0 if problem else max(0, one.found.size - state.read_to)
        state.problem, state.role = problem, one.found.role
        state.size, state.mtime_ns = one.found.size, one.found.mtime_ns
        self.dirty[number] = one
        self.store.file_done(state)
        self.progress.files_done += 1
        before = self.run.by_file.setdefault(state.id, Count())
        # A run that follows a file reads it many times.
        self.count.waiting_bytes -= before.waiting_bytes
        self.count.files -= before.files
        self.count.add(one.count)
        before.waiting_bytes = before.files = 0
        before.add(one.count)
        one.count = before
        if self.tell:
            self.tell(self.progress)

    def _begin(self) -> None:
        if not self.writer.connection.in_transaction:
            self.writer.begin()
            self.begun = time.monotonic()

    def _commit(self) -> None:
        """Store where each file is, and what was read of it, with what was read of it."""
        if not self.writer.connection.in_transaction:
            return
        self._files_store()
        now = time.monotonic()
        if now - self.noted >= NOTE_SECONDS:
            self.noted, total = now, Count()
            for part in (self.run.total, self.count, *(one.count for one in self._unfinished())):
                total.add(part)
            where = {name: getattr(self.progress, name) for name in PROGRESS}
            self.run.note("running", total, progress=where)
        self.writer.commit()
        self.pending = 0
        self.run.index.keep_up()
        if now - self.finished > FINISH_SECONDS:
            self.run.finish_sessions()
            self.finished = time.monotonic()

    def _unfinished(self) -> list[Opened]:
        return [one for number, one in self.dirty.items() if number in self.files]

    def _files_store(self) -> None:
        rows, counts = [], []
        for one in self.dirty.values():
            state = self._state(one)
            rows.append(
                (state.role, state.session, state.generation, state.read_to, state.size, state.mtime_ns,
                 state.fingerprint, state.lines, state.bad_lines, state.rewritten_to, state.problem, state.id)
            )  # fmt: skip
            count = one.count
            if state.id in self.run.by_file and count is not self.run.by_file[state.id]:
                count = Count()
                count.add(self.run.by_file[state.id])
                count.add(one.count)
            counts.append((self.run.id, state.id, json.dumps(count.as_json())))
        self.writer.connection.executemany(
            "UPDATE archive_transcriptfile SET role = ?, session_id = ?, generation = ?, read_to = ?, "
            "size = ?, mtime_ns = ?, fingerprint = ?, lines = ?, bad_lines = ?, rewritten_to = ?, "
            "problem = ? WHERE id = ?",
            rows,
        )
        self.writer.connection.executemany(
            "INSERT INTO archive_importfile (run_id, file_id, count) VALUES (?, ?, ?) "
            "ON CONFLICT (run_id, file_id) DO UPDATE SET count = excluded.count",
            counts,
        )
        self.dirty = {number: one for number, one in self.dirty.items() if number in self.files}


PROGRESS = ("files", "files_done", "bytes", "bytes_done")
