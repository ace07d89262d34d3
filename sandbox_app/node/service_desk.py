"""Services on one node: brought up, taken down, looked at, their logs read. No ORM, no Django.

What is wanted comes with each command; what is there is read from Docker by labels, so nothing
is remembered across an agent's death. Docker starts them again by itself (`unless-stopped`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from sandbox_app.node.service_specs import SPECS, ServiceElsewhere, ServiceSpec, service_spec
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.adapters.docker_errors import ContainerMissing, DockerTrouble, ImageMissing
from sparkweb.adapters.docker_pull import PullProgress
from sparkweb.adapters.docker_types import ListedContainer
from sparkweb.adapters.engine_http import HTTP_ERRORS, get
from sparkweb.streams import StreamsDown

log = structlog.get_logger(__name__)

INSTALLATION, NODE = "sparkweb.installation", "sparkweb.node"
SERVICE, GENERATION = "sparkweb.service", "sparkweb.generation"
LOOK_SECONDS = 3.0
IDLE_LOOK_SECONDS = 10.0
HEALTH_SECONDS = 2.0
STOP_SECONDS = 10
LOG_LINES_MOST = 500
LOG_BYTES = 128 * 1024
MESSAGE_CHARACTERS = 500


class Fence(Protocol):
    """The part of the node's journal that tells old commands from new ones."""

    def fence(self, launch: str, generation: int) -> bool: ...


class LogStreams(Protocol):
    """The part of Streams that carries logs."""

    def append(self, stream: str, data: Mapping[str, Any], maxlen: int | None = None) -> str: ...


@dataclass
class _Work:
    """What was asked last of a service, and what came of it."""

    generation: int
    state: str = ""
    message: str = ""
    progress: PullProgress | None = None
    pull_end: Callable[[], None] | None = None


class ServiceDesk:
    """Any thread may call. start() begins to look."""

    def __init__(
        self,
        engine: DockerEngine,
        journal: Fence,
        streams: LogStreams,
        node_name: str,
        installation: str,
        folder: Path,
    ) -> None:
        self.node_name = node_name
        self._engine = engine
        self._journal = journal
        self._streams = streams
        self._installation = installation
        self._folder = folder
        self._works: dict[str, _Work] = {}
        self._locks = {name: threading.Lock() for name in SPECS}
        self._section: list[dict[str, Any]] | None = None
        self._wake = threading.Event()
        self._closed = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._look_on, name="services", daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        self._wake.set()

    # ---- the report ----

    def section(self) -> list[dict[str, Any]] | None:
        """The report's `services`, one entry for each that is there or was asked for; None before a look."""
        return self._section

    def _look_on(self) -> None:
        while not self._closed.is_set():
            self.look()
            self._wake.wait(LOOK_SECONDS if self._section else IDLE_LOOK_SECONDS)
            self._wake.clear()

    def look(self) -> None:
        """Read from Docker what is there, and ask each whether it is well."""
        try:
            found = {container.labels[SERVICE]: container for container in self._ours()}
        except DockerTrouble:
            self._section = None
            return
        names = [name for name in SPECS if name in found or name in self._works]
        self._section = [self._entry(name, found.get(name)) for name in names]

    def _entry(self, name: str, container: ListedContainer | None) -> dict[str, Any]:
        work = self._works.get(name)
        state = container.state if container else "stopped"
        entry: dict[str, Any] = {
            "service": name,
            "generation": work.generation if work else _number(container.labels if container else {}),
            "state": work.state if work and work.state else state,
            "health": "unknown",
            "message": work.message if work else "",
            "image": container.image if container else "",
            "done_bytes": work.progress.done_bytes if work and work.progress else None,
            "total_bytes": work.progress.total_bytes if work and work.progress else None,
        }
        if state == "running":
            entry["health"] = self._health(name)
        return entry

    def _health(self, name: str) -> str:
        try:
            spec = service_spec(name, self._folder)
            status, _ = get("127.0.0.1", spec.port, spec.health, HEALTH_SECONDS)
        except (ServiceElsewhere, *HTTP_ERRORS):
            return "silent"
        return "ok" if status == 200 else "failing"

    # ---- commands ----

    def apply(self, service: str, generation: int, run: bool) -> None:
        """Bring a service up or take it down. Twice: the second finds it done, an older one is dropped."""
        if service not in SPECS or not self._journal.fence(f"service-{service}", generation):
            return
        if not self._locks[service].acquire(blocking=False):
            self._hurry(self._works[service], generation)
            return  # it is being worked on; control asks again
        work = self._works[service] = _Work(generation, "starting" if run else "stopping")
        try:
            self._up(service, work) if run else self._down(service)
            work.state = ""
        except (DockerTrouble, ServiceElsewhere, OSError) as trouble:
            work.state, work.message = "failed", str(trouble)[:MESSAGE_CHARACTERS]
            log.warning("a service did not do as it was told", service=service, reason=str(trouble))
        finally:
            work.progress = None
            self._locks[service].release()
            self.look()

    @staticmethod
    def _hurry(work: _Work, generation: int) -> None:
        """A pull that nobody waits for any more ends."""
        if work.generation < generation and work.pull_end:
            work.pull_end()

    def _up(self, service: str, work: _Work) -> None:
        spec = service_spec(service, self._folder)
        for container in self._ours(service):
            if _number(container.labels) == work.generation and container.state == "running":
                return
            self._removed(container.id)
        labels = {SERVICE: service, GENERATION: str(work.generation)}
        labels |= {INSTALLATION: self._installation, NODE: self.node_name}
        order = spec.make(f"sparkweb-service-{self._installation}-{self.node_name}-{service}", labels)
        self._pulled(spec, work)
        self._engine.ports_check(order.ports)
        container_id = self._engine.create(order)
        try:
            self._engine.start(container_id, order)
        except DockerTrouble:
            self._removed(container_id)
            raise

    def _pulled(self, spec: ServiceSpec, work: _Work) -> None:
        try:
            self._engine.image_digest(spec.image)
        except ImageMissing:
            work.state = "pulling"

            def moved(progress: PullProgress) -> None:
                work.progress = progress

            def begun(end: Callable[[], None]) -> None:
                work.pull_end = end

            self._engine.pull(spec.image, moved, begun)
            work.state, work.pull_end = "starting", None

    def _down(self, service: str) -> None:
        for container in self._ours(service):
            self._removed(container.id)

    def _removed(self, container: str) -> None:
        """Stopped first: else Docker would have started it again meanwhile."""
        try:
            self._engine.stop(container, STOP_SECONDS)
            self._engine.remove(container, force=True)
        except ContainerMissing:
            return

    def logs(self, service: str, request: str, lines: int) -> None:
        """Put a service's last lines on the stream `log:<node>:service-<name>`, with the id of who asked."""
        if service not in SPECS:
            return
        told: dict[str, Any] = {"request": request, "lines": [], "message": ""}
        try:
            found = self._ours(service)
            if not found:
                told["message"] = f"There is no container of {service} on {self.node_name}."
            else:
                told["lines"] = self._engine.log_tail(found[0].id, min(lines, LOG_LINES_MOST), LOG_BYTES)
        except DockerTrouble as trouble:
            told["message"] = str(trouble)
        try:
            self._streams.append(service_log_stream(self.node_name, service), told, 20)
        except StreamsDown as trouble:
            log.warning("the log of a service was not told", service=service, reason=str(trouble))

    def _ours(self, service: str | None = None) -> list[ListedContainer]:
        mine = (self._installation, self.node_name)
        return [
            container
            for container in self._engine.containers()
            if (container.labels.get(INSTALLATION), container.labels.get(NODE)) == mine
            and container.labels.get(SERVICE) in ([service] if service else SPECS)
        ]


def service_log_stream(node_name: str, service: str) -> str:
    """The name of the stream that a service's lines come on."""
    return f"log:{node_name}:service-{service}"


def _number(labels: Mapping[str, str]) -> int:
    word = labels.get(GENERATION, "")
    return int(word) if word.isdigit() else 0
