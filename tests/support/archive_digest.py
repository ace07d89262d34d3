"""What an archive says, whatever numbers its rows happen to have: two that say the same are equal."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import zstandard

TABLES = (
    "project", "session", "transcriptfile", "response", "record", "toolcall", "title", "badline", "secrethit",
    "usage", "tooluse", "sessionday",
)  # fmt: skip
SESSION_FACET = re.compile(r"s(\d+)$")


def archive_says(path: Path) -> dict[str, list[str]]:
    """Everything in an archive, by subject, sorted."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    try:
        return _Reader(connection).all()
    finally:
        connection.close()


def archive_digest(path: Path) -> str:
    """One digest of it all."""
    return hashlib.sha256(json.dumps(archive_says(path), sort_keys=True).encode()).hexdigest()


class _Reader:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.sessions = self.names("SELECT id, key FROM archive_session")
        self.projects = self.names("SELECT id, node || ':' || path FROM archive_project")
        self.files = self.names("SELECT id, path FROM archive_transcriptfile")
        self.responses = {
            number: bytes(key).hex()
            for number, key in connection.execute("SELECT id, key FROM archive_response")
        }
        self.records = {
            number: f"{self.files[file]}:{generation}:{line}"
            for number, file, generation, line in connection.execute(
                "SELECT id, file_id, generation, line FROM archive_record"
            )
        }

    def names(self, query: str) -> dict[int | None, str]:
        return {None: "", **dict(tuple(row) for row in self.connection.execute(query))}

    def all(self) -> dict[str, list[str]]:
        said = {table: self.table(table) for table in TABLES}
        return said | {"raw": self.raw(), "ledger": self.ledger(), "search": self.search()}

    def table(self, name: str) -> list[str]:
        rows = self.connection.execute(f"SELECT * FROM archive_{name}")
        return sorted(json.dumps(self.row(name, dict(row)), sort_keys=True) for row in rows)

    def row(self, table: str, row: dict[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, value in row.items():
            if name in ("id", "changed_ms", "source_id", "block_id", "start") and not (
                table == "badline" and name == "start"
            ):
                continue
            if name == "gone_ms":
                value = value is not None
            elif name in ("session_id", "forked_from_id") and not (
                name == "session_id" and table in ("session", "title")
            ):
                value = self.sessions[value]
            elif name == "project_id":
                value = self.projects[value]
            elif name in ("file_id", "agent_file_id", "result_file_id"):
                value = self.files[value]
            elif name in ("copy_of", "record_id", "result_id", "leaf"):
                value = self.records.get(value, "")
            elif name == "response":
                value = self.responses.get(value, "")
            elif isinstance(value, bytes):
                value = value.hex()
            out[name] = value
        return out

    def raw(self) -> list[str]:
        """Of each file and generation the bytes; of each record its line."""
        said, blocks = [], {}
        digests: dict[tuple[int, int], Any] = {}
        for number, file, generation, data in self.connection.execute(
            "SELECT id, file_id, generation, data FROM archive_rawblock ORDER BY file_id, generation, start"
        ):
            blocks[number] = zstandard.ZstdDecompressor().decompress(data)
            digests.setdefault((file, generation), hashlib.sha256()).update(blocks[number])
        for (file, generation), digest in digests.items():
            said.append(f"{self.files[file]}:{generation} {digest.hexdigest()}")
        for number, block, start, length in self.connection.execute(
            "SELECT id, block_id, start, length FROM archive_record"
        ):
            line = blocks[block][start : start + length]
            said.append(f"{self.records[number]} {hashlib.sha256(line).hexdigest()}")
        return sorted(said)

    def ledger(self) -> list[str]:
        """What all runs together read of each file."""
        sums: dict[str, Counter[str]] = {}
        for file, count in self.connection.execute("SELECT file_id, count FROM archive_importfile"):
            total = sums.setdefault(self.files[file], Counter())
            for name, value in json.loads(count).items():
                if isinstance(value, dict):
                    total.update({f"{name}:{key}": number for key, number in value.items()})
                elif name not in ("files", "waiting_bytes"):
                    total[name] += value
        return sorted(f"{path} {sorted(total.items())}" for path, total in sums.items())

    def search(self) -> list[str]:
        """Every word of the index with where it stands."""
        self.connection.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS temp.words USING fts5vocab(main, archive_search, 'instance')"
        )
        said = hashlib.sha256()
        places = sorted(
            (self.records[doc], col, offset, self.word(col, term))
            for term, doc, col, offset in self.connection.execute(
                "SELECT term, doc, col, offset FROM temp.words"
            )
        )
        for place in places:
            said.update(repr(place).encode())
        return [f"{len(places)} {said.hexdigest()}"]

    def word(self, column: str, term: str) -> str:
        found = SESSION_FACET.match(term) if column == "facets" else None
        return f"s {self.sessions[int(found.group(1))]}" if found else term
