"""Jobs of a node's storage: download, pull, delete. Keyed by job and generation, so a second order joins.

Nothing is remembered across an agent's death: control asks again for what it does not
see, and each kind goes on from what lies on the disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from models_app.engines.spec import ProbeSpec
from models_app.node.facts import FactJournal
from models_app.node.identity import Identity
from models_app.node.model_pulls import ModelPull
from models_app.node.ollama import failure_sentence
from models_app.node.storage.areas import Areas
from models_app.node.storage.hf_cache import NotDeletable, NotListed
from models_app.node.storage.hub_child import os_words
from models_app.node.storage.image_pulls import image_pull
from models_app.node.storage.ollama_servers import OllamaServers
from models_app.node.storage.space import DiskShort, room_require
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.adapters.docker_errors import DockerTrouble, ImageMissing, PullCancelled
from sparkweb.adapters.docker_pull import PullProgress
from sparkweb.guardian.decide import Victim
from sparkweb.guardian.killing import start_ticks

log = structlog.get_logger(__name__)

TOGETHER = 3
OVER_REMEMBERED = 200
PROJECT = Path(__file__).resolve().parents[3]
CHILD = (sys.executable, "-m", "models_app.node.storage.hub_child")
AREA_OF = {"hf_download": "hf", "ollama_pull": "ollama", "image_pull": "images"}
AREA_OF_KEY = {"hf": "hf", "ollama": "ollama", "ollama-server": "ollama", "image": "images"}


@dataclass
class Job:
    """One job in progress; `done_bytes` and `message` are what the report says of it."""

    uid: str
    generation: int
    kind: str
    subject: dict[str, Any]
    done_bytes: int | None = None
    total_bytes: int | None = None
    message: str = ""
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    end: Callable[[], None] | None = None
    child_pid: int | None = None
    began_at: float = field(default_factory=time.time)

    def cancel(self) -> None:
        self.cancelled.set()
        if self.end is not None:
            self.end()

    def ends_by(self, end: Callable[[], None]) -> None:
        """Have `end` called on cancel, at once if that was before."""
        self.end = end
        if self.cancelled.is_set():
            end()


@dataclass(frozen=True)
class Outcome:
    """How a job ended: done, failed (with code and reason) or cancelled."""

    outcome: str
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Place:
    """Where the node keeps things and whom it asks, as its settings say."""

    hf_cache: Path
    hf_endpoint: str
    secrets_dir: Path
    ollama: Path
    reserve_bytes: int


class StorageJobs:
    """All storage jobs of one node. Any thread may call run and cancel."""

    def __init__(
        self,
        engine: DockerEngine,
        journal: FactJournal,
        areas: Areas,
        servers: OllamaServers,
        place: Place,
        on_end: Callable[[set[str]], None],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._areas = areas
        self._servers = servers
        self._place = place
        self._on_end = on_end
        self._jobs: dict[str, Job] = {}
        # Control may ask once more while the end of a job is on its way.
        self._over: dict[tuple[str, int], None] = {}
        self._lock = threading.Lock()
        self._closed = False

    def run(self, uid: str, generation: int, kind: str, subject: dict[str, Any]) -> None:
        """Carry a job out and write down how it ended. A second order for it returns at once.

        With TOGETHER jobs in progress it returns too: control asks again.
        """
        if not self._journal.fence(f"storage-{uid}", generation):
            return
        job = Job(uid, generation, kind, subject)
        with self._lock:
            known = uid in self._jobs or (uid, generation) in self._over
            if self._closed or known or len(self._jobs) >= TOGETHER:
                return
            self._jobs[uid] = job
        try:
            outcome = self._outcome(job)
            if not self._closed:
                self._told(job, outcome)
        finally:
            with self._lock:
                del self._jobs[uid]
            job.ended.set()
        self._on_end({_area(job)})

    def cancel(self, uid: str, generation: int) -> None:
        """End a job. One that does not run is written down as cancelled, so that control knows."""
        if not self._journal.fence(f"storage-{uid}", generation):
            return
        with self._lock:
            job = self._jobs.get(uid)
        if job is not None:
            job.generation = generation
            job.cancel()
        else:
            self._told(Job(uid, generation, "", {}), Outcome("cancelled"))

    def entries(self) -> list[dict[str, Any]]:
        """The report's `jobs`."""
        with self._lock:
            jobs = list(self._jobs.values())
        names = ("generation", "kind", "done_bytes", "total_bytes", "message")
        return [{"job": job.uid} | {name: getattr(job, name) for name in names} for job in jobs]

    def victims(self) -> list[Victim]:
        """Downloads that the memory guardian may end; asked for again, one goes on where it was."""
        with self._lock:
            jobs = list(self._jobs.values())
        return [
            Victim(
                key=job.uid,
                kind="download",
                name=str(job.subject.get("repo", job.kind)),
                container_id="",
                started_at=job.began_at,
                pid=job.child_pid,
                start_ticks=start_ticks(job.child_pid),
                scope="process",
            )
            for job in jobs
            if job.child_pid
        ]

    def close(self) -> None:
        """End all jobs without a word: the next agent goes on with them."""
        with self._lock:
            self._closed = True
            jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()

    def _told(self, job: Job, outcome: Outcome) -> None:
        """Write the end down. Raises JournalUnavailable; the job is then asked for again."""
        self._journal.add(
            "storage_job_ended",
            {
                "job": job.uid,
                "generation": job.generation,
                "outcome": outcome.outcome,
                "code": outcome.code,
                "reason": outcome.reason[:2000],
                "done_bytes": job.done_bytes,
                "total_bytes": job.total_bytes,
            },
        )
        with self._lock:
            self._over[(job.uid, job.generation)] = None
            while len(self._over) > OVER_REMEMBERED:
                del self._over[next(iter(self._over))]

    def _outcome(self, job: Job) -> Outcome:
        work = {
            "hf_download": self._hf_download,
            "ollama_pull": self._ollama_pull,
            "image_pull": self._image_pull,
            "delete": self._delete,
        }.get(job.kind)
        if work is None:
            return Outcome("failed", "unknown_kind", f"This agent knows no {job.kind}; update it.")
        try:
            outcome = work(job)
        except PullCancelled:
            return Outcome("cancelled")
        except (DiskShort, DockerTrouble) as trouble:
            return Outcome("failed", trouble.code, str(trouble))
        except OSError as error:
            return Outcome("failed", *os_words(error, self._place.hf_cache))
        except Exception as error:
            log.exception("storage job broke", job=job.uid, kind=job.kind)
            return Outcome("failed", "broken", f"SparkWeb failed at it: {error}")
        return Outcome("cancelled") if job.cancelled.is_set() and outcome.outcome != "done" else outcome

    # ---- the kinds ----

    def _hf_download(self, job: Job) -> Outcome:
        place = self._place
        order = {
            **{name: job.subject[name] for name in ("repo_type", "repo", "revision", "patterns")},
            "endpoint": place.hf_endpoint,
            "cache": str(place.hf_cache),
            "token_file": str(place.secrets_dir / "hf_token"),
            "reserve_bytes": place.reserve_bytes,
            "parent": os.getpid(),
        }
        last: dict[str, Any] = {}
        with subprocess.Popen(CHILD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT) as child:
            assert child.stdin and child.stdout
            job.child_pid = child.pid
            job.ends_by(child.kill)
            try:
                child.stdin.write(json.dumps(order).encode() + b"\n")
                child.stdin.close()
            except BrokenPipeError:
                pass  # it was killed already; its end says so
            for line in child.stdout:
                last = json.loads(line)
                job.done_bytes, job.total_bytes = last.get("done_bytes"), last.get("total_bytes")
                job.message = last.get("message", job.message)
        if outcome := last.get("outcome"):
            return Outcome(outcome, last.get("code", ""), last.get("reason", ""))
        return Outcome(
            "failed", "child_died", "The download ended without a word; the agent's log may say why."
        )

    def _ollama_pull(self, job: Job) -> Outcome:
        model = str(job.subject["model"])
        address = self._servers.answering()
        if address is None:
            return Outcome(
                "failed",
                "no_server",
                "No Ollama server answers on this node. Start one of its models first, or set "
                "SPARKWEB_OLLAMA_URL.",
            )
        room_require(self._place.ollama, 1, self._place.reserve_bytes, model)
        host, port = address
        pull = ModelPull(
            Identity("", job.uid, job.generation, "", ProbeSpec("ollama", port, "/", model, host=host))
        )
        job.ends_by(pull.cancel)
        ended = threading.Event()
        watch = threading.Thread(target=self._pull_watch, args=[job, pull, ended], daemon=True)
        watch.start()
        try:
            error = pull.run()
        finally:
            ended.set()
            watch.join()
        if short := job.subject.get("short"):
            return Outcome("failed", DiskShort.code, str(short))
        if not error:
            return Outcome("cancelled" if job.cancelled.is_set() else "done")
        code = "disk_full" if "no space left" in error.lower() else "model_pull_failed"
        return Outcome("failed", code, failure_sentence(model, error))

    def _pull_watch(self, job: Job, pull: ModelPull, ended: threading.Event) -> None:
        """Take over how far a pull is, and end it when Ollama names sizes that do not fit."""
        while True:
            over = ended.wait(0.5)
            stage = pull.state.stage()
            job.done_bytes, job.total_bytes = stage["done_bytes"], stage["total_bytes"]
            job.message = stage["message"]
            if over:
                return
            missing = (job.total_bytes or 0) - (job.done_bytes or 0)
            try:
                room_require(
                    self._place.ollama, missing, self._place.reserve_bytes, str(job.subject["model"])
                )
            except DiskShort as short:
                job.subject["short"] = str(short)
                pull.cancel()

    def _image_pull(self, job: Job) -> Outcome:
        image = str(job.subject["image"])

        def on_progress(progress: PullProgress) -> None:
            job.done_bytes, job.total_bytes = progress.done_bytes, progress.total_bytes
            job.message = progress.message

        image_pull(self._engine, image, on_progress, job.ends_by, self._place.reserve_bytes)
        return Outcome("done")

    def _delete(self, job: Job) -> Outcome:
        job.message = "Deleting"
        try:
            job.done_bytes = self._areas.delete(str(job.subject["key"]))
        except (NotListed, ImageMissing):
            return Outcome("done", "", "It was gone already.")
        except NotDeletable as refused:
            return Outcome("failed", "not_deletable", str(refused))
        return Outcome("done")


def _area(job: Job) -> str:
    if job.kind == "delete":
        return AREA_OF_KEY.get(str(job.subject.get("key", "")).partition(":")[0], "")
    return AREA_OF.get(job.kind, "")
