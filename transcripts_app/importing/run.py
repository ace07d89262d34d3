"""Reading sources into the archive: each file on from where it was left, every byte accounted for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from transcripts_app.format.facets import facets_of
from transcripts_app.format.kinds import Kind
from transcripts_app.format.lines import text_clean
from transcripts_app.format.record import INDEX_MOST, Parsed
from transcripts_app.importing.apply import RECORD_COLUMNS, batch_apply
from transcripts_app.importing.batch import LEVEL, Batch, batches_read, fingerprint
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.places import (
    FileState,
    file_make,
    files_known,
    session_ensure,
    source_ensure,
)
from transcripts_app.importing.sessions import sessions_finish
from transcripts_app.importing.walk import Found, walk
from transcripts_app.importing.writer import Writer, now_ms

META_BYTES = 2**20
Progress = Callable[[Count, int, int], None]
"""Told after each file: what was read so far, how many files are done, how many there are."""


class ImportRun:
    """One run over sources, with its row in the ledger.

    Killed at any moment, the next run goes on from the last batch that was stored.
    """

    def __init__(self, writer: Writer, trigger: str) -> None:
        self.writer = writer
        self.total = Count()
        self.changed: set[int] = set()
        self.files_read: list[str] = []
        with writer.transaction():
            self.id = writer.next_id("importrun")
            writer.insert(
                "importrun",
                ("id", "trigger", "state", "started_ms", "error", "totals"),
                [(self.id, trigger, "running", now_ms(), "", "{}")],
            )

    def source_read(
        self, node: str, root: Path, kind: str = "local", owner: str = "", progress: Progress | None = None
    ) -> Count:
        """Read everything new below a folder. Files that are gone are flagged, nothing is deleted."""
        writer, name = self.writer, str(root)
        with writer.transaction():
            source = source_ensure(writer, node, name, kind, owner)
        known = files_known(writer, source)
        found = sorted(walk(name), key=lambda one: (one.mtime_ns, one.path))
        count = Count()
        for number, one in enumerate(found, 1):
            state = known.get(one.path)
            if state is None or _changed(state, one):
                count.add(_File(self, source, node, name, one, state).read())
            if progress:
                progress(count, number, len(found))
        self.finish_sessions()
        with writer.transaction() as connection:
            _gone_flag(writer, source, {one.path for one in found})
            connection.execute("UPDATE archive_source SET seen_ms = ? WHERE id = ?", (now_ms(), source))
        self.total.add(count)
        return count

    def finish_sessions(self) -> None:
        """Bring the rows of sessions up to date that this run changed."""
        with self.writer.transaction():
            sessions_finish(self.writer, self.changed)
        self.changed.clear()

    def end(self, error: str = "") -> None:
        """Close the run's row."""
        with self.writer.transaction() as connection:
            connection.execute(
                "UPDATE archive_importrun SET state = ?, ended_ms = ?, error = ?, totals = ? WHERE id = ?",
                ("failed" if error else "done", now_ms(), error, json.dumps(self.total.as_json()), self.id),
            )


class _File:
    """Reading one file on."""

    def __init__(
        self, run: ImportRun, source: int, node: str, root: str, found: Found, state: FileState | None
    ) -> None:
        self.run, self.writer = run, run.writer
        self.source, self.node, self.root, self.found, self.state = source, node, root, found, state
        self.count = Count()

    def read(self) -> Count:
        with self.writer.transaction():
            self.state = self.state or file_make(self.writer, self.source, self.found)
        if self.found.role == "refused":
            self._close(self.found.problem)
            return self.count
        try:
            with open(os.path.join(self.root, self.found.path), "rb") as file:
                self._read(file)
        except OSError as error:
            self._close(f"cannot be read: {error.strerror}")
        return self.count

    def _read(self, file: BinaryIO) -> None:
        state = self._state
        self.count.files = 1
        if state.read_to and (
            self.found.size < state.read_to or fingerprint(file, state.read_to) != state.fingerprint
        ):
            state.generation, state.read_to, state.lines = state.generation + 1, 0, 0
            self.count.rewritten = 1
        if self.found.role == "meta":
            self._meta(file)
        elif self.found.role == "result":
            self._result(file)
        else:
            for batch in batches_read(file, state.read_to, state.lines):
                self._batch(file, batch)
        self.count.waiting_bytes = max(0, self.found.size - state.read_to)
        self._close("")

    @property
    def _state(self) -> FileState:
        assert self.state is not None
        return self.state

    def _batch(self, file: BinaryIO, batch: Batch) -> None:
        state = self._state
        file_at = file.tell()
        file.seek(batch.start)
        data = file.read(batch.end - batch.start)
        with self.writer.transaction():
            state.session = state.session or self._session(batch)
            self.count.add(batch_apply(self.writer, state, state.session, batch, data))
            state.read_to, state.lines = batch.end, batch.last_line
            state.fingerprint = fingerprint(file, state.read_to)
            self._store()
        file.seek(file_at)
        if state.session:
            self.run.changed.add(state.session)

    def _session(self, batch: Batch) -> int | None:
        parsed = [line.parsed for line in batch.lines]
        name = self.found.session_id or next((one.session_id for one in parsed if one.session_id), "")
        if not parsed and not name:
            return None
        cwd = text_clean(next((one.cwd for one in parsed if one.cwd), ""))
        return session_ensure(
            self.writer, self.source, self.node, self.root, self.found.folder, text_clean(name), cwd
        )

    def _meta(self, file: BinaryIO) -> None:
        """What Claude Code notes of a sub-agent, beside its transcript."""
        try:
            told = json.loads(file.read(META_BYTES))
        except ValueError as error:
            self._close(f"is no JSON: {error}")
            return
        agent = self.found.path.removesuffix(".meta.json") + ".jsonl"
        with self.writer.transaction() as connection:
            connection.execute(
                "UPDATE archive_transcriptfile SET meta = ? WHERE source_id = ? AND path = ?",
                (json.dumps(told if isinstance(told, dict) else {}), self.source, agent),
            )
        self._state.read_to = self.found.size

    def _result(self, file: BinaryIO) -> None:
        """A large output that Claude Code laid beside the session: one record, searched like a result."""
        import zstandard

        state, data = self._state, file.read()
        text = text_clean(data[: 4 * INDEX_MOST].decode(errors="replace"))[:INDEX_MOST]
        parsed = Parsed(type="tool-result-file", kind=Kind.RESULT_FILE, kinds=[Kind.TOOL_RESULT], text=text)
        with self.writer.transaction() as connection:
            state.session = state.session or session_ensure(
                self.writer, self.source, self.node, self.root, self.found.folder, self.found.session_id, ""
            )
            block, record = self.writer.next_id("rawblock"), self.writer.next_id("record")
            self.writer.insert(
                "rawblock",
                ("id", "file_id", "generation", "start", "length", "data"),
                [(block, state.id, state.generation, 0, len(data), zstandard.compress(data, LEVEL))],
            )
            row: dict[str, Any] = dict.fromkeys(RECORD_COLUMNS) | {
                "id": record, "file_id": state.id, "session_id": state.session, "line": 1,
                "generation": state.generation, "block_id": block, "start": 0, "length": len(data),
                "kind": parsed.kind.value, "type": parsed.type, "subtype": "", "is_conflict": False,
                "model": "", "tool": "", "preview": "", "is_error": False, "is_sidechain": False,
                "is_meta": False, "is_synthetic": False,
            }  # fmt: skip
            self.writer.insert("record", RECORD_COLUMNS, [tuple(row.values())])
            connection.execute(
                "INSERT INTO archive_search (rowid, body, facets) VALUES (?, ?, ?)",
                (record, text, facets_of(parsed, state.session)),
            )
            connection.execute(
                "UPDATE archive_transcriptfile SET agent_id = ? WHERE id = ?",
                (Path(self.found.path).stem, state.id),
            )
            state.read_to = len(data)
            self.count.add(Count(bytes=len(data), record_bytes=len(data), lines=1, records=1))
            state.fingerprint = fingerprint(file, state.read_to)
            self._store()
        self.run.changed.add(state.session)

    def _close(self, problem: str) -> None:
        self._state.problem = problem
        with self.writer.transaction() as connection:
            self._store()
            connection.execute(
                "UPDATE archive_transcriptfile SET size = ?, mtime_ns = ?, gone_ms = NULL WHERE id = ?",
                (self.found.size, self.found.mtime_ns, self._state.id),
            )
            new = self.writer.next_id("importfile")
            connection.execute(
                "INSERT INTO archive_importfile (id, run_id, file_id, count) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (run_id, file_id) DO UPDATE SET count = excluded.count",
                (new, self.run.id, self._state.id, json.dumps(self.count.as_json())),
            )

    def _store(self) -> None:
        state = self._state
        self.writer.connection.execute(
            "UPDATE archive_transcriptfile SET session_id = ?, generation = ?, read_to = ?, fingerprint = ?, "
            "lines = ?, problem = ?, bad_lines = (SELECT COUNT(*) FROM archive_badline b "
            "WHERE b.file_id = archive_transcriptfile.id AND b.generation = ?2) WHERE id = ?7",
            (state.session, state.generation, state.read_to, state.fingerprint, state.lines, state.problem,
             state.id),
        )  # fmt: skip


def _changed(state: FileState, found: Found) -> bool:
    return (state.size, state.mtime_ns, state.role) != (found.size, found.mtime_ns, found.role)


def _gone_flag(writer: Writer, source: int, present: set[str]) -> None:
    """Note which files and sessions the source has no longer; and which are back."""
    now = now_ms()
    rows = writer.connection.execute(
        "SELECT id, path FROM archive_transcriptfile WHERE source_id = ? AND gone_ms IS NULL", (source,)
    ).fetchall()
    gone = [(now, number) for number, path in rows if path not in present]
    writer.connection.executemany("UPDATE archive_transcriptfile SET gone_ms = ? WHERE id = ?", gone)
    writer.connection.execute(
        "UPDATE archive_session SET gone_ms = CASE WHEN EXISTS (SELECT 1 FROM archive_transcriptfile f "
        "WHERE f.session_id = archive_session.id AND f.role IN ('session', 'agent') AND f.gone_ms IS NULL) "
        "THEN NULL ELSE COALESCE(gone_ms, ?) END WHERE source_id = ?",
        (now, source),
    )
