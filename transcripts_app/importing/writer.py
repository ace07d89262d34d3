"""The one connection that writes to the archive. Held by one process at a time."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CACHE_KB = 49152
CHECKPOINT_PAGES = 8192  # of 4 KiB: what waits in the WAL before it is written to its place
FULL_CODES = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
PARAMETERS_MOST = 500


class ArchiveBusy(RuntimeError):
    """Another process is writing to the archive."""


class ArchiveFull(RuntimeError):
    """There is no room for more: what was stored stays, the batch in hand is read again the next time."""


class Writer:
    """A connection with the lock of the archive. Use `with`; `transaction()` around what belongs together.

    Raises ArchiveBusy where another process holds the lock for longer than `wait_seconds`.
    """

    def __init__(self, path: Path, wait_seconds: float = 0.0) -> None:
        self.path = path
        self._lock = _locked(path, wait_seconds)
        self.connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        for pragma in (
            "journal_mode=WAL", "synchronous=NORMAL", f"cache_size=-{CACHE_KB}", "temp_store=MEMORY",
            "journal_size_limit=67108864", "foreign_keys=OFF", f"wal_autocheckpoint={CHECKPOINT_PAGES}",
        ):  # fmt: skip
            self.connection.execute(f"PRAGMA {pragma}")
        self._next: dict[str, int] = {}
        self.is_swept = False  # runs that a killed process left open were closed

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write."""
        self.connection.close()
        os.close(self._lock)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; nothing when the process is killed within. Raises ArchiveFull."""
        self.begin()
        try:
            yield self.connection
            self.commit()
        except BaseException as error:
            self.rollback()
            if full := self.full(error):
                raise full from error
            raise

    def begin(self) -> None:
        """Begin a transaction. Readers go on; they see it once it is committed."""
        self.connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make what was written since `begin` stay."""
        self.connection.execute("COMMIT")

    def rollback(self) -> None:
        """Forget what was written since `begin`, if anything was begun."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self._next.clear()

    def full(self, error: BaseException) -> ArchiveFull | None:
        """Return what to say where an error means that the disk has no room; else None."""
        if not isinstance(error, sqlite3.Error) or error.sqlite_errorcode not in FULL_CODES:
            return None
        return ArchiveFull(
            f"no room left for the archive at {self.path}: free some space and run it again; "
            "what was stored so far is kept"
        )

    def next_id(self, table: str) -> int:
        """A primary key that no row has, in the order asked for."""
        return self.ids(table, 1)

    def ids(self, table: str, count: int) -> int:
        """The first of so many primary keys in a row that no row has."""
        if table not in self._next:
            found = self.connection.execute(f"SELECT COALESCE(MAX(id), 0) FROM archive_{table}")  # noqa: S608
            self._next[table] = found.fetchone()[0]
        first = self._next[table] + 1
        self._next[table] += count
        return first

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows whose values stand in the order of `columns`; names are ours, never a user's."""
        if rows:
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            self.connection.executemany(
                f"INSERT INTO archive_{table} ({names}) VALUES ({marks})",  # noqa: S608
                rows,
            )

    def stale(self, sessions: Iterable[int]) -> None:
        """Have these sessions' figures made anew: something that they count changed."""
        self.connection.executemany(
            "UPDATE archive_session SET is_stale = 1 WHERE id = ?", [(one,) for one in sessions]
        )

    def where_in(self, query: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        """Run a query that ends in `IN (%s)` for any number of values."""
        for at in range(0, len(values), PARAMETERS_MOST):
            part = values[at : at + PARAMETERS_MOST]
            yield from self.connection.execute(query % ",".join("?" * len(part)), part)


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _locked(path: Path, wait_seconds: float) -> int:
    """Open and lock the file beside the archive. Raises ArchiveBusy."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
                os.close(descriptor)
                who = f"process {holder}" if holder.isdigit() else "another process"
                raise ArchiveBusy(
                    f"{who} is writing to {path}: wait for it, or stop it, and run this again"
                ) from None
            time.sleep(0.05)
        else:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return descriptor
