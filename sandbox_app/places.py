"""On which node a run goes, by the newest reports of those that are online."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from metrics_app.models import Node, NodeStatus
from metrics_app.selectors import node_snapshots
from sandbox_app.exceptions import ToolRefused, ToolUnavailable
from sandbox_app.job import Policy, Runner
from sandbox_app.models import ToolSession

MIB = 2**20
AGE_SECONDS = 1.0


@dataclass(frozen=True)
class Place:
    """One online node: the memory that runs may take there, and its sandbox as it reports it.

    `free_bytes` is None where it was not reported; `sandbox` is {} for an agent without one, and None
    where no report can be read: the node itself knows better then, and refuses.
    """

    node: Node
    free_bytes: int | None
    sandbox: Mapping[str, Any] | None

    def has_image(self, image: str) -> bool:
        """Whether the image may be there: a node reports of the standard one alone."""
        if self.sandbox is None:
            return True
        told = self.sandbox.get("image") or {}
        return bool(self.sandbox) and (told.get("name") != image or told.get("status") == "ok")

    def may_have_image(self, image: str) -> bool:
        """Whether the node has only not found out: its agent began a moment ago, or Docker is silent."""
        told = (self.sandbox or {}).get("image") or {}
        return told.get("name") == image and told.get("status") == "unknown"

    def has_runtime(self, runtime: str) -> bool:
        return not runtime or self.sandbox is None or runtime in (self.sandbox.get("runtimes") or ())


class _Newest:
    """What was read last: calls that come within a second share it."""

    def __init__(self) -> None:
        self.read_at = -AGE_SECONDS
        self.found: list[Place] = []


_newest = _Newest()


def places_lately() -> list[Place]:
    """As `places`, at most a second old."""
    now = time.monotonic()
    if now - _newest.read_at >= AGE_SECONDS:
        _newest.found, _newest.read_at = places(), now
    return _newest.found


def places() -> list[Place]:
    """Every online node, with what its newest report says."""
    nodes = list(Node.objects.filter(status=NodeStatus.ONLINE))
    snapshots = node_snapshots([node.name for node in nodes])
    return [_place(node, (snapshots[node.name] or {}).get("report")) for node in nodes]


def _place(node: Node, report: Mapping[str, Any] | None) -> Place:
    if not report:
        return Place(node, None, None)
    available = (report.get("host") or {}).get("memory_available_bytes")
    if report.get("sandbox", 0) is None:  # the first report of an agent that has just begun
        return Place(node, None, None)
    sandbox = report.get("sandbox")
    free = available - settings.SANDBOX_RESERVE_MB * MIB if isinstance(available, int) else None
    return Place(node, free, sandbox if isinstance(sandbox, dict) else {})


def free_by_node(found: Iterable[Place]) -> dict[str, int]:
    """Memory that runs may take, by node, of those that reported it."""
    return {place.node.name: place.free_bytes for place in found if place.free_bytes is not None}


def place_choose(
    policy: Policy, runner: Runner, found: list[Place], *, node: Node | None, session: ToolSession | None
) -> Place:
    """Return where a run goes: its session's node, else the named one, else the one with most free memory.

    Raises ToolUnavailable (no_node, node_offline) and ToolRefused (image_missing, runtime_missing).
    """
    wanted = session.node_name if session is not None else node.name if node is not None else ""
    online = [place for place in found if not wanted or place.node.name == wanted]
    if not online:
        if wanted:
            raise ToolUnavailable(f"{wanted} is not online, so nothing can run there now.", "node_offline")
        raise ToolUnavailable("No node is online; start an agent.", "no_node")
    fitting = _fitting(policy, runner, online)
    return max(fitting, key=lambda place: place.free_bytes or 0)


def _fitting(policy: Policy, runner: Runner, online: list[Place]) -> list[Place]:
    """Those that have what the policy asks for."""
    if runner == "host":
        return online
    with_image = [place for place in online if place.has_image(policy.image)] or [
        place for place in online if place.may_have_image(policy.image)
    ]
    if not with_image:
        names = ", ".join(str(place.node) for place in online)
        raise ToolRefused(
            f"{names} does not have the image {policy.image}; build it on the page Image.", "image_missing"
        )
    fitting = [place for place in with_image if place.has_runtime(policy.runtime)]
    if not fitting:
        raise ToolRefused(
            f"This tool demands the runtime {policy.runtime}, which no node offers.", "runtime_missing"
        )
    return fitting
