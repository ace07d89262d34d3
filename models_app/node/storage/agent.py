"""Storage of one node as the agent runs it: the report's section, the listing, the commands."""

from __future__ import annotations

import threading
from typing import Any

import structlog
from celery import shared_task

from models_app.node.facts import FactJournal
from models_app.node.storage.areas import Areas
from models_app.node.storage.jobs import Place, StorageJobs
from models_app.node.storage.ollama_servers import OllamaServers
from models_app.node.storage.scanner import Scanner, listing_digest
from models_app.node.storage.space import GIB
from sparkweb import config
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.node_link.journal import JournalUnavailable

log = structlog.get_logger(__name__)


def place_configured() -> Place:
    """Where this node keeps things, by its settings."""
    return Place(
        hf_cache=config.HF_CACHE,
        hf_endpoint=config.HF_ENDPOINT,
        secrets_dir=config.SECRETS_DIR,
        ollama=config.OLLAMA_MODELS,
        reserve_bytes=config.DISK_RESERVE_GB * GIB,
    )


class NodeStorage:
    """All that one agent does about storage. start() makes it the one that the tasks below use.

    The listing travels as a fact: signed, in order, and stored once. It is told when
    it says something new, and when somebody asked for a look.
    """

    def __init__(
        self,
        engine: DockerEngine,
        journal: FactJournal,
        place: Place,
        ollama_launched: Any,
        own_ollama_url: str = config.OLLAMA_URL,
    ) -> None:
        self._journal = journal
        servers = OllamaServers(ollama_launched, own_ollama_url)
        areas = Areas(engine, servers, place.hf_cache, place.ollama)
        self.scanner = Scanner(areas.all(), self._listing_tell)
        self.jobs = StorageJobs(engine, journal, areas, servers, place, self.scanner.scan_now)
        self._lock = threading.Lock()
        self._told = ""
        self._sequence: int | None = None
        self._wanted = False
        self._closed = False

    def start(self) -> None:
        """Take commands."""
        global _node
        _node = self

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self.jobs.close()

    def section(self) -> dict[str, Any]:
        """The report's `storage`: how each area is and the jobs in progress; the listing is a fact."""
        self.scanner.tick()
        self._listing_tell()
        return {**self.scanner.section(), "jobs": self.jobs.entries()}

    def look(self) -> None:
        """Look at everything again, and tell it also if nothing changed."""
        with self._lock:
            self._wanted = True
        self.scanner.scan_now()

    def _listing_tell(self) -> None:
        """Write the listing into the journal: one at a time, and only what is new."""
        section = self.scanner.section()
        if section["scanning"] or section["scanned_at"] is None:
            return
        listing = self.scanner.listing()
        digest = listing_digest(listing)
        with self._lock:
            if self._closed:
                return
            waits = self._sequence is not None and not self._journal.is_acknowledged(self._sequence)
            if waits or (digest == self._told and not self._wanted):
                return
            try:
                self._sequence = self._journal.add("storage_listed", listing)
            except JournalUnavailable as trouble:
                log.warning("storage not told; it is tried again", reason=str(trouble))
                return
            self._told, self._wanted = digest, False


_node: NodeStorage | None = None


def _running() -> NodeStorage:
    if _node is None:
        raise RuntimeError("this process is no agent: NodeStorage.start() was not called")
    return _node


@shared_task(name="storage.job_run", ignore_result=True)
def job_run(job: str, generation: int, kind: str, subject: dict[str, Any]) -> None:
    """Download, pull or delete."""
    _running().jobs.run(job, generation, kind, subject)


@shared_task(name="storage.job_cancel", ignore_result=True)
def job_cancel(job: str, generation: int) -> None:
    """End a job, also one that has not begun."""
    _running().jobs.cancel(job, generation)


@shared_task(name="storage.scan", ignore_result=True)
def scan() -> None:
    """Look at everything again."""
    _running().look()
