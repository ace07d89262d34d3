"""What a socket is told when it opens: nodes, a quarter of an hour of figures, the newest report."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import orjson
from channels.db import database_sync_to_async

from metrics_app.models import Node
from metrics_app.selectors import node_history, node_snapshots, report_shown


@dataclass(frozen=True)
class NodeRow:
    name: str
    label: str
    status: str


@dataclass(frozen=True)
class Picture:
    """Frames as JSON text, shared by all sockets that open within the same second."""

    made_at: float
    nodes: list[NodeRow]
    history: dict[str, str]
    snapshots: dict[str, dict[str, Any]]


async def picture_make() -> Picture:
    """Read nodes from the database and their figures from Redis, off the event loop."""
    nodes = await nodes_read()
    history, snapshots = await asyncio.to_thread(_figures, nodes)
    return Picture(time.monotonic(), nodes, history, snapshots)


async def nodes_read() -> list[NodeRow]:
    """Read the inventory: names, labels and the statuses that control has stored."""
    return await database_sync_to_async(_nodes)()


def _nodes() -> list[NodeRow]:
    rows = Node.objects.values_list("name", "label", "status")
    return [NodeRow(name, label or name, status) for name, label, status in rows]


def _figures(nodes: list[NodeRow]) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    history = {
        node.name: orjson.dumps({"type": "history", "node": node.name, **node_history(node.name)}).decode()
        for node in nodes
    }
    found = node_snapshots([node.name for node in nodes])
    return history, {name: snapshot for name, snapshot in found.items() if snapshot}


def snapshot_frame(node: str, status: str, stored: dict[str, Any]) -> str:
    """Return a stored snapshot as the frame that control publishes each second."""
    report = report_shown(stored["report"])
    frame = {
        "type": "snapshot",
        "node": node,
        "status": status,
        "received_at": stored["received_at"],
        "seq": stored["seq"],
        "report": report,
        "verdicts": stored.get("verdicts"),
    }
    return orjson.dumps(frame).decode()
