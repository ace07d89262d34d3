"""Moments that explain what figures did: a node came or went, booted, got another driver or agent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from metrics_app.models import Node, NodeEvent, NodeEventKind, NodeStatus

EVENTS_AT_ONCE = 500
PRUNE_ROWS = 2_000
TONES = {
    NodeEventKind.OFFLINE: "bad",
    NodeEventKind.ONLINE: "good",
    NodeEventKind.RESET: "bad",
    NodeEventKind.XID: "bad",
    NodeEventKind.NO_MEMORY: "warn",
    NodeEventKind.OOM_KILL: "bad",
    NodeEventKind.VERDICT: "warn",
}


@dataclass(frozen=True)
class ChartEvent:
    """One mark on charts. `tone`: good, bad, warn or calm; `subject`: a model's slug, or ""."""

    at: float
    node: str
    kind: str
    tone: str
    title: str
    subject: str = ""
    url: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


EventSource = Callable[[list[str], datetime, datetime, int], list[ChartEvent]]
SOURCES: list[EventSource] = []
"""Each gives further events of nodes between two moments, at most so many; apps add theirs in `ready()`."""


def events_between(nodes: list[str], start: float, end: float) -> list[ChartEvent]:
    """Return the newest 500 events of nodes in a span (seconds since the epoch), oldest first."""
    first, last = (datetime.fromtimestamp(at, tz=UTC) for at in (start, end))
    found = _own(nodes, first, last)
    for source in SOURCES:
        found += source(nodes, first, last, EVENTS_AT_ONCE)
    return sorted(found, key=lambda event: event.at)[-EVENTS_AT_ONCE:]


def _own(nodes: list[str], start: datetime, end: datetime) -> list[ChartEvent]:
    rows = NodeEvent.objects.filter(node_name__in=nodes, at__gte=start, at__lte=end)
    return [
        ChartEvent(
            row.at.timestamp(),
            row.node_name,
            row.kind,
            TONES.get(NodeEventKind(row.kind), "calm"),
            row.message,
        )
        for row in rows[:EVENTS_AT_ONCE]
    ]


def status_note(name: str, before: str, status: str) -> None:
    """Note that a node came or went; going stale for a moment is not worth a mark."""
    if status == NodeStatus.OFFLINE:
        event_note(name, NodeEventKind.OFFLINE, f"{name} went offline: nothing was heard from it for 10 s")
    elif status == NodeStatus.ONLINE and before in (NodeStatus.OFFLINE, NodeStatus.NEVER):
        event_note(name, NodeEventKind.ONLINE, f"{name} is online")


def changes_note(name: str, report: dict[str, Any]) -> None:
    """Note what is another since the node's row was written last: boot, driver, agent."""
    node = Node.objects.filter(name=name).first()
    if node is None or node.last_seen_at is None:
        return
    agent, gpu = report.get("agent") or {}, report.get("gpu") or {}
    _changed(name, NodeEventKind.BOOTED, node.host_boot, agent.get("host_boot"), f"{name} booted")
    _driver_note(name, node.capabilities.get("gpu") or {}, gpu)
    version = agent.get("version")
    _changed(
        name,
        NodeEventKind.AGENT,
        node.agent_version,
        version,
        f"{name}: agent {node.agent_version} → {version}",
    )


def _driver_note(name: str, before: dict[str, Any], gpu: dict[str, Any]) -> None:
    """Note a driver or card that came back, with its cause; else a driver that is another than before."""
    told, known = _reloaded(gpu), _reloaded(before)
    if told and told["at"] != known.get("at"):
        event_note(name, NodeEventKind.DRIVER, f"{name}: {told.get('sentence')}")
        return
    driver, now = before.get("driver"), gpu.get("driver")
    _changed(name, NodeEventKind.DRIVER, driver, now, f"{name}: driver {driver} → {now}")


def _reloaded(gpu: dict[str, Any]) -> dict[str, Any]:
    told = gpu.get("reloaded")
    return told if isinstance(told, dict) and isinstance(told.get("at"), float) else {}


def _changed(name: str, kind: NodeEventKind, before: Any, now: Any, message: str) -> None:
    if before and now and str(before) != str(now)[:40]:
        event_note(name, kind, message)


def event_note(name: str, kind: NodeEventKind, message: str) -> None:
    """Keep one moment of a node."""
    NodeEvent.objects.create(node_name=name, kind=kind, message=message.replace("\0", "")[:300])


def events_prune() -> int:
    """Delete events older than the history they explain, at most 2,000 at once. Returns how many."""
    before = timezone.now() - timedelta(seconds=settings.HISTORY_TIERS[-1].keep)
    doomed = list(NodeEvent.objects.filter(at__lt=before).values_list("pk", flat=True)[:PRUNE_ROWS])
    NodeEvent.objects.filter(pk__in=doomed).delete()
    return len(doomed)
