"""Bringing one container of ours up: found by its label or created, once, however often asked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from models_app.engines.spec import ContainerSpec
from models_app.node.facts import Facts
from models_app.node.identity import Identity, identity_of_labels, identity_of_spec
from models_app.node.orders import container_order, with_exports
from models_app.node.storage.image_pulls import image_pull
from models_app.node.watch import Watch
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.adapters.docker_errors import (
    ContainerMissing,
    DockerTrouble,
    ImageMissing,
    NameTaken,
    PullCancelled,
)
from sparkweb.adapters.docker_pull import PullProgress
from sparkweb.adapters.docker_types import ContainerOrder, Inspection, ListedContainer
from sparkweb.failpoints import failpoint

log = structlog.get_logger(__name__)

# A stopped member is never started again (a restart is a new member), so that a
# start which arrives late finds out. Bounded; control's generations say the same.
STOPPED_REMEMBERED = 1000
FINISH_SECONDS = 60
NAMESAKE_LOOKS = 25
NAMESAKE_SECONDS = 0.2


class StartAbandoned(Exception):
    """The start was stopped, or woke up too late to be trusted. Nothing is left of it."""


@dataclass
class StartJob:
    """A start in progress; `stage` and `phase` are what the report says of it."""

    identity: Identity
    ttl_seconds: int
    began_at: float
    phase: str = "creating"
    stage: dict[str, Any] | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    end_pull: Callable[[], None] | None = None

    def cancel(self) -> None:
        self.cancelled.set()
        if self.end_pull is not None:
            self.end_pull()


class Starts:
    """All starts of one node. Any number of threads may call run and cancel."""

    def __init__(
        self,
        engine: DockerEngine,
        facts: Facts,
        watch: Watch,
        secrets_dir: Path,
        installation: str,
        node_name: str,
    ) -> None:
        self._engine = engine
        self._facts = facts
        self._watch = watch
        self._secrets_dir = secrets_dir
        self._installation = installation
        self._node_name = node_name
        self._jobs: dict[str, StartJob] = {}
        self._closed: dict[str, None] = {}
        self._lock = threading.Lock()

    def run(self, spec: ContainerSpec) -> None:
        """Bring the container up, and write down what came of it. Returns when it runs or was refused.

        A second call for the same member while the first one works returns at once;
        one after it finds the container and leaves it alone.
        """
        self._carry_out(identity_of_spec(spec), spec.ttl_seconds, lambda job: self._bring_up(job, spec))

    def finish(self, identity: Identity, found: ListedContainer) -> None:
        """Start a container of ours that an agent created and, being killed, never started.

        One that was stopped or overtaken by a newer generation meanwhile is removed.
        """
        if self.is_closed(identity.member) or not self._facts.fence(identity.launch, identity.generation):
            self._remove(found.id)
            self._facts.removed(**identity.fact())
            return
        self._carry_out(identity, FINISH_SECONDS, lambda job: self._start(job, found.id, None, adopted=True))

    def _carry_out(self, identity: Identity, ttl_seconds: int, work: Callable[[StartJob], None]) -> None:
        job = self._claim(identity, ttl_seconds)
        if job is None:
            return
        try:
            work(job)
        except (StartAbandoned, PullCancelled) as reason:
            log.info("start abandoned", member=identity.member, reason=str(reason))
        except DockerTrouble as trouble:
            log.warning("start refused", member=identity.member, code=trouble.code, reason=str(trouble))
            self._close(identity.member)
            self._facts.refused(identity, trouble.code, str(trouble))
        finally:
            self._release(job)

    def cancel(self, member: str, timeout_seconds: float) -> None:
        """End the start of a member, and let no later one begin. Waits until it has ended."""
        self._close(member)
        with self._lock:
            job = self._jobs.get(member)
        if job is not None:
            job.cancel()
            job.done.wait(timeout_seconds)

    def is_closed(self, member: str) -> bool:
        """Whether this member was stopped or refused, so that nothing of it may start."""
        return member in self._closed

    def jobs(self) -> list[StartJob]:
        """The starts in progress."""
        with self._lock:
            return list(self._jobs.values())

    def is_busy(self, member: str) -> bool:
        with self._lock:
            return member in self._jobs

    def find(self, member: str) -> ListedContainer | None:
        """The container of a member by its labels. Raises DockerTrouble."""
        for listed in self._engine.containers():
            identity = identity_of_labels(listed.labels, self._installation, self._node_name)
            if identity and identity.member == member:
                return listed
        return None

    def _claim(self, identity: Identity, ttl_seconds: int) -> StartJob | None:
        with self._lock:
            if identity.member in self._jobs or identity.member in self._closed:
                return None
            job = StartJob(identity, ttl_seconds, self._watch.now())
            self._jobs[identity.member] = job
            return job

    def _release(self, job: StartJob) -> None:
        with self._lock:
            del self._jobs[job.identity.member]
        job.done.set()

    def _close(self, member: str) -> None:
        with self._lock:
            self._closed[member] = None
            while len(self._closed) > STOPPED_REMEMBERED:
                del self._closed[next(iter(self._closed))]

    def _bring_up(self, job: StartJob, spec: ContainerSpec) -> None:
        found = self.find(spec.member)
        if found is not None:
            self._resume(job, spec, found)
            return
        order = container_order(spec, self._secrets_dir)
        self._engine.ports_check(order.ports)
        self._image(job, spec.image)
        failpoint("start.image")
        if spec.secret_exports:
            order = with_exports(order, spec, self._engine.image_words(spec.image))
        self._checkpoint(job)
        try:
            container_id = self._engine.create(order)
        except NameTaken:
            self._resume(job, spec, self._find_namesake(job, spec))
            return
        failpoint("start.created")
        self._start(job, container_id, order, adopted=False)

    def _find_namesake(self, job: StartJob, spec: ContainerSpec) -> ListedContainer:
        """The container that has the name already, if it is the member's own. Raises NameTaken if not.

        Docker reserves a name before it lists the container: another agent of this
        node, about to end, may be creating it right now.
        """
        for _ in range(NAMESAKE_LOOKS):
            found = self.find(spec.member)
            if found is not None:
                return found
            self._checkpoint(job)
            with contextlib.suppress(ContainerMissing):
                self._refuse_stranger(spec, self._engine.inspect(spec.name))
            job.cancelled.wait(NAMESAKE_SECONDS)
        raise NameTaken(
            f"The name {spec.name} is reserved in Docker, but no container has it. Restart Docker."
        )

    def _refuse_stranger(self, spec: ContainerSpec, other: Inspection) -> None:
        identity = identity_of_labels(other.labels, self._installation, self._node_name)
        if identity is None or identity.member != spec.member:
            raise NameTaken(
                f"The name {spec.name} belongs to another container ({other.id[:12]}, {other.state}), which "
                "is not this launch's. Remove or rename that container."
            )

    def _resume(self, job: StartJob, spec: ContainerSpec, found: ListedContainer) -> None:
        """Our container exists: it runs, has ended, or was left created by an agent that was killed."""
        if found.state == "created":
            self._start(job, found.id, container_order(spec, self._secrets_dir), adopted=True)

    def _start(self, job: StartJob, container_id: str, order: ContainerOrder | None, adopted: bool) -> None:
        """Start what was created; nothing is left of what cannot be started."""
        try:
            self._checkpoint(job)
            self._engine.start(container_id, order)
            failpoint("start.started")
        except (DockerTrouble, StartAbandoned):
            self._remove(container_id)
            raise
        image = self._engine.inspect(container_id).image
        self._facts.created(job.identity, container_id, self._digest(image), adopted)
        failpoint("start.told")

    def _image(self, job: StartJob, image: str) -> None:
        try:
            self._engine.image_digest(image)
        except ImageMissing:
            self._pull(job, image)

    def _digest(self, image: str) -> str | None:
        try:
            return self._engine.image_digest(image)
        except ImageMissing:
            return None

    def _pull(self, job: StartJob, image: str) -> None:
        def on_begin(end: Callable[[], None]) -> None:
            job.end_pull = end
            if job.cancelled.is_set():
                end()

        def on_progress(progress: PullProgress) -> None:
            job.stage = {
                "name": "pull",
                "done_bytes": progress.done_bytes,
                "total_bytes": progress.total_bytes,
                "message": progress.message,
            }

        self._checkpoint(job)
        job.phase = "pulling"
        failpoint("start.pulling")
        image_pull(self._engine, image, on_progress, on_begin)
        job.phase, job.stage, job.end_pull = "creating", None, None

    def _checkpoint(self, job: StartJob) -> None:
        """Raise StartAbandoned if somebody stopped this start, or this process stood still during it."""
        if job.cancelled.is_set():
            raise StartAbandoned("it was stopped")
        still = self._watch.stood_still_since(job.began_at)
        if still > job.ttl_seconds:
            raise StartAbandoned(f"the agent stood still for {still:.0f} s; control will ask again")

    def _remove(self, container_id: str) -> None:
        try:
            self._engine.remove(container_id, force=True)
        except ContainerMissing:
            return
        except DockerTrouble as trouble:
            # The observer removes what is created and belongs to no start.
            log.warning("container not removed", container=container_id[:12], reason=str(trouble))
