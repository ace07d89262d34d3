"""How long a statement waits for a database that another one has locked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def lock_wait(seconds: float) -> Iterator[None]:
    """Within, statements of this thread give up on a lock after `seconds` (OperationalError).

    SQLite locks the whole database, so there it matters; PostgreSQL locks rows, and waits as ever.
    Source: sqlite.org/pragma.html#pragma_busy_timeout (milliseconds).
    """
    if connection.vendor != "sqlite":
        yield
        return
    _busy_timeout_set(seconds)
    try:
        yield
    finally:
        _busy_timeout_set(float(connection.settings_dict["OPTIONS"]["timeout"]))


def _busy_timeout_set(seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
