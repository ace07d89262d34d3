"""One SQLite file for each namespace, with an authorizer, limits and a deadline on what callers ask of it.

Nothing that a statement says reaches another file: ATTACH (and with it VACUUM INTO), extensions,
virtual tables and all PRAGMAs but the harmless ones are denied. Source: sqlite.org/security.html.
"""

from __future__ import annotations

import math
import os
import re
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

FOLDER = ".data"
NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
SECONDS = 5.0
ROWS_MOST = 1000
ANSWER_BYTES_MOST = 1_000_000
VALUE_BYTES_MOST = 8_000_000
FILE_BYTES_MOST = 64 * 2**20
PAGE_BYTES = 4096
STEPS = 2000  # between two looks at the clock
PRAGMAS = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"}
FUNCTIONS_DENIED = {"load_extension", "fts3_tokenizer", "edit", "readfile", "writefile"}
# What Python's sqlite3 has no names for; numbers of sqlite3.h.
LIMITS = {
    0: VALUE_BYTES_MOST,
    1: 200_000,
    2: 200,
    3: 200,
    4: 20,
    5: 250_000,
    6: 100,
    7: 0,
    8: 500,
    9: 200,
    10: 10,
    11: 0,
}


class Refused(Exception):
    """What the database does not do, as a sentence."""


class Database:
    """One namespace, open for one call."""

    def __init__(self, workspace: str, namespace: str) -> None:
        if not NAMESPACE.fullmatch(namespace):
            raise Refused("namespace must be letters, digits, - and _, at most 64, a letter or digit first.")
        folder = os.path.join(workspace, FOLDER)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, namespace + ".sqlite3")
        for place in (folder, path):
            if os.path.islink(place):
                raise Refused("The workspace's .data was replaced by a link; delete it first.")
        self.deadline = 0.0
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=5)
        self._bound()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def _bound(self) -> None:
        connection = self.connection
        if hasattr(connection, "setlimit"):
            for category, most in LIMITS.items():
                connection.setlimit(category, most)
        if hasattr(connection, "setconfig"):
            connection.setconfig(1010, True)  # SQLITE_DBCONFIG_DEFENSIVE
        try:
            connection.execute(f"PRAGMA max_page_count = {FILE_BYTES_MOST // PAGE_BYTES}")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value TEXT, expires_at REAL)"
            )
            connection.execute("DELETE FROM kv WHERE expires_at <= ?", (time.time(),))
        except sqlite3.Error as error:
            connection.close()
            raise Refused(f"The database of this namespace cannot be used: {error}.") from None
        connection.set_authorizer(authorize)
        connection.set_progress_handler(lambda: time.monotonic() > self.deadline, STEPS)

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        self.deadline = time.monotonic() + SECONDS
        try:
            return self.connection.execute(sql, values)
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            raise Refused(self._words(error)) from None

    def _words(self, error: Exception) -> str:
        if time.monotonic() > self.deadline:
            return f"The statement took more than {SECONDS:.0f} seconds and was ended."
        said = str(error)
        if any(word in said for word in ("not authorized", "authorization denied", "prohibited")):
            return f"Not authorized ({said}): a statement may not leave its own database."
        return f"SQLite says: {said[:500]}."

    def get(self, key: str) -> str | None:
        """The value of a key, or None."""
        row = self._execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()
        return row and row[0]

    def put(self, key: str, value: str, ttl_seconds: int | None) -> None:
        """Keep a value, for so long or for good."""
        expires_at = time.time() + ttl_seconds if ttl_seconds else None
        self._execute("INSERT OR REPLACE INTO kv VALUES (?, ?, ?)", (key, value, expires_at))

    def delete(self, key: str) -> bool:
        """Whether there was such a value."""
        return self._execute("DELETE FROM kv WHERE key = ?", (key,)).rowcount > 0

    def names(self, beginning: str) -> list[str]:
        """Keys that begin so, sorted."""
        sql = "SELECT key FROM kv WHERE substr(key, 1, ?) = ? ORDER BY key LIMIT 10000"
        return [row[0] for row in self._execute(sql, (len(beginning), beginning))]

    def query(self, sql: str, params: list[Any]) -> dict[str, Any]:
        """Columns and rows of one statement, cut where they are too many."""
        cursor = self._execute(sql, [value_in(value) for value in params])
        if cursor.description is None:
            return {"changed": max(cursor.rowcount, 0)}
        rows: list[list[Any]] = []
        size, truncated = 0, False
        try:
            for row in cursor:
                size += sum(len(value) if isinstance(value, (str, bytes)) else 8 for value in row)
                if len(rows) >= ROWS_MOST or size > ANSWER_BYTES_MOST:
                    truncated = True
                    break
                rows.append([value_out(value) for value in row])
        except sqlite3.Error as error:
            raise Refused(self._words(error)) from None
        columns = [column[0] for column in cursor.description]
        return {"columns": columns, "rows": rows, "count": len(rows), "truncated": truncated}


def authorize(
    action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None
) -> int:
    """SQLite asks this before it compiles each part of a statement."""
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and str(first).lower() not in PRAGMAS:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and str(second).lower() in FUNCTIONS_DENIED:
        return sqlite3.SQLITE_DENY
    if action in (sqlite3.SQLITE_CREATE_VTABLE, sqlite3.SQLITE_DROP_VTABLE) and str(second).lower() != "fts5":
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def value_in(value: Any) -> Any:
    """A JSON value as SQLite takes it: lists and objects as JSON text."""
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise Refused("params may hold text, numbers, true, false and null; give lists and objects as JSON text.")


def value_out(value: Any) -> Any:
    """A value of SQLite as JSON has it: bytes in hex, no infinities."""
    if isinstance(value, bytes):
        return "x'" + value.hex() + "'"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
