"""Control's writer of history: readings in, chunks out.

The intake's thread only puts readings into memory. A thread of its own stores closed chunks
in the database, and puts the open ones into Redis every few seconds: there web reads the newest
readings, and a control that starts again finds what it had.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections

from metrics_app.history.figures import Figures, report_figures
from metrics_app.history.open_chunks import Closed, OpenChunks, chunks_merge
from metrics_app.history.packing import Chunk, chunk_pack
from metrics_app.history.store import chunk_find, chunk_store, open_find, open_put
from metrics_app.history.tiers import Tier
from sparkweb.streams import StreamsDown

log = structlog.get_logger(__name__)

FLUSH_EVERY_SECONDS = 5.0
CLOSED_WAITING = 500
LONGEST_UNSTORED_SECONDS = 6 * 3600.0


class Recorder:
    """One in control. `take` from any thread, `start` and `close` around it."""

    def __init__(self, tiers: tuple[Tier, ...] | None = None) -> None:
        self._lock = threading.Lock()
        self._open = OpenChunks(tiers or settings.HISTORY_TIERS, _kept)
        self._closed: queue.Queue[Closed] = queue.Queue(CLOSED_WAITING)
        self._wake = threading.Event()
        self._stored: dict[tuple[str, int, int], float] = {}
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is open to Redis and what is closed to the database, and end."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(3.0)

    def take(self, node_name: str, report: dict[str, Any], received_at: float) -> Figures:
        """Keep one report's figures, at control's time in seconds; returns them."""
        figures = report_figures(node_name, report)
        with self._lock:
            closed = self._open.take(node_name, received_at, figures)
        for one in closed:
            try:
                self._closed.put_nowait(one)
            except queue.Full:
                log.error("history is lost: the database takes nothing", node=node_name, tier=one.tier.number)
        return figures

    def flush(self) -> None:
        """Store what is closed, show what is open. Raises DatabaseError, and keeps what is not stored."""
        while True:
            try:
                one = self._closed.get_nowait()
            except queue.Empty:
                break
            try:
                _store(one)
            except DatabaseError:
                self._closed.queue.appendleft(one)
                raise
        with self._lock:
            packed = [
                (one.node_name, one.tier, one.start, chunk_pack(one.chunk)) for one in self._open.changed()
            ]
        try:
            open_put(packed)
        except StreamsDown as error:
            log.debug("open chunks wait", error=str(error))
        self._store_long(packed)

    def _store_long(self, packed: list[tuple[str, Tier, int, bytes]]) -> None:
        """Store chunks that stay open for long now and then: Redis may be flushed, and control end."""
        now = time.monotonic()
        for node_name, tier, start, data in packed:
            place = (node_name, tier.number, start)
            since = self._stored.setdefault(place, now)
            if now - since >= min(max(tier.period / 24, 300.0), LONGEST_UNSTORED_SECONDS):
                chunk_store(node_name, tier, start, data)
                self._stored[place] = now
        self._stored = {
            place: at for place, at in self._stored.items() if now - at < 2 * LONGEST_UNSTORED_SECONDS
        }

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(FLUSH_EVERY_SECONDS)
            try:
                self.flush()
            except DatabaseError as error:
                log.warning("database does not answer; history waits", error=str(error))
                close_old_connections()
            except Exception:
                log.exception("history failed")
        connections.close_all()


def _store(one: Closed) -> None:
    """Store a closed chunk; one that is there already has further readings, of before a clock jump."""
    kept = chunk_find(one.node_name, one.tier, one.start)
    chunk = chunks_merge(kept, one.chunk) if kept else one.chunk
    chunk_store(one.node_name, one.tier, one.start, chunk_pack(chunk))


def _kept(node_name: str, tier: Tier, start: int) -> Chunk | None:
    """What is kept of a period: in Redis if it is the one that was open last, else in the database."""
    try:
        found = open_find(node_name, tier)
        if found is not None and found[0] == start:
            return found[1]
        return chunk_find(node_name, tier, start)
    except StreamsDown:
        return None
    except DatabaseError as error:  # what is kept is merged when the chunk closes
        log.warning("history begins a chunk without what is kept of it", node=node_name, error=str(error))
        return None


RECORDER = Recorder()
