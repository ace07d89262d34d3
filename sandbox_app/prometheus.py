"""What our Prometheus page says of tools: runs under way, containers that wait, containers that leaked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from prometheus_client.core import Metric

from metrics_app.prometheus.page import Families, NodeView
from sandbox_app.models import ToolRun


def tool_families(nodes: list[NodeView]) -> Iterable[Metric]:
    """Return the families of live runs, and of each node's sandbox."""
    families = Families()
    live = ToolRun.objects.filter(live=True).values_list("node_name", "tool_name", "state")
    for (node, tool, state), count in Counter(live).items():
        labels = {"node": node, "tool": tool, "state": state}
        families.gauge("sparkweb_tool_runs", "Runs of tools that have not ended.", count, labels)
    for view in nodes:
        sandbox = view.report.get("sandbox")
        if isinstance(sandbox, dict):
            _sandbox(families, view.name, sandbox)
    return families


def _sandbox(families: Families, node: str, sandbox: dict[str, Any]) -> None:
    families.gauge(
        "sparkweb_sandbox_leaked_containers",
        "Containers of the sandbox that belonged to nothing, and were removed.",
        sandbox.get("leaked"),
        {"node": node},
    )
    for pool in sandbox.get("pools") or []:
        labels = {"node": node, "tool": str(pool.get("tool")), "policy": str(pool.get("policy"))}
        families.gauge("sparkweb_sandbox_pool_ready", "Containers that wait.", pool.get("ready"), labels)
