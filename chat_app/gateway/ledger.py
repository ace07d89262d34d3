"""Writing down what was used: in batches, by a thread, so that no answer waits for the database.

While the database is away entries wait in memory; each has a uid, so that none is counted twice.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import structlog
from django.db import DatabaseError, DataError, IntegrityError, close_old_connections, connection, transaction
from django.utils import timezone

from chat_app.models import UsageRecord
from sparkweb.accounts.models import ApiKey, User

log = structlog.get_logger(__name__)

EVERY_SECONDS = 1.0
BATCH = 500
WAITING_MOST = 200_000
USED_EVERY = timedelta(seconds=60)


class Entry(NamedTuple):
    """A row of UsageRecord, in the order of its columns; what a request leaves, cheap to make."""

    uid: str
    at: datetime
    user_id: int | None
    user_label: str
    key_id: int | None
    key_label: str
    model: str
    launch_uid: str
    node_name: str
    endpoint: str
    streamed: bool
    status: int
    outcome: str
    error: str
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    is_estimated: bool
    first_ms: float | None
    duration_ms: float


class Ledger:
    """Takes entries from any thread; the first starts its own."""

    def __init__(self) -> None:
        self._waiting: deque[Entry] = deque()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._lost = 0

    def add(self, record: Entry) -> None:
        """Take an entry; it is stored within about a second."""
        with self._lock:
            if len(self._waiting) >= WAITING_MOST:
                self._waiting.popleft()
                self._lost += 1
            self._waiting.append(record)
            if self._thread is None or not self._thread.is_alive():
                self._stopped.clear()
                self._thread = threading.Thread(target=self._run, name="usage-ledger", daemon=True)
                self._thread.start()

    def close(self, seconds: float = 2.0) -> None:
        """Store what waits, and end; gives up after `seconds`."""
        self._stopped.set()
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait(EVERY_SECONDS)
            self._wake.clear()
            self._store()
        self._store()
        close_old_connections()

    def _store(self) -> None:
        while batch := self._batch():
            try:
                close_old_connections()
                _store_whole_or_each(batch)
                _keys_used({record.key_id for record in batch if record.key_id})
            except DatabaseError as error:
                log.warning("usage waits for the database", entries=len(self._waiting), error=str(error))
                return
            except Exception:
                # One entry that no database takes must not hold up all others.
                log.exception("usage was not stored", entries=len(batch))
            done = {entry.uid for entry in batch}
            with self._lock:
                while self._waiting and self._waiting[0].uid in done:
                    self._waiting.popleft()
                if self._lost:
                    log.error("usage was lost: the database was away for too long", entries=self._lost)
                    self._lost = 0

    def _batch(self) -> list[Entry]:
        with self._lock:
            return [self._waiting[at] for at in range(min(BATCH, len(self._waiting)))]


def _store_whole_or_each(batch: list[Entry]) -> None:
    """Store a batch; where the database refuses it, each alone, so that one cannot hold up all others.

    A person or key that was deleted meanwhile leaves a row without one. Raises DatabaseError while the
    database is away.
    """
    try:
        entries_store(batch)
    except (IntegrityError, DataError):
        users = set(User.objects.filter(pk__in={one.user_id for one in batch}).values_list("pk", flat=True))
        keys = set(ApiKey.objects.filter(pk__in={one.key_id for one in batch}).values_list("pk", flat=True))
        for one in batch:
            user, key = one.user_id, one.key_id
            whole = one._replace(user_id=user if user in users else None, key_id=key if key in keys else None)
            try:
                entries_store([whole])
            except (IntegrityError, DataError):
                log.exception("usage was not stored", entry=one.uid)


def entries_store(entries: list[Entry]) -> None:
    """Insert rows; those that are there already stay as they are. Raises DatabaseError."""
    # Not by bulk_create: it costs more than the request itself.
    columns, marks = ", ".join(Entry._fields), ", ".join(["%s"] * len(Entry._fields))
    table = UsageRecord._meta.db_table
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT (uid) DO NOTHING",  # noqa: S608
            [tuple(entry) for entry in entries],
        )


def _keys_used(keys: set[Any]) -> None:
    """Remember when keys were used, at most once a minute each."""
    now = timezone.now()
    unused = ApiKey.objects.filter(pk__in=keys).exclude(last_used_at__gt=now - USED_EVERY)
    unused.update(last_used_at=now)


LEDGER = Ledger()


class Meter:
    """Times one request (monotonic clock)."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self.at = datetime.now(UTC)
        self.first_ms: float | None = None

    def first(self) -> None:
        """Note that the first byte of the answer goes out."""
        if self.first_ms is None:
            self.first_ms = self.ms

    @property
    def ms(self) -> float:
        """Milliseconds so far."""
        return (time.perf_counter() - self._began) * 1000
