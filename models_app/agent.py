"""Our containers on one node: what the agent does for models_app. No ORM, no Django.

Commands come as Celery tasks on the node's queue; what happens goes into the
node's journal, logs go to streams, and what is seen goes into the report.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from celery import shared_task

from metrics_app.agent import container_figures, container_group, gpu_memory_held
from models_app.agent_adopt import adoptions_take
from models_app.engines.script import ScriptSpec
from models_app.engines.spec import ProbeSpec, SpecInvalid
from models_app.engines.specs import LaunchSpec, spec_read
from models_app.node.adopted import Adopted
from models_app.node.adopting import Adoptions
from models_app.node.engine_watch import EngineWatch
from models_app.node.facts import FactJournal, Facts
from models_app.node.followers import Followers, LogStreams
from models_app.node.group_checks import group_check
from models_app.node.guarded import GuardedModels
from models_app.node.identity import INSTALLATION, Identity, identity_of_spec
from models_app.node.log_archive import LogArchive
from models_app.node.model_pulls import ModelPulls
from models_app.node.observer import Observer
from models_app.node.probes import Prober
from models_app.node.script_place import ScriptPlace
from models_app.node.script_runs import ScriptRuns
from models_app.node.starts import StartJob, Starts
from models_app.node.stops import Stops
from models_app.node.tracked import Tracked
from models_app.node.watch import Watch
from models_app.node.weights import WeightDownloads
from sparkweb import config
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.adapters.hf_hub import HubFile, files_of
from sparkweb.failpoints import failpoint
from sparkweb.node_link.journal import JournalUnavailable

log = structlog.get_logger(__name__)

FAILED_STOP_SECONDS = 10


class NodeModels:
    """All that one agent does with Docker. start() makes it the one that the tasks below use."""

    def __init__(
        self,
        engine: DockerEngine,
        journal: FactJournal,
        streams: LogStreams,
        node_name: str,
        installation: str,
        secrets_dir: Path,
        script_place: ScriptPlace,
        adopted: Adopted,
        archive: LogArchive | None = None,
    ) -> None:
        self.node_name = node_name
        self.installation = installation
        self._engine = engine
        self._facts = Facts(journal)
        watch = Watch()
        self._starts = Starts(engine, self._facts, watch, secrets_dir, installation, node_name)
        self._archive = archive
        self._followers = Followers(engine, streams, node_name, archive)
        self._prober = Prober()
        self._prober.on_ready = self._ready_tell
        self._pulls = ModelPulls(self._facts, self._member_end)
        self._downloads = WeightDownloads(config.HF_CACHE, _hub_asker(secrets_dir))
        self._observer = Observer(
            engine,
            self._facts,
            self._starts,
            self._followers,
            self._prober,
            self._pulls,
            self._downloads,
            watch,
            (installation, node_name),
            adopted,
        )
        self.adoptions = Adoptions(engine, self._facts, self._observer, adopted)
        self._engines = EngineWatch(self._ready_probes, self._pid_of, config.HANG_SECONDS)
        self._stops = Stops(engine, self._facts, self._starts, self._observer, adopted)
        self._scripts = ScriptRuns(
            script_place, self._facts, self._prober, streams, (installation, node_name), archive
        )
        self.guarded = GuardedModels(
            engine, self._facts, self._observer, self._scripts, self._prober, container_group
        )
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin to watch, follow and probe, and take commands."""
        global _node
        if self._archive:
            self._archive.start()
        self._followers.start()
        self._observer.start()
        self._engines.start()
        self._scripts.open()
        adoptions_take(self.adoptions)
        _node = self

    def close(self) -> None:
        """End all threads; containers go on. Starts in progress are cut short and found again later."""
        for job in self._starts.jobs():
            job.cancel()
        self._observer.close()
        self._engines.close()
        self._scripts.close()
        self._prober.close()
        self._pulls.close()
        self._followers.close()
        if self._archive:
            self._archive.close()
        self._engine.close()
        self._closed.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait until close() is through; whether it is."""
        return self._closed.wait(timeout_seconds)

    def before_end(self, ask: Callable[[], None]) -> None:
        """Have `ask` called before the end of a container or script is written down."""
        self._observer.before_end = self._scripts.before_end = ask

    # ---- commands ----

    def container_start(self, data: Any) -> None:
        """Bring up the container or script of a spec (docs/architecture.md, "The container spec")."""
        failpoint("start.received")
        try:
            spec = spec_read(data)
        except SpecInvalid as error:
            self._invalid_refuse(data, str(error))
            return
        if spec.node != self.node_name:
            log.error("start dropped: it is for another node", node=spec.node)
        elif spec.installation != self.installation:
            self._stranger_refuse(spec)
        elif not self._facts.fence(spec.launch, spec.generation):
            log.info("start dropped: a newer generation was seen", member=spec.member)
        elif isinstance(spec, ScriptSpec):
            self._scripts.start(spec)
        elif not self._observer.knows(spec.member):
            failpoint("start.fenced")
            self._observer.first_answer_wait()
            self._starts.run(spec)
            self._observer.look_now()

    def container_stop(
        self, launch: str, member: str, generation: int, timeout_seconds: int, kind: str = "container"
    ) -> None:
        """Bring a member down. SIGTERM, and SIGKILL after the timeout."""
        if not self._facts.fence(launch, generation):
            log.info("stop dropped: a newer generation was seen", member=member)
        elif kind == "script" or self._scripts.knows(member):
            self._scripts.stop(launch, member, generation, timeout_seconds)
        else:
            self._stops.run(launch, member, generation, timeout_seconds)

    def group_check(self, question: dict[str, Any]) -> None:
        """Find out what a preflight asks of this node, and tell it."""
        self._facts.group_checked(group_check(self._engine, question))

    def _stranger_refuse(self, spec: LaunchSpec) -> None:
        """Tell control that this agent was set up without the first machine's owner label."""
        reason = (
            f"The agent on {self.node_name} belongs to the installation {self.installation}, this start to "
            f"{spec.installation}. Give it SPARKWEB_INSTALLATION={spec.installation} and start it again."
        )
        log.error("start refused: it is for another installation", installation=spec.installation)
        self._facts.refused(identity_of_spec(spec), "installation_differs", reason)

    def _member_end(self, identity: Identity) -> None:
        """Take down what runs of a member whose start failed after its container began."""
        self._stops.run(**identity.fact(), timeout_seconds=FAILED_STOP_SECONDS)

    def _invalid_refuse(self, data: Any, reason: str) -> None:
        """Tell control, if it can be made out whom the spec was for: it may be of another version."""
        log.error("start dropped: the spec cannot be read", reason=reason)
        fields = data if isinstance(data, dict) else {}
        launch, member, generation = (fields.get(name) for name in ("launch", "member", "generation"))
        if isinstance(launch, str) and isinstance(member, str) and isinstance(generation, int):
            identity = Identity(launch, member, generation, "", ProbeSpec("none", 0))
            self._facts.refused(identity, "create_failed", reason)

    def ollama_servers(self) -> list[tuple[str, int]]:
        """Host and port of each Ollama server that a launch runs here."""
        ours = [one.identity for one in self._observer.containers.values() if one.runs and one.identity]
        return [(it.probe.host, it.probe.port) for it in ours if it.probe.kind == "ollama"]

    # ---- the report ----

    def docker_status(self) -> dict[str, Any]:
        """The report's `agent.docker`: status (ok, missing, denied, down), version, message, gpu_runtime."""
        status = self._observer.status
        return {
            "status": status.status,
            "version": status.version,
            "message": status.message,
            "gpu_runtime": status.gpu_runtime,
        }

    def containers(self) -> list[dict[str, Any]]:
        """The report's `containers`: all of this node, ours and others; [] while Docker does not answer."""
        if self._observer.status.status != "ok":
            return []
        return [self._container_entry(one) for one in self._observer.containers.values()]

    def launches(self) -> list[dict[str, Any]] | None:
        """The report's `launches`: one entry for each container of ours, each start in progress, each script.

        None until Docker has answered once: what runs is unknown then, and must not
        be taken for nothing. While it does not answer later, what was seen last, marked `stale`.
        """
        scripts = [self._script_entry(entry) for entry in self._scripts.entries()]
        if not self._observer.answered:
            return scripts if self._scripts.is_used else None
        jobs = {job.identity.member: job for job in self._starts.jobs()}
        entries = [_job_entry(job) for job in jobs.values()]
        ours = [one for one in self._observer.containers.values() if one.identity]
        return scripts + entries + [self._launch_entry(one) for one in ours if _member(one) not in jobs]

    def _container_entry(self, one: Tracked) -> dict[str, Any]:
        figures = container_figures(one.id, one.pid) if one.runs else _NO_FIGURES
        return {
            "id": one.id,
            "name": one.listed.name,
            "image": one.listed.image,
            "state": one.listed.state,
            "status": one.listed.status,
            "ports": one.listed.ports,
            "started_at": one.started_at if one.runs else None,
            "cpu_percent": figures["cpu_percent"],
            "memory_bytes": figures["memory_bytes"],
            "io_read_bytes_per_second": figures["io_read_bytes_per_second"],
            "io_write_bytes_per_second": figures["io_write_bytes_per_second"],
            "pids": figures["pids"],
            "ours": one.identity is not None and not one.adopted,
            "adopted": one.adopted,
            "member": _member(one),
            "foreign": one.identity is None and INSTALLATION in one.listed.labels,
            "why": figures["why"],
        }

    def _launch_entry(self, one: Tracked) -> dict[str, Any]:
        assert one.identity
        probe = self._prober.result(one.id)
        stage = self._stage(one) if one.runs and not probe.ready else None
        end = one.inspection if one.has_ended else None
        return {
            **one.identity.fact(),
            "adopted": one.adopted,
            "container_id": one.id,
            "phase": one.phase,
            "stage": stage,
            "probe": probe.to_json(),
            "exit_code": end.exit_code if end else None,
            "oom_killed": end.oom_killed if end else None,
            "started_at": one.started_at,
            "memory_bytes": container_figures(one.id, one.pid)["memory_bytes"] if one.runs else None,
            "gpu_memory_bytes": gpu_memory_held(one.id) if one.runs else None,
            "engine": self._engines.entry(one.id) if one.runs else None,
            "hang": self._engines.hang(one.id) if one.runs else None,
            "stale": self._observer.status.status != "ok",
        }

    def _ready_tell(self, container_id: str) -> None:
        """Let control know at once; should that fail, the next report says the same."""
        one = self._observer.containers.get(container_id)
        if one and one.identity:
            try:
                self._facts.answers(self._launch_entry(one))
            except JournalUnavailable as trouble:
                log.info("readiness not told; the report will", reason=str(trouble))

    def _script_entry(self, entry: dict[str, Any]) -> dict[str, Any]:
        runs = entry["phase"] == "running"
        return {
            **entry,
            "engine": self._engines.entry(entry["member"]) if runs else None,
            "hang": self._engines.hang(entry["member"]) if runs else None,
        }

    def _ready_probes(self) -> dict[str, ProbeSpec]:
        """Whom to ask for figures: what runs of ours and was ready in this run of its own."""
        return self._scripts.ready_probes() | {
            one.id: one.identity.probe
            for one in list(self._observer.containers.values())
            if one.identity and one.runs and self._prober.was_ready(one.id)
        }

    def _pid_of(self, container_id: str) -> int | None:
        one = self._observer.containers.get(container_id)
        return one.pid if one else None

    def _stage(self, one: Tracked) -> dict[str, Any] | None:
        """How far the engine is: its download, else its log's last milestone."""
        assert one.identity
        if found := self._pulls.stage(one.identity.member) or self._downloads.stage(one.id, one.identity):
            return found
        milestone = self._followers.milestone(one.id, one.started_at)
        if milestone is None:
            return None
        return {"name": milestone.stage, "done_bytes": None, "total_bytes": None, "message": milestone.words}


_NO_FIGURES: dict[str, Any] = {
    **dict.fromkeys(
        ("cpu_percent", "memory_bytes", "io_read_bytes_per_second", "io_write_bytes_per_second", "pids")
    ),
    "why": {},
}


def _hub_asker(secrets_dir: Path) -> Callable[[str, str], list[HubFile]]:
    """Ask the hub with the node's own token, read anew each time; it goes nowhere else."""

    def ask(repository: str, revision: str) -> list[HubFile]:
        try:
            token = (secrets_dir / "hf_token").read_text().strip()
        except OSError:
            token = ""
        return files_of(config.HF_ENDPOINT, repository, revision, token or None)

    return ask


def _job_entry(job: StartJob) -> dict[str, Any]:
    return {
        **job.identity.fact(),
        "container_id": None,
        "phase": job.phase,
        "stage": job.stage,
        "probe": None,
        "exit_code": None,
        "oom_killed": None,
        "started_at": None,
        "memory_bytes": None,
        "gpu_memory_bytes": None,
        "engine": None,
        "hang": None,
        "stale": False,
    }


def _member(one: Tracked) -> str | None:
    return one.identity.member if one.identity else None


_node: NodeModels | None = None


def _running_node() -> NodeModels:
    if _node is None:
        raise RuntimeError("this process is no agent: NodeModels.start() was not called")
    return _node


@shared_task(name="models.container_start", ignore_result=True)
def container_start(spec: dict[str, Any]) -> None:
    """Find or create and start the container of `spec`."""
    _running_node().container_start(spec)


@shared_task(name="models.container_stop", ignore_result=True)
def container_stop(
    launch: str, member: str, generation: int, timeout_seconds: int, kind: str = "container"
) -> None:
    """Stop the container of a member, or its start; or its script."""
    _running_node().container_stop(launch, member, generation, timeout_seconds, kind)


@shared_task(name="models.rank", ignore_result=True)
def rank(member: str, priority: int, pinned: bool) -> None:
    """How long the memory guardian keeps a member, changed while it runs."""
    _running_node().guarded.rank(member, priority, pinned)


@shared_task(name="models.group_check", ignore_result=True)
def group_check_task(question: dict[str, Any]) -> None:
    """Answer a preflight."""
    _running_node().group_check(question)
