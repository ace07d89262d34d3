"""What happened on this node and control has not stored yet: an SQLite file on the node.

Each fact is on disk (`synchronous=FULL`) before `add` returns, keeps its sequence
number for ever, and leaves only when control has acknowledged it. No Django here.

    journal = Journal(data_dir / "agent" / node / "journal.sqlite3")
    sequence = journal.add("container_exited", {"launch": …, "exit_code": 1})
    journal.is_acknowledged(sequence)      # True once control has committed it

A full journal (size bound or disk) refuses new facts with `JournalFull`: what caused a
fact stays as it is (the exited container is not removed) and is tried again; what is
stored is never dropped to make room. A file that is no journal any more is moved aside with
a logged error, and an empty one with a new id begins: control tells the two apart by the id.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

logger = logging.getLogger(__name__)

SIZE_LIMIT_BYTES = 64 * 1024 * 1024
FACT_LIMIT_BYTES = 255 * 1024  # of a stream entry's 256 kB; the rest is for the envelope
FENCES_KEPT = 10_000
VERSION = 1

SCHEMA = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE fact (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,   -- never given twice, even after deletion
    payload TEXT NOT NULL
);
CREATE TABLE fence (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    launch TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL
);
PRAGMA user_version = {VERSION};
"""


class JournalUnavailable(Exception):
    """The journal could not do it now; nothing was stored. Try again later."""


class JournalFull(JournalUnavailable):
    """The journal's size bound or the disk is reached."""


class FactInvalid(ValueError):
    """The data is no JSON, or larger than 255 kB when sent (control characters count for seven bytes)."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One stored fact: `payload` is the JSON text that is signed and sent."""

    sequence: int
    payload: str


class Journal:
    """The journal in one file, for any number of threads of one process.

    `size_limit_bytes` bounds the database file (its write-ahead log comes on top, at most
    as much again for a moment).
    """

    def __init__(self, path: Path, size_limit_bytes: int = SIZE_LIMIT_BYTES) -> None:
        self.path = path
        self._size_limit_bytes = size_limit_bytes
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._database = self._open()

    @property
    def id(self) -> str:
        """Id made with the file (32 hex digits); sequences count within it."""
        return self._read_meta("id")

    @property
    def last_sequence(self) -> int:
        """Sequence of the newest fact ever added, 0 before the first."""
        with self._guarded() as database:
            row = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'fact'").fetchone()
            return int(row[0]) if row else 0

    def add(self, verb: str, data: dict[str, Any]) -> int:
        """Store a fact and return its sequence once it is on disk.

        Raises FactInvalid, and JournalFull when the size bound or the disk is reached.
        """
        try:
            payload = orjson.dumps({"verb": verb, "data": data, "at": time.time()}).decode()
        except TypeError as error:
            raise FactInvalid(f"{verb}: {error}") from None
        size = len(orjson.dumps(payload))  # as text within the envelope, where quotes are escaped once more
        if size > FACT_LIMIT_BYTES:
            raise FactInvalid(f"{verb}: {size} bytes when sent; a fact may have {FACT_LIMIT_BYTES}")
        with self._guarded() as database, database:
            sequence = database.execute("INSERT INTO fact (payload) VALUES (?)", (payload,)).lastrowid
        assert sequence is not None
        self.wake()
        return sequence

    def unacknowledged(self, after: int = 0, limit: int = 100) -> list[Fact]:
        """Return up to `limit` facts with a sequence above `after`, oldest first."""
        query = "SELECT sequence, payload FROM fact WHERE sequence > ? ORDER BY sequence LIMIT ?"
        with self._guarded() as database:
            return [Fact(*row) for row in database.execute(query, (after, limit))]

    def count(self) -> int:
        """Return how many facts control has not stored yet."""
        with self._guarded() as database:
            return int(database.execute("SELECT count(*) FROM fact").fetchone()[0])

    def acknowledge(self, sequence: int) -> None:
        """Forget the facts up to `sequence`, which control has stored.

        Raises JournalUnavailable when the disk has no room even for that; the acknowledgement comes again.
        """
        with self._guarded() as database, database:
            database.execute("DELETE FROM fact WHERE sequence <= ?", (sequence,))

    def is_acknowledged(self, sequence: int) -> bool:
        """Say whether control has stored the fact with this sequence."""
        query = """SELECT 1 FROM sqlite_sequence WHERE name = 'fact' AND seq >= ?
                   AND NOT EXISTS (SELECT 1 FROM fact WHERE sequence = ?)"""
        with self._guarded() as database:
            return database.execute(query, (sequence, sequence)).fetchone() is not None

    def fence(self, launch: str, generation: int) -> bool:
        """Let a command of `generation` pass; False if a newer one of this launch was seen.

        The newest generation is remembered on disk, for the last 10,000 launches.
        """
        with self._guarded() as database, database:
            row = database.execute("SELECT generation FROM fence WHERE launch = ?", (launch,)).fetchone()
            if row and generation <= row[0]:
                return bool(generation == row[0])
            # REPLACE gives a new id: the launch counts as the most recently used.
            put = "INSERT OR REPLACE INTO fence (launch, generation) VALUES (?, ?)"
            newest = database.execute(put, (launch, generation)).lastrowid or 0
            database.execute("DELETE FROM fence WHERE id <= ?", (newest - FENCES_KEPT,))
        return True

    def renew_id(self) -> None:
        """Take a new id, because control knows later sequences under this one than the file does.

        That is so after the node's disk was restored from a copy: under the old id control would
        take new facts for ones that it has stored.
        """
        with self._guarded() as database, database:
            database.execute("UPDATE meta SET value = ? WHERE name = 'id'", (uuid.uuid4().hex,))

    def wake(self) -> None:
        """End a `wait` of another thread."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, after: int, timeout_seconds: float) -> None:
        """Return when there is a fact with a sequence above `after`, at the latest after the timeout."""
        with self._changed:
            if not self.unacknowledged(after, 1):
                self._changed.wait(timeout_seconds)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    # Within --------------------------------------------------------------------

    def _read_meta(self, name: str) -> str:
        with self._guarded() as database:
            return str(database.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])

    @contextmanager
    def _guarded(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._database
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                    raise JournalFull(f"{self.path}: {error}; free disk space on this node") from error
                raise JournalUnavailable(f"{self.path}: {error}") from error
            except sqlite3.DatabaseError as error:
                if type(error) is not sqlite3.DatabaseError:
                    raise
                self._replace(error)
                raise JournalUnavailable(f"{self.path}: was damaged and has been replaced") from error

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise  # no permission, no space: nothing that a new file would mend
        except sqlite3.DatabaseError as error:
            self._move_aside(error)
            return self._connect()

    def _replace(self, error: sqlite3.DatabaseError) -> None:
        self._database.close()
        self._move_aside(error)
        self._database = self._connect()

    def _move_aside(self, error: sqlite3.DatabaseError) -> None:
        aside = f"{self.path.name}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"
        logger.error("%s is damaged (%s); kept as %s, a new journal begins", self.path, error, aside)
        self.path.replace(self.path.with_name(aside))
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).replace(self.path.with_name(aside + suffix))

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, check_same_thread=False, timeout=5)
        try:
            self._prepare(database)
        except BaseException:
            database.close()
            raise
        return database

    def _prepare(self, database: sqlite3.Connection) -> None:
        self.path.chmod(0o600)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        page_bytes = database.execute("PRAGMA page_size").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {self._size_limit_bytes // page_bytes}")
        database.execute(f"PRAGMA journal_size_limit = {self._size_limit_bytes // 4}")
        if database.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("quick_check found damage")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            with database:
                database.executescript(f"BEGIN; {SCHEMA}")
                database.execute("INSERT INTO meta VALUES ('id', ?)", (uuid.uuid4().hex,))
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"is of version {version}, this agent writes {VERSION}")
