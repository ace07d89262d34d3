"""A search ends after so long."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

STEPS = 2000
"""Instructions of SQLite between two looks at the clock: well under a millisecond."""


class TooLong(RuntimeError):
    """A search was stopped before it had read everything."""


@contextmanager
def time_limit(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """Within, queries on this connection are stopped after so many seconds.

    Raises TooLong. Source: sqlite.org/c3ref/progress_handler.html.
    """
    until = time.monotonic() + seconds

    stopped = False

    def over() -> bool:
        nonlocal stopped
        stopped = stopped or time.monotonic() >= until
        return stopped

    connection.set_progress_handler(over, STEPS)
    try:
        yield
    except sqlite3.Error as error:
        if not stopped:  # "interrupted", or what a part of FTS5 says that was stopped
            raise
        raise TooLong(f"stopped after {seconds:g} s") from error
    finally:
        connection.set_progress_handler(None, 0)
