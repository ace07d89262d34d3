"""The archive process: the one that reads transcripts while `up` runs, and does what pages ask for.

It holds the archive's lock only while it has something to store, so that
`manage.py import_transcripts` gets its turn; and it waits while that has it.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import psutil
import structlog
from django.db import DatabaseError, close_old_connections

from transcripts_app.importing.costs import costs_refresh
from transcripts_app.importing.follow import Followed, owners_keep
from transcripts_app.importing.follower import Look
from transcripts_app.importing.requests import handlers_load, request_next, requests_prune, requests_wait
from transcripts_app.importing.state import StateFile
from transcripts_app.importing.writer import ArchiveBusy, ArchiveFull, Writer
from transcripts_app.node_store import mirror
from transcripts_app.services_prices import prices_table
from transcripts_app.sources import sources_default, sources_followed
from transcripts_app.uploads import uploads_tidy

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.4
QUIET_TICK_SECONDS = 0.8
QUIET_AFTER_SECONDS = 60.0
SOURCES_SECONDS = 3.0
PRUNE_SECONDS = 3600.0
TROUBLE_SECONDS = 5.0
NICE = 10

Work = Callable[[Writer], None]


class ArchiveProcess:
    """Goes round: look at sources and requests, then do what is due with the archive's lock."""

    def __init__(self, archive: Path, node: str) -> None:
        self.archive, self.node = archive, node
        self.state = StateFile(archive)
        self.sources: dict[int, Followed] = {}
        self._sources_at = self._prune_at = float("-inf")
        self._stirred = time.monotonic()
        self._trouble = ""

    def run(self) -> NoReturn:
        """Until SIGTERM."""
        handlers_load()
        self.state.tell(state="idle", reading=None, problem="")
        while True:
            pause = self.round()
            self.state.alive()
            time.sleep(pause)

    def round(self) -> float:
        """One round; the seconds to wait for the next."""
        try:
            if self.work():
                self._stirred = time.monotonic()
            self._well()
        except ArchiveBusy:
            self.state.tell(state="waiting", problem="Another process writes to the archive.")
        except (DatabaseError, sqlite3.Error, OSError, ArchiveFull) as error:
            self._troubled(error)
            return TROUBLE_SECONDS
        except Exception as error:
            log.exception("the archive stumbled")
            self._troubled(error)
            return TROUBLE_SECONDS
        quiet = time.monotonic() - self._stirred > QUIET_AFTER_SECONDS
        return QUIET_TICK_SECONDS if quiet else TICK_SECONDS

    def work(self) -> bool:
        """Look, and do what there is to do; whether there was anything. Raises ArchiveBusy."""
        self._sources_load()
        looks = [(one, one.look()) for one in self.sources.values()]
        wanted = [(one, look) for one, look in looks if look or (not one.begun and not look.problem)]
        if any(look.whole for _, look in looks):
            self._sources_tell()
        asked = requests_wait()
        if not wanted and not asked:
            return False
        with Writer(self.archive) as writer:
            self.state.tell(state="working", problem="")
            costs_refresh(writer, prices_table())
            self._read(writer, wanted)
            if asked:
                request_next(writer)
        return True

    def _read(self, writer: Writer, wanted: list[tuple[Followed, Look]]) -> None:
        owners_keep(writer, [one for one, _ in wanted])
        for one, look in wanted:
            one.read(writer, look, self.state)

    def _sources_load(self) -> None:
        """Take up sources that were added, leave those that were disabled or removed."""
        now = time.monotonic()
        if now - self._prune_at >= PRUNE_SECONDS:
            self._prune_at = now
            requests_prune()
            uploads_tidy()
        if now - self._sources_at < SOURCES_SECONDS:
            return
        self._sources_at = now
        sources_default(self.node)
        wanted = {row.pk: row for row in sources_followed(self.node)}
        for number in self.sources.keys() - wanted.keys():
            del self.sources[number]
        for number, row in wanted.items():
            owner = row.owner.username if row.owner else ""
            if number in self.sources:
                self.sources[number].owner = owner
            else:
                copies = None if row.node == self.node else mirror(row)
                self.sources[number] = Followed(number, row.node, row.path, owner, copies)

    def _sources_tell(self) -> None:
        told = {
            str(one.id): {"seen_ms": one.seen_ms, "problem": one.problem, "read": one.begun}
            for one in self.sources.values()
        }
        self.state.tell(sources=told)

    def _well(self) -> None:
        self._trouble = ""
        self.state.tell(state="idle", problem="")

    def _troubled(self, error: Exception) -> None:
        """Say once what is wrong, and go on: a full disk and a database that is away come back."""
        sentence = f"{type(error).__name__}: {error}"
        if sentence != self._trouble:
            log.warning("the archive waits", reason=sentence)
        self._trouble = sentence
        self.state.tell(state="waiting", problem=sentence)
        # What was looked at may not be stored: look at everything again.
        self.sources.clear()
        self._sources_at = float("-inf")
        if isinstance(error, DatabaseError):
            close_old_connections()


def main(archive: Path, node: str) -> NoReturn:
    """Run until SIGTERM or SIGINT, behind everybody else on this machine."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    _step_back()
    log.info("archive runs", archive=str(archive), node=node)
    ArchiveProcess(archive, node).run()


def _stop(*_: Any) -> NoReturn:
    """Every transaction that is open is rolled back, and the next start goes on there."""
    raise SystemExit(0)


def _step_back() -> None:
    """Reading gigabytes must not be felt by a model that starts."""
    try:
        os.nice(NICE)
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
    except (OSError, psutil.Error) as error:
        log.info("the archive keeps its usual priority", reason=str(error))
