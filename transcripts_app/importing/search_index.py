"""Upkeep of the full-text index: no merges while much is read, then small ones, each its own transaction.

Source: sqlite.org/fts5.html, "Special INSERT Commands"; `hashsize` is FTS5's own setting for how much it
gathers in memory before it writes a segment.
"""

from __future__ import annotations

from transcripts_app.importing.writer import Writer

USUAL = {"automerge": 8, "crisismerge": 16, "usermerge": 4, "hashsize": 2**20}
BULK = {"automerge": 0, "crisismerge": 400, "usermerge": 4, "hashsize": 24 * 2**20}
SLICE_PAGES = 1000  # about 4 MB written, a tenth of a second
COMMITS_BETWEEN = 4


class SearchIndex:
    """The index as one run treats it."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        found = writer.connection.execute(
            "SELECT v FROM archive_search_config WHERE k = 'automerge'"
        ).fetchone()
        self.is_bulk = bool(found and found[0] == BULK["automerge"])  # left so by a run that was killed
        self.commits = 0

    def bulk(self) -> None:
        """Much is coming: gather more in memory, and leave merges for later."""
        if not self.is_bulk:
            self._set(BULK)
            self.is_bulk = True

    def keep_up(self) -> None:
        """Called after each commit: a very long import merges now and then, so that searches stay quick."""
        self.commits += 1
        if self.is_bulk and self.commits % COMMITS_BETWEEN == 0:
            self.merge()

    def settle(self) -> None:
        """After the reading: merge what is left, and go back to merging as one goes."""
        if self.is_bulk:
            self.merge()
            self._set(USUAL)
            self.is_bulk = False

    def merge(self) -> None:
        """Merge in slices until nothing is left to merge. A reader waits for none of them."""
        connection, done = self.writer.connection, False
        while not done:
            before = connection.total_changes
            with self.writer.transaction():
                connection.execute(
                    "INSERT INTO archive_search (archive_search, rank) VALUES ('merge', ?)", (SLICE_PAGES,)
                )
            done = connection.total_changes - before < 2

    def _set(self, values: dict[str, int]) -> None:
        with self.writer.transaction() as connection:
            connection.executemany(
                "INSERT INTO archive_search (archive_search, rank) VALUES (?, ?)", list(values.items())
            )
