"""The image that tools run in, on this node: whether it is there, and how it is built. No ORM.

A build is keyed by its uid and generation, so that a second order joins the first. Nothing is
remembered across an agent's death: Docker keeps the layers that are done, and control asks again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from sparkweb.adapters.docker_build import (
    NETWORKS,
    BuildCancelled,
    BuildProgress,
    context_tar,
    image_build,
)
from sparkweb.adapters.docker_errors import DockerTrouble, ImageMissing
from sparkweb.node_link.journal import JournalUnavailable

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 10.0
LOG_LINES = 40
ARGUMENTS = ("BASE", "DATA", "EXTRA")
CONTEXT = Path(__file__).resolve().parents[2] / "deploy" / "sandbox"


class Engine(Protocol):
    """What is needed of sparkweb/adapters/docker_engine.py."""

    base_url: str

    def image_digest(self, image: str) -> str: ...


class BuildJournal(Protocol):
    """What is needed of the node's journal."""

    def add(self, verb: str, data: dict[str, Any]) -> int: ...
    def fence(self, launch: str, generation: int) -> bool: ...


@dataclass
class _Build:
    job: str
    generation: int
    progress: BuildProgress = field(default_factory=BuildProgress)
    cancelled: threading.Event = field(default_factory=threading.Event)
    end: Callable[[], None] | None = None


class ImageDesk:
    """Any thread may call. One build at a time: they would fight for the disk and the network."""

    def __init__(self, engine: Engine, journal: BuildJournal, image: str, context: Path = CONTEXT) -> None:
        self.image = image
        self._engine = engine
        self._journal = journal
        self._context = context
        self._build: _Build | None = None
        self._over: set[tuple[str, int]] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._seen: dict[str, Any] = {"name": image, "status": "unknown", "digest": None}
        self._looked_at = float("-inf")

    # ---- the report ----

    def entry(self) -> dict[str, Any]:
        """The report's `sandbox.image`: name, status (ok, missing, unknown) and digest."""
        if time.monotonic() - self._looked_at > LOOK_EVERY_SECONDS:
            self._looked_at = time.monotonic()
            self._seen = self._look()
        return self._seen

    def building(self) -> dict[str, Any] | None:
        """The report's `sandbox.build`: job, step, steps and the builder's last line; None without one."""
        build = self._build
        if build is None:
            return None
        progress = build.progress
        return {
            "job": build.job,
            "generation": build.generation,
            "step": progress.step,
            "steps": progress.steps,
            "message": progress.message,
        }

    def _look(self) -> dict[str, Any]:
        try:
            return {"name": self.image, "status": "ok", "digest": self._engine.image_digest(self.image)}
        except ImageMissing:
            return {"name": self.image, "status": "missing", "digest": None}
        except DockerTrouble:
            return {"name": self.image, "status": "unknown", "digest": None}

    # ---- commands ----

    def build(self, job: str, generation: int, arguments: dict[str, str], network: str) -> None:
        """Build the image and write down how it ended. Returns at once while another build works."""
        if not self._journal.fence(f"image-{job}", generation):
            return
        build = _Build(job, generation)
        with self._lock:
            if self._build is not None or (job, generation) in self._over:
                return
            self._build = build
        try:
            end = self._carried_out(build, arguments, network)
            if not self._closed:
                self._tell(build, end)
        finally:
            with self._lock:
                self._build = None
                self._over.add((job, generation))
            self._looked_at = float("-inf")

    def cancel(self, job: str, generation: int) -> None:
        """End a build, also one that has not begun."""
        self._journal.fence(f"image-{job}", generation)
        build = self._build
        if build is not None and build.job == job:
            build.cancelled.set()
            if build.end is not None:
                build.end()
        else:
            self._tell(_Build(job, generation), {"outcome": "cancelled", "reason": ""})

    def close(self) -> None:
        """End what is under way without a word: the next agent is asked again."""
        self._closed = True
        build = self._build
        if build is not None and build.end is not None:
            build.end()

    def _carried_out(self, build: _Build, arguments: dict[str, str], network: str) -> dict[str, Any]:
        def begun(end: Callable[[], None]) -> None:
            build.end = end
            if build.cancelled.is_set():
                end()

        def moved(progress: BuildProgress) -> None:
            build.progress = progress

        wanted = {name: str(arguments[name]) for name in ARGUMENTS if arguments.get(name)}
        try:
            if network not in NETWORKS:
                raise ValueError(f"network {network!r} is none of {', '.join(NETWORKS)}")
            context = context_tar(self._context)
            image_build(self._engine.base_url, self.image, context, wanted, network, moved, begun)
            digest = self._engine.image_digest(self.image)
        except BuildCancelled:
            return {"outcome": "cancelled", "reason": ""}
        except (DockerTrouble, OSError, ValueError) as trouble:
            return {"outcome": "failed", "reason": str(trouble)[:1000]}
        return {"outcome": "done", "reason": "", "digest": digest}

    def _tell(self, build: _Build, end: dict[str, Any]) -> None:
        fact = {"job": build.job, "generation": build.generation, "image": self.image, "digest": None}
        lines = "\n".join(build.progress.lines[-LOG_LINES:])
        try:
            self._journal.add("sandbox_image_built", {**fact, **end, "log": lines})
        except JournalUnavailable as trouble:
            log.warning("the end of an image's build was not told", reason=str(trouble))
