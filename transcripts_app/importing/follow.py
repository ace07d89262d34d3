"""Following the sources of this machine: what their owners' sessions write is read at once.

One run of the ledger a day, trigger `follow`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from transcripts_app.importing.batch import Limits
from transcripts_app.importing.follower import Follower, Look
from transcripts_app.importing.gone import gone_flag
from transcripts_app.importing.ledger import Count
from transcripts_app.importing.places import files_known, source_ensure
from transcripts_app.importing.run import COMMIT_BYTES, ImportRun, Progress, files_sum
from transcripts_app.importing.search_index import SearchIndex
from transcripts_app.importing.state import StateFile
from transcripts_app.importing.walk import Found
from transcripts_app.importing.writer import Writer, now_ms
from transcripts_app.node_store import mirror_is_whole, mirror_release

FILES_AT_ONCE = 50
LINES = ("session", "agent", "journal")


class DayRun(ImportRun):
    """The run of today: gone on with, also after the process was killed; those of days before are closed."""

    def __init__(self, writer: Writer, trigger: str = "follow") -> None:
        rows = writer.connection.execute(
            "SELECT id, started_ms, totals FROM archive_importrun WHERE trigger = ? AND state = 'running' "
            "ORDER BY id",
            (trigger,),
        ).fetchall()
        today = [row for row in rows if _day(row[1]) == _day(now_ms())][-1:]
        old = [(now_ms(), row[0]) for row in rows if row not in today]
        if old:
            with writer.transaction() as connection:
                connection.executemany(
                    "UPDATE archive_importrun SET state = 'done', ended_ms = ? WHERE id = ?", old
                )
        if not today:
            super().__init__(writer, trigger)
            return
        self.writer, self.id = writer, today[0][0]
        self.limits, self.commit_bytes = Limits(), COMMIT_BYTES
        # What a kill left out of the totals stands with the files.
        self.total = Count.from_json(json.loads(today[0][2]))
        self.by_file: dict[int, Count] = {}
        self.changed: set[int] = set()
        self.index = SearchIndex(writer)

    def counts_load(self, files: list[int]) -> None:
        query = f"SELECT file_id, count FROM archive_importfile WHERE run_id = {int(self.id)}"  # noqa: S608
        for file, count in self.writer.where_in(query + " AND file_id IN (%s)", files):
            self.by_file[file] = Count.from_json(json.loads(count))

    def sum(self) -> None:
        """Make the totals anew of what stands with the files: a kill may have come between."""
        self.total = files_sum(self.writer, self.id)

    def save(self) -> None:
        """Keep the totals so far; the day goes on."""
        with self.writer.transaction():
            self.note("running", self.total)


@dataclass
class Followed:
    """One source. `mirror` is the folder of copies, where it is another node's."""

    id: int
    node: str
    path: str
    owner: str
    mirror: Path | None = None
    follower: Follower = field(init=False)
    begun: bool = False
    problem: str = ""
    seen_ms: int = 0

    def __post_init__(self) -> None:
        self.follower = Follower(str(self.mirror or self.path))

    def look(self) -> Look:
        """What is new. A folder that cannot be read is a problem, told until it can."""
        look = self.follower.look()
        if look.whole:
            self.problem = look.problem
            self.seen_ms = self.seen_ms if look.problem else now_ms()
        return look

    def read(self, writer: Writer, look: Look, state: StateFile) -> None:
        """Read what a look found: the first time all of it, later what has changed."""
        run = DayRun(writer, "node" if self.mirror else "follow")

        def told(progress: Progress) -> None:
            state.reading(self.id, progress)

        if self.mirror:
            self._mirror_read(run, look, told)
        elif not self.begun or look.gone:
            # Whatever changes while it is read is different from what the look saw, so the next one finds it.
            run.source_read(self.node, Path(self.path), owner=self.owner, progress=told)
            self.follower.done(look.changed, look.gone)
            run.sum()
            run.save()
            self.begun = True
        else:
            ordered = sorted(look.changed, key=lambda one: (one.mtime_ns, one.path))
            for at in range(0, len(ordered), FILES_AT_ONCE):
                part = ordered[at : at + FILES_AT_ONCE]
                run.source_read(
                    self.node, Path(self.path), owner=self.owner, only=part,
                    progress=told if len(ordered) > 1 else None,
                )  # fmt: skip
                self.follower.done(part)
                run.save()
        state.idle()

    def _mirror_read(self, run: DayRun, look: Look, told: Callable[[Progress], None]) -> None:
        """Read what came from a node; what was read of it takes no room any more."""
        assert self.mirror is not None
        name = Path(self.path)
        for at in range(0, len(look.changed) or 1, FILES_AT_ONCE):
            part = self._whole(run.writer, look.changed[at : at + FILES_AT_ONCE])
            run.source_read(self.node, name, "node", self.owner, told, only=part)
            self.follower.done(part)
            self._release(run.writer, part)
        if look.gone:
            gone_flag(run.writer, self._source(run.writer), look.found)
            self.follower.done([], look.gone)
        run.sum()
        run.save()
        self.begun = True

    def _source(self, writer: Writer) -> int:
        with writer.transaction():
            return source_ensure(writer, self.node, self.path, "node", self.owner)

    def _whole(self, writer: Writer, part: list[Found]) -> list[Found]:
        """Leave out copies that have not what is to be read of them: dropped, they are sent anew."""
        known = files_known(writer, self._source(writer), [one.path for one in part])
        whole = []
        for one in part:
            state = known.get(one.path)
            start = state.read_to if state and one.role in LINES else 0
            if mirror_is_whole(Path(one.real), start):
                whole.append(one)
            else:
                Path(one.real).unlink(missing_ok=True)
        return whole

    def _release(self, writer: Writer, part: list[Found]) -> None:
        known = files_known(writer, self._source(writer), [one.path for one in part])
        for one in part:
            if one.path in known:
                mirror_release(Path(one.real), known[one.path].read_to)


def owners_keep(writer: Writer, sources: list[Followed]) -> None:
    """Bring the owner of each source in the archive up to date."""
    for one in sources:
        row = writer.connection.execute(
            "SELECT id, owner FROM archive_source WHERE node = ? AND root = ?", (one.node, one.path)
        ).fetchone()
        if row and row[1] != one.owner:
            with writer.transaction() as connection:
                connection.execute("UPDATE archive_source SET owner = ? WHERE id = ?", (one.owner, row[0]))


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y%m%d")
