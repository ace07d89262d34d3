"""Bringing one container of ours down."""

from __future__ import annotations

import threading

import structlog

from models_app.node.adopted import Adopted
from models_app.node.facts import Facts
from models_app.node.observer import Observer
from models_app.node.starts import Starts
from models_app.node.tracked import RUNNING_STATES
from sparkweb.adapters.docker_engine import PATIENT_SECONDS, DockerEngine
from sparkweb.adapters.docker_errors import ContainerMissing, DockerTrouble
from sparkweb.adapters.docker_types import ListedContainer

log = structlog.get_logger(__name__)


class Stops:
    """All stops of one node. Any number of threads may call run."""

    def __init__(
        self, engine: DockerEngine, facts: Facts, starts: Starts, observer: Observer, adopted: Adopted
    ) -> None:
        self._engine = engine
        self._facts = facts
        self._starts = starts
        self._observer = observer
        self._adopted = adopted
        self._members: set[str] = set()
        self._lock = threading.Lock()

    def run(self, launch: str, member: str, generation: int, timeout_seconds: int) -> None:
        """End the start of a member, or stop its container, and see to it that nothing is left.

        How it ended is written down by the observer, which removes the container
        once control has stored that, unless somebody else started it. A second call
        during the first returns at once. Docker's refusal is logged: control asks again.
        """
        with self._lock:
            if member in self._members:
                return
            self._members.add(member)
        try:
            self._starts.cancel(member, PATIENT_SECONDS)
            self._take_down(launch, member, generation, timeout_seconds)
        except DockerTrouble as trouble:
            log.warning("container not stopped", member=member, reason=str(trouble))
        finally:
            with self._lock:
                self._members.discard(member)
            self._observer.look_now()

    def _take_down(self, launch: str, member: str, generation: int, timeout_seconds: int) -> None:
        found = self._starts.find(member) or self._adopted_one(member)
        if found is not None and found.state in RUNNING_STATES:
            self._observer.stop_begins(member, timeout_seconds)
            try:
                self._engine.stop(found.id, timeout_seconds)
            except ContainerMissing:
                log.info("container vanished while it was stopped", member=member)
        elif found is None and not self._observer.knows(member):
            self._facts.removed(launch, member, generation)

    def _adopted_one(self, member: str) -> ListedContainer | None:
        container_id = self._adopted.container_of(member)
        return next((one for one in self._engine.containers() if one.id == container_id), None)
