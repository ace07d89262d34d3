"""Runs of serve.sh on this node: started once, found again by their folders, their end told as a container's.

A run belongs to a member of a launch and has a folder named after it. The supervisor
in it outlives the agent (sparkweb/adapters/script_supervisor.py); what an agent knows of
runs it reads from the folders, so that the next one knows the same.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from metrics_app.agent import gpu_memory_of
from models_app.engines.script import ScriptSpec
from models_app.engines.spec import ProbeSpec
from models_app.node.exits import TAIL_LIMIT_BYTES, StopNote, exit_reason, exit_signal, tail_text
from models_app.node.facts import Facts
from models_app.node.followers import Followers, LogStreams
from models_app.node.identity import Identity, identity_of_spec
from models_app.node.log_archive import LogArchive
from models_app.node.probes import Prober
from models_app.node.script_logs import ScriptLogs
from models_app.node.script_place import ScriptPlace, ScriptRefused, script_order
from sparkweb.adapters import script_process
from sparkweb.adapters.script_process import ScriptState
from sparkweb.node_link.journal import JournalUnavailable

log = structlog.get_logger(__name__)

EVERY_SECONDS = 0.5
BEGIN_SECONDS = 20.0
TAIL_LINES = 400
LOG_READ_SECONDS = 30.0
CLOSED_REMEMBERED = 1000


@dataclass
class Run:
    """One run as this agent sees it; `state` None until its supervisor has begun."""

    identity: Identity
    folder: Path
    state: ScriptState | None = None
    process: subprocess.Popen[bytes] | None = None
    memory_bytes: int | None = None
    gpu_memory_bytes: int | None = None
    exit_sequence: int | None = None
    exit_seen_at: float = 0.0

    @property
    def ended(self) -> bool:
        return self.state is not None and self.state.ended


class ScriptRuns:
    """All script runs of one node. start() and stop() may be called by any number of threads."""

    def __init__(
        self,
        place: ScriptPlace,
        facts: Facts,
        prober: Prober,
        streams: LogStreams,
        owner: tuple[str, str],
        archive: LogArchive | None = None,
    ) -> None:
        self._place = place
        self._facts = facts
        self._prober = prober
        self._installation, self._node_name = owner
        self._runs: dict[str, Run] = {}
        self._closed: dict[str, None] = {}
        self._logs = ScriptLogs(place.runs, self._is_over)
        self._followers = Followers(self._logs, streams, self._node_name, archive)
        # Asked before an end is written down, as by the observer.
        self.before_end: Callable[[], None] = lambda: None
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="scripts", daemon=True)

    # ---- life ----

    def open(self) -> None:
        """Find what an earlier agent started, and begin to watch."""
        self._adopt()
        self._followers.start()
        self._thread.start()

    def close(self) -> None:
        """End all threads; scripts go on, and are found again."""
        self._closing.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(2.0)
        self._followers.close()

    @property
    def is_used(self) -> bool:
        """Whether scripts may run here, or one does."""
        return self._place.root is not None or bool(self._runs)

    def knows(self, member: str) -> bool:
        return member in self._runs

    # ---- commands ----

    def start(self, spec: ScriptSpec) -> None:
        """Run the script, and write down what came of it. A second call for the same member does nothing."""
        with self._lock:
            if spec.member in self._closed or spec.member in self._runs:
                return
            identity = identity_of_spec(spec)
            try:
                run = self._begin(identity, spec)
            except ScriptRefused as refused:
                log.warning("script refused", member=spec.member, code=refused.code, reason=str(refused))
                self._close(spec.member)
                self._facts.refused(identity, refused.code, str(refused))
                return
            self._facts.script_started(identity, adopted=False)
            self._runs = {**self._runs, spec.member: run}
        self._wanted.set()

    def stop(self, launch: str, member: str, generation: int, timeout_seconds: int) -> None:
        """Have stop.sh end it, then SIGTERM, then SIGKILL, each after the timeout; no later start begins.

        How it ended is told by the loop. A second call asks again.
        """
        with self._lock:
            self._close(member)
            run = self._runs.get(member)
        if run is None:
            self._facts.removed(launch, member, generation)
        elif run.state and not run.ended:
            script_process.stop_ask(run.folder, run.state, timeout_seconds)
        self._wanted.set()

    def _begin(self, identity: Identity, spec: ScriptSpec) -> Run:
        folder = self._place.runs / spec.member
        if not folder.exists():
            order = script_order(self._place, spec, self._node_name)
            about = {
                **identity.fact(),
                "slug": spec.slug,
                "probe": asdict(spec.probe),
                "installation": self._installation,
                "node": self._node_name,
            }
            script_process.run_create(folder, order, about)
        run = Run(identity, folder, process=script_process.supervisor_start(folder))
        self._wait_begun(run)
        return run

    def _wait_begun(self, run: Run) -> None:
        """Until its supervisor has written how it began. Raises ScriptRefused if it did not."""
        until = time.monotonic() + BEGIN_SECONDS
        while run.state is None and time.monotonic() < until and not self._closing.is_set():
            run.state = script_process.state_read(run.folder)
            if run.state is None:
                time.sleep(0.02)
        if run.state and run.state.error:
            script_process.run_remove(run.folder)
            raise ScriptRefused(
                "script_failed",
                f"serve.sh could not be started: {run.state.error}. Its first line must name its shell, "
                "such as #!/bin/bash.",
            )

    def _close(self, member: str) -> None:
        self._closed[member] = None
        while len(self._closed) > CLOSED_REMEMBERED:
            del self._closed[next(iter(self._closed))]

    # ---- watching ----

    def _adopt(self) -> None:
        """Take over the folders of this node's runs; one whose start was cut short is begun again."""
        for folder in sorted(self._place.runs.glob("*")) if self._place.runs.is_dir() else []:
            about = script_process.file_read(folder / "about.json")
            if about is None or script_process.file_read(folder / "order.json") is None:
                script_process.run_remove(folder)
            elif (about["installation"], about["node"]) == (self._installation, self._node_name):
                self._take_over(folder, about)

    def _take_over(self, folder: Path, about: dict[str, Any]) -> None:
        identity = Identity(
            about["launch"],
            about["member"],
            about["generation"],
            about["slug"],
            ProbeSpec(**about["probe"]),
        )
        run = Run(identity, folder, script_process.state_read(folder))
        if run.state is None:
            if not self._facts.fence(identity.launch, identity.generation):
                script_process.run_remove(folder)
                self._facts.removed(**identity.fact())
                return
            run.process = script_process.supervisor_start(folder)
            try:
                self._wait_begun(run)
            except ScriptRefused as refused:
                self._facts.refused(identity, refused.code, str(refused))
                return
        self._facts.script_started(identity, adopted=True)
        self._runs = {**self._runs, identity.member: run}

    def _loop(self) -> None:
        while not self._closing.is_set():
            for run in list(self._runs.values()):
                try:
                    self._look(run)
                except (JournalUnavailable, OSError) as trouble:
                    log.warning("script not settled", member=run.identity.member, reason=str(trouble))
            self._wanted.wait(EVERY_SECONDS)
            self._wanted.clear()

    def _look(self, run: Run) -> None:
        if run.process is not None:
            run.process.poll()
        if not run.ended:
            self._refresh(run)
        if run.ended:
            self._ended(run)

    def _refresh(self, run: Run) -> None:
        # Read after its life was asked for: it may end, and say so, in between.
        lives = run.state is not None and script_process.is_alive(run.state.supervisor)
        run.state = script_process.state_read(run.folder) or run.state
        if run.state is None or run.ended:
            return
        member = run.identity.member
        self._followers.ensure(member, run.state.started_at, member)
        if not lives:
            self._lost(run, run.state)
            return
        self._prober.ask(member, run.identity.probe)
        pids = script_process.run_pids(run.state)
        run.memory_bytes = script_process.memory_bytes(pids)
        run.gpu_memory_bytes = gpu_memory_of(pids)

    def _lost(self, run: Run, state: ScriptState) -> None:
        """Nobody watches this run any more, so it is ended whole: half of one serves nobody."""
        if script_process.leftovers_kill(state):
            return  # looked at again, until none is left
        if script_process.is_this_boot(state):
            reason = "The process that watched serve.sh was killed by someone else, and the rest with it"
        else:
            reason = "The machine was started anew while it ran"
        self._facts.gone(run.identity, reason)
        self._forget(run)

    def _ended(self, run: Run) -> None:
        """Write down how it ended; forget it once control has stored that and its log was read."""
        assert run.state
        member = run.identity.member
        if run.exit_sequence is None:
            self.before_end()
            self._prober.forget(member)
            self._followers.ensure(member, run.state.started_at, member)
            run.memory_bytes = run.gpu_memory_bytes = None
            run.exit_sequence = self._facts.exited(run.identity, self._end_of(run, run.state))
            run.exit_seen_at = time.monotonic()
        waited = time.monotonic() - run.exit_seen_at
        log_read = self._followers.has_ended(member, run.state.started_at) or waited > LOG_READ_SECONDS
        if log_read and self._facts.is_acknowledged(run.exit_sequence):
            self._facts.removed(**run.identity.fact())
            self._forget(run)

    def _end_of(self, run: Run, state: ScriptState) -> dict[str, Any]:
        asked = script_process.file_read(run.folder / "stop.json")
        stop = StopNote(int(asked["timeout_seconds"])) if asked else None
        lines = self._logs.log_tail(run.identity.member, TAIL_LINES, 2 * TAIL_LIMIT_BYTES)
        code = state.exit_code or 0
        return {
            "container_id": None,
            "exit_code": code,
            "oom_killed": None,
            "signal": exit_signal(code),
            "reason": exit_reason(code, False, stop, lines),
            "log_tail": tail_text(lines),
            "started_at": state.started_at,
            "finished_at": max(state.finished_at or 0, state.started_at),
        }

    def _forget(self, run: Run) -> None:
        member = run.identity.member
        self._close(member)
        self._prober.forget(member)
        self._followers.forget(member)
        script_process.run_remove(run.folder)
        with self._lock:
            self._runs = {key: value for key, value in self._runs.items() if key != member}

    def _is_over(self, member: str) -> bool | None:
        """Whether a run has ended; None when there is none."""
        run = self._runs.get(member)
        return None if run is None else run.ended

    # ---- the memory guardian ----

    def running(self) -> list[tuple[Identity, ScriptState]]:
        """Scripts whose processes may be ended for want of memory."""
        runs = list(self._runs.values())
        return [(run.identity, run.state) for run in runs if run.state and run.state.script and not run.ended]

    # ---- the report ----

    def ready_probes(self) -> dict[str, ProbeSpec]:
        """How to ask those that were ready in this run of theirs, by member."""
        return {
            member: run.identity.probe
            for member, run in self._runs.items()
            if not run.ended and self._prober.was_ready(member)
        }

    def entries(self) -> list[dict[str, Any]]:
        """The report's `launches` of this node's scripts."""
        return [self._entry(run) for run in self._runs.values()]

    def _entry(self, run: Run) -> dict[str, Any]:
        member, state = run.identity.member, run.state
        started_at = state.started_at if state else None
        probe = self._prober.result(member)
        return {
            **run.identity.fact(),
            "kind": "script",
            "container_id": None,
            "phase": "exited" if run.ended else "running",
            "stage": None if run.ended or probe.ready else self._stage(member, started_at),
            "probe": probe.to_json(),
            "exit_code": state.exit_code if state else None,
            "oom_killed": None,
            "started_at": started_at,
            "memory_bytes": run.memory_bytes,
            "gpu_memory_bytes": run.gpu_memory_bytes,
            "stale": False,
        }

    def _stage(self, member: str, started_at: float | None) -> dict[str, Any] | None:
        """How far the engine is, by its log's last milestone."""
        found = self._followers.milestone(member, started_at)
        if found is None:
            return None
        return {"name": found.stage, "done_bytes": None, "total_bytes": None, "message": found.words}
