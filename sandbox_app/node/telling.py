"""Facts about runs on their way into the journal, also when it is full: kept in order, and tried again."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from sparkweb.node_link.journal import FactInvalid, JournalUnavailable

log = structlog.get_logger(__name__)

RETRY_SECONDS = 2.0


class RunJournal(Protocol):
    """The part of the node's journal that runs need."""

    def add(self, verb: str, data: dict[str, Any]) -> int: ...

    def fence(self, launch: str, generation: int) -> bool: ...


class Teller:
    """`tell` returns when the fact is on disk, or waits its turn; `then` is called once it is."""

    def __init__(self, journal: RunJournal) -> None:
        self._journal = journal
        self._waiting: deque[tuple[str, dict[str, Any], Callable[[], None]]] = deque()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="sandbox-facts", daemon=True).start()

    def close(self) -> None:
        self._stopped.set()

    def tell(self, verb: str, data: dict[str, Any], then: Callable[[], None] = lambda: None) -> None:
        """Write down a fact; what happens because of it happens in `then`."""
        with self._lock:
            if self._waiting or not self._added(verb, data):
                self._waiting.append((verb, data, then))
                return
        then()

    def _added(self, verb: str, data: dict[str, Any]) -> bool:
        try:
            self._journal.add(verb, data)
        except FactInvalid as error:
            log.error("a fact about a run is none", verb=verb, run=data.get("run"), reason=str(error))
        except JournalUnavailable as trouble:
            log.warning("a fact about a run waits", verb=verb, run=data.get("run"), reason=str(trouble))
            return False
        return True

    def _run(self) -> None:
        while not self._stopped.wait(RETRY_SECONDS):
            while True:
                with self._lock:
                    if not self._waiting or not self._added(*self._waiting[0][:2]):
                        break
                    then = self._waiting.popleft()[2]
                try:
                    then()
                except Exception:
                    log.exception("what follows a fact failed")
