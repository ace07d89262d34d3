"""What the launch tests share: nudges caught on their way to a node, and a node that is online."""

from __future__ import annotations

from typing import Any

import pytest

from metrics_app.models import Node, NodeStatus
from sparkweb.accounts.actor import Actor
from sparkweb.node_link import commands
from tests.factories import NodeFactory

GIB = 2**30


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
def node(db: None) -> Node:
    return NodeFactory(name="spark-1", status=NodeStatus.ONLINE)


@pytest.fixture
def someone(operator) -> Actor:  # type: ignore[no-untyped-def]
    return Actor(operator, operator.username, "page")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Set the memory that the node reports, in GiB."""

    def report(available_gib: float, **gpu: Any) -> None:
        snapshot = {
            "report": {
                "host": {"memory_available_bytes": int(available_gib * GIB)},
                "gpu": {"status": "ok", "unified_memory": True} | gpu,
                "gpus": [],
            }
        }
        monkeypatch.setattr("models_app.memory.node_snapshot", lambda name: snapshot)

    return report
