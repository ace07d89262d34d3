"""How one run is done: in a container that waited, a new one, one of a session, or on the host."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sandbox_app.job import ARGUMENTS_MOST_BYTES, Ending, Job, SessionJob
from sandbox_app.node.container import SandboxContainer, StartFailed
from sandbox_app.node.folders import Web
from sandbox_app.node.held import HeldContainers
from sandbox_app.node.launching import Launcher
from sandbox_app.node.ledger import Ledger
from sandbox_app.node.output import Streamer
from sandbox_app.node.pool import PoolKey, Pools
from sandbox_app.node.room import Room
from sandbox_app.node.runs import Desk, LiveRun, RunInContainer, ending_bounded
from sandbox_app.node.workspaces import WorkspaceRefused
from sparkweb.node_link.http_client import AnswerTooLarge, WebUnreachable

T = TypeVar("T")
After = Callable[[], None]


class Refused(Exception):
    """A run that is not begun; the sentence says why. `outcome` is refused, engine or lost."""

    def __init__(self, reason: str, outcome: str = "refused") -> None:
        super().__init__(reason)
        self.outcome = outcome


def refused_ending(live: LiveRun, refused: Refused) -> Ending:
    """The end of a run that did not begin; one that was cancelled meanwhile was cancelled."""
    outcome, reason = refused.outcome, str(refused)
    if live.stop.word:
        outcome, reason = "cancelled", live.stop.reason
    return Ending(live.job.run, live.job.generation, outcome, reason)


def nothing() -> None:
    """What is to do after a run that left nothing."""


HostRunner = Callable[[Job, dict[str, Any], Streamer, threading.Event], Ending]
"""What runs on the node itself, through the guarded egress: a job, its arguments, its stream, and
an event that is set when it shall end."""


class Doing:
    """The ways in which a run is done. Any thread may call."""

    def __init__(
        self,
        installation: str,
        launcher: Launcher,
        pools: Pools,
        held: HeldContainers,
        room: Room,
        ledger: Ledger,
        desk: Desk,
        web: Callable[[], Web],
        host_runner: Callable[[str], HostRunner | None],
    ) -> None:
        self._installation = installation
        self._launcher = launcher
        self._pools = pools
        self._held = held
        self._room = room
        self._ledger = ledger
        self._desk = desk
        self._web = web
        self._host_runner = host_runner

    def done(self, live: LiveRun) -> tuple[Ending, After]:
        """Have a run done; its end, and what is to do once that is on disk. Raises Refused."""
        job = live.job
        if job.installation != self._installation:
            raise Refused(
                f"The agent on {job.node} belongs to the installation {self._installation}, "
                f"this run to {job.installation}."
            )
        if time.monotonic() - live.began_at > job.ttl_seconds:
            raise Refused(f"The node had no thread free for it within {job.ttl_seconds} s.")
        if live.stop.word:
            return Ending(job.run, job.generation, "cancelled", live.stop.reason), nothing
        arguments = self._arguments(job)
        if job.runner == "host":
            return self._on_host(live, arguments)
        if job.session:
            return self._in_session(live, job.session, arguments)
        return self._single_use(live, arguments)

    def _on_host(self, live: LiveRun, arguments: dict[str, Any]) -> tuple[Ending, After]:
        job = live.job
        runner = self._host_runner(job.program)
        if runner is None:
            raise Refused(f"This node has no runner host:{job.program}.")
        self._begin(job, None)
        cancelled = threading.Event()
        live.stop.when_asked(cancelled.set)
        live.phase = "running"
        self._desk.tell(
            "tool_run_began",
            {"run": job.run, "generation": job.generation, "container_id": None, "image_digest": None,
             "limits": {}, "warm": True},
        )  # fmt: skip
        return ending_bounded(runner(job, arguments, live.streamer, cancelled)), nothing

    def _single_use(self, live: LiveRun, arguments: dict[str, Any]) -> tuple[Ending, After]:
        job = live.job
        live.phase = "starting"
        key = PoolKey(job.policy, job.tool, job.tool_digest)
        container = self._pools.take(key)
        warm = container is not None
        if container is None:
            if self._room.is_short(job.policy.memory_bytes):
                raise Refused(self._room.missing_words(job.policy.memory_bytes))
            container = self._started(
                lambda: self._launcher.for_run(key, job.run, lambda: bool(live.stop.word))
            )
        try:
            ending = self._exchange(live, container, warm, arguments, None)
        except BaseException:
            self._launcher.discard(container)
            raise
        return ending, lambda: self._launcher.discard(container)

    def _in_session(
        self, live: LiveRun, session: SessionJob, arguments: dict[str, Any]
    ) -> tuple[Ending, After]:
        job = live.job
        held = self._held.hold(job, session)
        if not held.lock.acquire(timeout=job.ttl_seconds):
            raise Refused(f"Another call of this session did not end within {job.ttl_seconds} s.")
        try:
            live.phase = "starting"
            container, warm = self._started(lambda: self._held.open(held))
            ending = self._exchange(live, container, warm, arguments, session)
            held.used_at = time.monotonic()
        finally:
            held.lock.release()
        return ending, nothing

    def _started(self, start: Callable[[], T]) -> T:
        """What `start` gives. Raises Refused for what keeps a container from coming up."""
        try:
            return start()
        except StartFailed as failed:
            raise Refused(str(failed), failed.code) from failed
        except WorkspaceRefused as refused:
            raise Refused(str(refused)) from refused

    def _exchange(
        self,
        live: LiveRun,
        container: SandboxContainer,
        warm: bool,
        arguments: dict[str, Any],
        session: SessionJob | None,
    ) -> Ending:
        job = live.job
        live.container = container
        work = RunInContainer(live, container, warm, self._desk)
        self._begin(job, container)
        work.began()
        live.phase = "running"
        live.streamer.state("running")
        request = {
            "arguments": arguments,
            "workspace": "/workspace" if container.limits["workspace"] else None,
            "artifacts": "/artifacts",
            "state": {},
        }
        ending, said = work.work(json.dumps(request).encode(), session is not None)
        live.container = None
        if session and (said.told is None or said.cause == "forged"):
            self._held.drop(self._held.hold(job, session))
        return ending

    def _begin(self, job: Job, container: SandboxContainer | None) -> None:
        """From here on it counts as run, whatever happens. Raises Refused."""
        facts = {"generation": job.generation, "container": container.id if container else None}
        try:
            begins = self._ledger.begin(job.run, facts)
        except OSError as error:
            raise Refused(f"The node's disk does not take the run: {error}.", "engine") from error
        if not begins:
            raise Refused("This run was begun before.", "lost")

    def _arguments(self, job: Job) -> dict[str, Any]:
        if job.arguments is not None:
            return job.arguments
        question = json.dumps({"run": job.run, "generation": job.generation}).encode()
        try:
            answer = self._web().fetch("/node/tool-arguments/", question, ARGUMENTS_MOST_BYTES * 2)
            arguments = json.loads(answer.data) if answer.status == 200 else None
        except (WebUnreachable, AnswerTooLarge, ValueError) as error:
            raise Refused(f"The arguments could not be fetched: {error}.", "engine") from error
        if not isinstance(arguments, dict):
            raise Refused(f"The arguments could not be fetched: web answers {answer.status}.", "engine")
        return arguments
