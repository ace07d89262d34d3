"""What the agent does for sandbox_app: commands as Celery tasks, and the section of the report. No ORM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from celery import shared_task

from sandbox_app.node.image_desk import ImageDesk
from sandbox_app.node.sandbox import NodeSandbox


@dataclass(frozen=True)
class SandboxParts:
    """A node's sandbox and the builder of its image."""

    sandbox: NodeSandbox
    images: ImageDesk

    def section(self) -> dict[str, Any]:
        """The report's `sandbox` (docs/sandbox-protocol.md)."""
        return {
            "image": self.images.entry(),
            **self.sandbox.section(),
            "build": self.images.building(),
        }

    def start(self) -> None:
        """Take commands."""
        global _parts
        self.sandbox.start()
        _parts = self

    def close(self) -> None:
        self.images.close()
        self.sandbox.close()


_parts: SandboxParts | None = None


def _running() -> SandboxParts:
    if _parts is None:
        raise RuntimeError("this process is no agent: SandboxParts.start() was not called")
    return _parts


@shared_task(name="sandbox.run", ignore_result=True)
def run(job: dict[str, Any]) -> None:
    """Take on a run. Twice: the second joins."""
    _running().sandbox.run(job)


@shared_task(name="sandbox.cancel", ignore_result=True)
def cancel(run: str, generation: int, reason: str = "") -> None:
    """End a run, also one that has not begun. Twice: nothing more happens."""
    _running().sandbox.cancel(run, generation, reason)


@shared_task(name="sandbox.pools", ignore_result=True)
def pools(wanted: list[dict[str, Any]]) -> None:
    """Keep containers ready for these tools."""
    _running().sandbox.pools(wanted)


@shared_task(name="sandbox.image_build", ignore_result=True)
def image_build(job: str, generation: int, arguments: dict[str, str], network: str) -> None:
    """Build the image that tools run in. Twice: the second returns at once."""
    _running().images.build(job, generation, arguments, network)


@shared_task(name="sandbox.image_cancel", ignore_result=True)
def image_cancel(job: str, generation: int) -> None:
    """End a build, also one that has not begun."""
    _running().images.cancel(job, generation)
