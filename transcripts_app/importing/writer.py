"""The one connection that writes to the archive. Held by one process at a time."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CACHE_KB = 65536
PARAMETERS_MOST = 500


class ArchiveBusy(RuntimeError):
    """Another process is writing to the archive."""


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
            "journal_size_limit=67108864", "foreign_keys=OFF",
        ):  # fmt: skip
            self.connection.execute(f"PRAGMA {pragma}")
        self._next: dict[str, int] = {}

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
        """All of it or nothing; nothing when the process is killed within."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
        except BaseException:
            self.connection.execute("ROLLBACK")
            self._next.clear()
            raise
        self.connection.execute("COMMIT")

    def next_id(self, table: str) -> int:
        """A primary key that no row has, in the order asked for."""
        if table not in self._next:
            found = self.connection.execute(f"SELECT COALESCE(MAX(id), 0) FROM archive_{table}")  # noqa: S608
            self._next[table] = found.fetchone()[0]
        self._next[table] += 1
        return self._next[table]

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows whose values stand in the order of `columns`; names are ours, never a user's."""
        if rows:
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            self.connection.executemany(
                f"INSERT INTO archive_{table} ({names}) VALUES ({marks})",  # noqa: S608
                rows,
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
                os.close(descriptor)
                raise ArchiveBusy(f"another process is writing to {path}") from None
            time.sleep(0.05)
        else:
            return descriptor
