"""What the agent of a node does for sandbox_app: commands as Celery tasks. No ORM, no Django."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from sandbox_app.node.sandbox import NodeSandbox

_sandbox: NodeSandbox | None = None


def sandbox_take(sandbox: NodeSandbox) -> None:
    """Make this the sandbox that the tasks below use."""
    global _sandbox
    _sandbox = sandbox


def _running() -> NodeSandbox:
    if _sandbox is None:
        raise RuntimeError("this process is no agent: sandbox_take() was not called")
    return _sandbox


@shared_task(name="sandbox.run", ignore_result=True)
def run(job: dict[str, Any]) -> None:
    """Take on a run. Twice: the second joins."""
    _running().run(job)


@shared_task(name="sandbox.cancel", ignore_result=True)
def cancel(run: str, generation: int, reason: str = "") -> None:
    """End a run, also one that has not begun. Twice: nothing more happens."""
    _running().cancel(run, generation, reason)


@shared_task(name="sandbox.pools", ignore_result=True)
def pools(wanted: list[dict[str, Any]]) -> None:
    """Keep containers ready for these tools."""
    _running().pools(wanted)
