"""What tests of runs share: a tool, an online node with the image, nudges caught on their way to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from metrics_app.models import Node, NodeStatus
from sandbox_app import places
from sandbox_app.models import Tool, ToolRun
from sandbox_app.observing import SEEN
from sparkweb import live
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import User
from sparkweb.node_link import commands
from tests.factories import NodeFactory

MIB = 2**20
IMAGE = "sparkweb-sandbox:1"
DEFINITION = {
    "name": "code",
    "description": "Runs code",
    "version": "1",
    "instructions": "",
    "runner": "run.py",
    "sandbox": {"image": IMAGE, "timeout_seconds": 30, "memory_bytes": 256 * MIB},
    "parameters": [
        {"name": "code", "type": "string", "required": True, "description": "Python"},
        {"name": "password", "type": "string", "required": False, "description": "Secret"},
    ],
    "examples": [],
    "egress": [],
    "approval": False,
    "role": "operator",
}


@pytest.fixture(autouse=True)
def nobody_remembers_nodes() -> None:
    """Nodes of the test before are not looked at for the rest of their second."""
    places._newest.read_at = float("-inf")


@pytest.fixture
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, Any]]]:
    """Every command sent to a node, in order: (node, task, arguments)."""
    sent: list[tuple[str, str, dict[str, Any]]] = []

    def send(node_name: str, task: str, **arguments: Any) -> bool:
        sent.append((node_name, task, arguments))
        return True

    monkeypatch.setattr(commands, "send", send)
    return sent


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], Any]]:
    """Every frame for browsers, with who may see it."""
    told: list[tuple[dict[str, Any], Any]] = []
    monkeypatch.setattr(live, "publish", lambda key, frame, only=None: told.append((frame, only)))
    return told


@pytest.fixture
def node(db: None) -> Node:
    return NodeFactory(name="spark-1", status=NodeStatus.ONLINE)


@pytest.fixture
def someone(operator: User) -> Actor:
    return Actor(operator, operator.username, "page")


@pytest.fixture
def tool(db: None) -> Tool:
    return Tool.objects.create(
        name="code", description="Runs code", folder="/tools/code", digest="d" * 64, definition=DEFINITION
    )


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set what nodes report, by name: memory in MiB, and the status of the image."""
    reports: dict[str, Any] = {}
    monkeypatch.setattr("sandbox_app.places.node_snapshots", lambda names: {n: reports.get(n) for n in names})
    monkeypatch.setattr("sandbox_app.places.AGE_SECONDS", 0.0)
    monkeypatch.setattr(SEEN, "runs", {})
    monkeypatch.setattr(SEEN, "_absent_since", {})

    def report(name: str = "spark-1", available_mib: int | None = 65536, image: str = "ok") -> None:
        available = None if available_mib is None else available_mib * MIB
        sandbox = {"image": {"name": IMAGE, "status": image}, "runtimes": ["runc"], "runs": []}
        reports[name] = {"report": {"host": {"memory_available_bytes": available}, "sandbox": sandbox}}

    report()
    return report


def ending(run: ToolRun, outcome: str = "ok", **fields: Any) -> dict[str, Any]:
    """The fact `tool_run_ended` of a run."""
    return {
        "run": run.uid,
        "generation": run.generation,
        "outcome": outcome,
        "exit_code": 0 if outcome == "ok" else None,
        "stdout": "1\n",
        "stdout_bytes": 2,
        "duration_ms": 12.5,
        "limits": {"memory_bytes": 256 * MIB},
        "image_digest": "sha256:abc",
        "container_id": "c" * 64,
        **fields,
    }
