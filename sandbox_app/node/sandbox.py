"""The sandbox of one node: takes jobs, has them done, tells what came of them.

sandbox = NodeSandbox(engine, journal, streams, web, folder, node_name, installation)
sandbox.start()
sandbox.run(job)            # from the nudge; returns when the run is taken on
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from sandbox_app.job import Ending, Job, JobInvalid, job_read
from sandbox_app.node.artifacts import Uploads
from sandbox_app.node.doing import Doing, HostRunner, Refused, nothing, refused_ending
from sandbox_app.node.engine_facts import EngineFacts
from sandbox_app.node.folders import ToolFolders, Web, inside_place
from sandbox_app.node.held import HeldContainers
from sandbox_app.node.known import KnownContainers
from sandbox_app.node.launching import Launcher, victim_of
from sandbox_app.node.ledger import Ledger
from sandbox_app.node.output import Streamer, ToolStreams
from sandbox_app.node.pool import Pools, pool_key_read
from sandbox_app.node.room import MEMINFO, Room
from sandbox_app.node.runs import Desk, LiveRun
from sandbox_app.node.rush import Rush
from sandbox_app.node.telling import RunJournal, Teller
from sandbox_app.node.workspaces import Workspaces
from sparkweb.adapters.docker_sandbox import SandboxEngine
from sparkweb.guardian.decide import Victim

log = structlog.get_logger(__name__)

RUNS_AT_ONCE = 32


@dataclass(frozen=True)
class SandboxSettings:
    """The image that tools run in, how many containers wait by flavour, and the memory kept free."""

    image: str
    pool: int = 2
    data_pool: int = 2
    reserve_bytes: int = 2**30
    meminfo: Path = MEMINFO


class NodeSandbox:
    """All that one agent does with tools. Any thread may call."""

    def __init__(
        self,
        engine: SandboxEngine,
        journal: RunJournal,
        streams: ToolStreams,
        web: Callable[[], Web],
        folder: Path,
        node_name: str,
        installation: str,
        settings: SandboxSettings,
        workspaces: Workspaces,
        host_runner: Callable[[str], HostRunner | None] = lambda name: None,
        group_of: Callable[[str, int | None], Path | None] = lambda container_id, pid: None,
    ) -> None:
        self.node_name = node_name
        self._journal = journal
        self._streams = streams
        self._folder = folder
        self._settings = settings
        self._workspaces = workspaces
        self._group_of = group_of
        self._room = Room(settings.reserve_bytes, settings.meminfo)
        self._uploads = Uploads(folder / "artifacts", web())
        self._ledger = Ledger(folder / "runs")
        self._teller = Teller(journal)
        self._rush = Rush()
        self._known = KnownContainers(engine, installation, node_name, self._rush)
        self._facts = EngineFacts(engine, settings.image)
        self._folders = ToolFolders(folder / "tools", web())
        self._launcher = Launcher(engine, folder, self._folders, self._known, self._facts)
        self._pools = Pools(
            self._launcher.for_pool,
            self._launcher.discard,
            self._facts.image_digest,
            {"plain": settings.pool, "data": settings.data_pool},
            self._room.is_short,
            self._rush,
            folder / "pools.json",
        )
        self._held = HeldContainers(
            workspaces, self._launcher.for_session, self._launcher.end, self._teller.tell, journal.fence
        )
        self._executor = ThreadPoolExecutor(RUNS_AT_ONCE, "sandbox-run")
        self._live: dict[str, LiveRun] = {}
        self._lock = threading.Lock()
        self._desk = Desk(folder / "spool", self._uploads.folder, self._teller.tell)
        self._doing = Doing(
            installation,
            self._launcher,
            self._pools,
            self._held,
            self._room,
            self._ledger,
            self._desk,
            web,
            host_runner,
        )

    def start(self) -> None:
        """Tell of what an earlier agent left, and begin."""
        for place in ("spool", "tools"):
            (self._folder / place).mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in (self._folder / "spool").iterdir():
            path.unlink(missing_ok=True)
        inside_place(self._folder)
        self._teller.start()
        self._lost_tell()
        self._ledger.forget()
        self._folders.forget()
        for part in (self._facts, self._known, self._pools, self._held, self._uploads):
            part.start()

    def close(self) -> None:
        """End runs and let go of containers; keepers whose agent is gone end by themselves."""
        with self._lock:
            runs = list(self._live.values())
        for live in runs:
            live.stop.ask("cancelled", "The agent of this node was stopped.")
        self._executor.shutdown(wait=False, cancel_futures=True)
        for part in (self._pools, self._held, self._facts, self._uploads):
            part.close()
        for live in runs:
            live.ended.wait(3.0)
        self._teller.close()
        self._known.close()

    # ---- commands ----

    def run(self, data: Any) -> None:
        """Take on the run of a job; returns at once. A second copy joins the first."""
        try:
            job = job_read(data)
        except JobInvalid as error:
            self._invalid_refuse(data, str(error))
            return
        if job.node != self.node_name:
            log.error("a run is dropped: it is for another node", node=job.node, run=job.run)
        elif not self._journal.fence(job.run, job.generation):
            log.info("a run is dropped: a newer generation was seen", run=job.run)
        elif live := self._taken(job):
            self._executor.submit(self._work, live)

    def cancel(self, run: str, generation: int, reason: str) -> None:
        """End a run, also one whose job has not come yet. Twice is as good as once."""
        if not self._journal.fence(run, generation):
            return
        with self._lock:
            live = self._live.get(run)
        if live:
            live.stop.ask("cancelled", reason)
        elif self._ledger.begin(run, {"generation": generation}):
            ending = Ending(run, generation, "cancelled", reason or "It was cancelled before it began.")
            self._teller.tell("tool_run_ended", ending.to_json(), lambda: self._ledger.end(run))
            self._streamer(run).end(ending.to_json())

    def pools(self, wanted: list[dict[str, Any]]) -> None:
        """Keep containers ready for these tools: `{"tool", "tool_digest", "policy": {…}}` each."""
        self._pools.want([key for one in wanted if (key := pool_key_read(one))])

    def session_end(self, uid: str) -> None:
        """Remove the containers of a session; on return they hold its workspace no more."""
        self._held.end(uid)

    # ---- the report and the guardian ----

    def section(self) -> dict[str, Any]:
        """The report's `sandbox` (docs/sandbox-protocol.md)."""
        kind, why = self._workspaces.status()
        with self._lock:
            runs = list(self._live.values())
        held = self._held.section()
        return {
            "runtimes": self._facts.runtimes,
            "workspaces": kind,
            "workspaces_why": why,
            "runs": [
                {"run": live.job.run, "generation": live.job.generation, "phase": live.phase} for live in runs
            ],
            "sessions": [
                {**entry, **held.get(entry["session"], {"idle_seconds": None})}
                for entry in self._workspaces.section()
            ]
            + [
                {"session": uid, "used_bytes": None, **entry}
                for uid, entry in held.items()
                if entry.get("workspace") == "tmpfs"
            ],
            "pools": self._pools.section(),
            "leaked": self._known.leaked,
        }

    def victims(self) -> list[Victim]:
        """What the memory guardian may end: what waits goes first, then runs and sessions."""
        with self._lock:
            live = list(self._live.values())
        runs = [(one.container, one.job) for one in live if one.container]
        busy = {container.id for container, _ in runs if container}
        waiting = [(one, "", "a waiting sandbox", 0) for one in self._pools.containers()]
        held = [(one, "", f"{place.key.tool} of a session", 0) for one, place in self._held.containers()]
        running = [(one, job.run, job.tool, 1) for one, job in runs if one]
        idle = [victim for victim in [*waiting, *held] if victim[0].id not in busy]
        return [
            victim_of(one, self._group_of(one.id, one.pid), key, name, priority)
            for one, key, name, priority in [*idle, *running]
        ]

    def guardian_acted(self, act: dict[str, Any]) -> None:
        """The memory guardian ended something; a run of ours says so."""
        victim = act.get("victim") or {}
        with self._lock:
            live = self._live.get(str(victim.get("key") or ""))
        if live:
            live.guardian = str(act.get("sentence") or "The memory guardian ended it.")

    def before_end(self, ask: Callable[[], None]) -> None:
        """Have `ask` called before a run whose container died is judged."""
        self._desk.ask_guardian = ask

    # ---- one run ----

    def _taken(self, job: Job) -> LiveRun | None:
        """Take a run on; None for one that is under way or was done."""
        with self._lock:
            if job.run in self._live or self._ledger.knows(job.run):
                return None
            live = self._live[job.run] = LiveRun(job, self._streamer(job.run))
        return live

    def _work(self, live: LiveRun) -> None:
        job = live.job
        try:
            with self._rush.run():
                ending, after = self._doing.done(live)
        except Refused as refused:
            ending, after = refused_ending(live, refused), nothing
        except Exception as error:
            log.exception("a run failed in the agent", run=job.run)
            reason = f"The agent failed: {type(error).__name__}: {error}"[:500]
            ending, after = Ending(job.run, job.generation, "engine", reason), nothing
        live.phase = "ending"
        self._teller.tell("tool_run_ended", ending.to_json(), lambda: self._ended(live, ending, after))

    def _ended(self, live: LiveRun, ending: Ending, after: Callable[[], None]) -> None:
        """Its end is on disk: whoever waits is told, and its container goes."""
        live.streamer.end(ending.to_json())
        self._ledger.end(live.job.run)
        after()
        with self._lock:
            self._live.pop(live.job.run, None)
        live.ended.set()
        live.stop.close()
        if ending.artifacts:
            self._uploads.wake()

    # ---- beginnings and endings ----

    def _streamer(self, run: str) -> Streamer:
        return Streamer(self._streams, f"tool:{self.node_name}:{run}")

    def _lost_tell(self) -> None:
        """Runs that an earlier agent had begun: nobody knows how they ended."""
        for run, facts in self._ledger.left():
            reason = "The agent of this node was ended while it ran."
            ending = Ending(
                run, int(facts.get("generation") or 0), "lost", reason, container_id=facts.get("container")
            )
            self._teller.tell("tool_run_ended", ending.to_json(), lambda run=run: self._ledger.end(run))  # type: ignore[misc]
            self._streamer(run).end(ending.to_json())

    def _invalid_refuse(self, data: Any, reason: str) -> None:
        """Tell control, if it can be made out which run it was."""
        log.error("a run is refused: its job cannot be read", reason=reason)
        fields = data if isinstance(data, dict) else {}
        run, generation = fields.get("run"), fields.get("generation")
        if isinstance(run, str) and isinstance(generation, int):
            self._teller.tell("tool_run_ended", Ending(run, generation, "refused", reason).to_json())
