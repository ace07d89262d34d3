"""The agent process: one on each node. It opens no database and loads no Django.

The main thread is a Celery worker (32 threads) on the node's own queue;
beside it run the report loop with the sampler child, the journal's sender,
and what watches our containers.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog
from celery import Celery, shared_task

from metrics_app.agent import ReportLoop, container_group, report_section
from metrics_app.fabric.node import FabricDesk
from metrics_app.flight_recorder import FlightRecorder, upload_to
from metrics_app.kernel_watch import KernelWatch
from models_app.agent import NodeModels
from models_app.agent_weights import WeightsDesk
from models_app.node.adopted import Adopted
from models_app.node.log_archive import LogArchive
from models_app.node.script_place import ScriptPlace
from models_app.node.storage.agent import NodeStorage, place_configured
from models_app.node.weights_look import Weights
from sandbox_app.agent import SandboxParts
from sandbox_app.agent_services import services_take
from sandbox_app.agent_sessions import SessionDesk
from sandbox_app.node.audit_heads import AuditHeads
from sandbox_app.node.host_runners import host_runner
from sandbox_app.node.image_desk import ImageDesk
from sandbox_app.node.sandbox import NodeSandbox, SandboxSettings
from sandbox_app.node.service_desk import ServiceDesk
from sandbox_app.node.workspaces import Workspaces
from sparkweb import __version__, config
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.adapters.docker_sandbox import SandboxEngine
from sparkweb.adapters.fabric import FabricReader, counters_read
from sparkweb.adapters.kernel_log import KernelLog
from sparkweb.celery_common import celery_settings, worker_run
from sparkweb.guardian.figures import MEMINFO
from sparkweb.guardian.keeper import GuardianSettings, MemoryGuardian, Victims
from sparkweb.guardian.plan import victims_left
from sparkweb.installation import installation_read
from sparkweb.logs import level_set, logs_setup
from sparkweb.node_link.acl import agent_transport_options
from sparkweb.node_link.http_client import WebClient
from sparkweb.node_link.journal import Journal
from sparkweb.node_link.sender import JournalSender, ReportSender
from sparkweb.node_link.signatures import NodeKeyInvalid, Signer
from sparkweb.streams import Streams
from transcripts_app.agent import TranscriptSender

log = structlog.get_logger(__name__)

THREADS = 32
HOST_BOOT = Path("/proc/sys/kernel/random/boot_id")


def agent_app(node_name: str, redis_url: str) -> Celery:
    """Return the Celery application of one node's agent, with unacked keys of its own."""
    app = Celery("sparkweb-agent", fixups=[])  # no fixups: Django's would load Django
    app.conf.update(celery_settings(redis_url))
    app.conf.update(
        broker_transport_options=agent_transport_options(node_name),
        task_default_queue=f"node.{node_name}",
        task_create_missing_queues=True,
    )
    return app


class Agent:
    """Everything on one node, put together."""

    def __init__(self) -> None:
        self.node_name = config.NODE_NAME
        self.boot = str(uuid.uuid4())
        folder = config.DATA_DIR / "agent" / self.node_name
        self.streams = Streams(config.REDIS_URL)
        self.journal = Journal(folder / "journal.sqlite3")
        signer = Signer.load(config.NODE_KEY_FILE, self.node_name)
        self.sender = JournalSender(self.journal, self.streams, signer)
        self.reports = ReportSender(self.streams, signer, self.boot)
        self.engine = DockerEngine(config.DOCKER_HOST)
        self.models = NodeModels(
            self.engine,
            self.journal,
            self.streams,
            self.node_name,
            config.INSTALLATION or installation_read(config.DATA_DIR),
            config.SECRETS_DIR,
            ScriptPlace(config.SCRIPTS_DIR, folder / "scripts"),
            Adopted(folder / "adopted.json"),
            LogArchive(
                folder / "logs",
                WebClient(config.WEB_URL, signer),
                config.LOG_SPOOL_MB * 2**20,
            ),
        )
        self.fabric = FabricReader()
        self.fabric_counters = FabricReader(counters_read)
        self.fabric_desk = FabricDesk(self.journal)
        self.weights = WeightsDesk(Weights(config.HF_CACHE, config.OLLAMA_MODELS), self.journal)
        self.storage = NodeStorage(self.engine, self.journal, place_configured(), self.models.ollama_servers)
        self.audit_heads = AuditHeads(
            folder / "audit", config.INSTALLATION or installation_read(config.DATA_DIR)
        )
        self.sessions = SessionDesk(
            Workspaces(folder / "workspaces", config.DISK_RESERVE_GB * 2**30, docker_host=config.DOCKER_HOST),
            self.journal,
            lambda: WebClient(config.WEB_URL, signer),
        )
        self.sandbox = NodeSandbox(
            SandboxEngine(config.DOCKER_HOST),
            self.journal,
            self.streams,
            lambda: WebClient(config.WEB_URL, signer),
            folder / "sandbox",
            self.node_name,
            self.models.installation,
            sandbox_settings(),
            self.sessions.workspaces,
            host_runner=host_runner,
            group_of=container_group,
        )
        self.tools = SandboxParts(self.sandbox, ImageDesk(self.engine, self.journal, config.SANDBOX_IMAGE))
        self.services = ServiceDesk(
            self.engine,
            self.journal,
            self.streams,
            self.node_name,
            self.models.installation,
            folder / "services",
        )
        self.guardian = guardian_make(
            folder / "guardian", self.models, [self.storage.jobs.victims, self.sandbox.victims], self._acted
        )
        self.sandbox.before_end(self.guardian.collect)
        self.sessions.before_end(self.sandbox.session_end)
        self.flight = FlightRecorder(
            folder / "flight", _host_boot(), upload_to(WebClient(config.WEB_URL, signer))
        )
        self.kernel = KernelWatch(self.journal, KernelLog())
        self.transcripts = TranscriptSender(config.TRANSCRIPTS, lambda: WebClient(config.WEB_URL, signer))
        self.loop = ReportLoop(self._report)

    def start(self) -> None:
        report_section("agent")(self.agent_section)
        report_section("containers")(self.models.containers)
        report_section("launches")(self.models.launches)
        report_section("storage")(self.storage.section)
        report_section("guardian")(self.guardian.section)
        report_section("sandbox")(self.tools.section)
        report_section("kernel")(self.kernel.section)
        report_section("fabric")(self.fabric_counters)
        report_section("services")(self.services.section)
        report_section("audit_head")(self.audit_heads.section)
        self.flight.start()
        self.sender.start()
        self.reports.start()
        self.models.start()
        self.weights.start()
        self.fabric_desk.start()
        self.storage.start()
        self.sessions.start()
        self.tools.start()
        self.services.start()
        services_take(self.services)
        self.guardian.start()
        self.audit_heads.start()
        self.transcripts.start()
        self.loop.start()

    def close(self) -> None:
        self.guardian.close()
        self.transcripts.close()
        self.loop.close()
        self.flight.close()
        self.kernel.close()
        self.storage.close()
        self.services.close()
        self.tools.close()
        self.models.close()
        self.sender.close()
        self.reports.close()
        self.streams.close()
        self.journal.close()

    def _report(self, report: dict[str, Any]) -> None:
        """Each second: to this machine's disk, and on its way to control."""
        self.flight.keep(report)
        self.reports.send(report)

    def _acted(self, act: dict[str, Any]) -> None:
        """The memory guardian ended something: the run that it was knows first, then control."""
        self.sandbox.guardian_acted(act)
        self.models.guarded.acted(act)

    def agent_section(self) -> dict[str, Any]:
        """What the report says about the agent itself."""
        return {
            "version": __version__,
            "pid": os.getpid(),
            "boot": self.boot,
            "host_boot": _host_boot(),
            "unacknowledged": self.journal.count(),
            "docker": self.models.docker_status(),
            "hf_cache": str(config.HF_CACHE),
            "ollama_models": str(config.OLLAMA_MODELS),
            "nim_cache": str(config.NIM_CACHE),
            "scripts_dir": str(config.SCRIPTS_DIR) if config.SCRIPTS_DIR else None,
            "secrets": _secret_names(config.SECRETS_DIR),
            "fabric": self.fabric(),
        }


def sandbox_settings() -> SandboxSettings:
    """The sandbox as this node's settings say."""
    return SandboxSettings(
        image=config.SANDBOX_IMAGE,
        pool=config.SANDBOX_POOL,
        data_pool=config.SANDBOX_DATA_POOL,
        reserve_bytes=config.SANDBOX_RESERVE_MB * 2**20,
    )


def guardian_make(
    folder: Path,
    models: NodeModels,
    others: Sequence[Victims] = (),
    acted: Callable[[dict[str, Any]], None] | None = None,
    meminfo: Path = MEMINFO,
) -> MemoryGuardian:
    """Return the memory guardian over a node's models and `others`, with what an earlier agent knew."""
    settings = GuardianSettings(
        enabled=config.GUARDIAN,
        floor_mb=config.GUARDIAN_FLOOR_MB,
        lower_floor_mb=config.GUARDIAN_LOWER_FLOOR_MB,
        horizon_seconds=config.GUARDIAN_HORIZON_SECONDS,
        protect_ready=config.GUARDIAN_PROTECT_READY,
    )
    models.guarded.remember(victims_left(folder))
    guardian = MemoryGuardian(
        folder,
        settings,
        [models.guarded.victims, *others],
        acted or models.guarded.acted,
        config.DOCKER_HOST,
        meminfo,
    )
    models.before_end(guardian.collect)
    return guardian


def _host_boot() -> str:
    try:
        return HOST_BOOT.read_text().strip()
    except OSError:
        return ""


def _secret_names(folder: Path) -> list[str]:
    """The names of secret files, never what is in them."""
    try:
        return sorted(path.name for path in folder.iterdir() if path.is_file())
    except OSError:
        return []


@shared_task(name="metrics.log_level", ignore_result=True)
def log_level(level: str) -> None:
    """Change how much this agent logs, until it is started again."""
    level_set(level)


def main() -> int:
    """Run until SIGTERM or SIGINT. Returns the exit status: 0, or 2 without a usable node key."""
    logs_setup("agent")
    node = config.NODE_NAME
    app = agent_app(node, config.REDIS_URL)
    app.set_default()
    try:
        agent = Agent()
    except NodeKeyInvalid as error:
        log.error("the agent cannot start", reason=str(error))
        return 2
    agent.start()
    log.info("agent runs", node=node, pid=os.getpid())
    try:
        worker_run(app, name=f"agent@{node}", threads=THREADS, queues=[f"node.{node}"])
    finally:
        threading.Thread(target=agent.close, daemon=True).start()
        agent.models.join(3.0)
    return 0
