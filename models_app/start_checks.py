"""What stands in the way of a start, whatever memory there is."""

from __future__ import annotations

from collections.abc import Sequence

from metrics_app.models import Node, NodeStatus
from models_app.exceptions import LaunchRefused
from models_app.models import ModelDefinition
from models_app.planning import EXAMPLE, group_ids, spec_plan


def start_check(definition: ModelDefinition, nodes: Sequence[Node]) -> None:
    """Raise LaunchRefused for what no node's memory could change; see launch_create."""
    if not definition.enabled:
        raise LaunchRefused(f"{definition.name} is disabled; enable it first", "definition_disabled")
    for node, ids in zip(nodes, group_ids(EXAMPLE, nodes), strict=True):
        spec_plan(definition, node, ids)
        if node.status in (NodeStatus.OFFLINE, NodeStatus.NEVER):
            raise LaunchRefused(
                f"{node} is {node.get_status_display().lower()}: nothing is heard from it; "
                "start its agent, or Redis if that is down, then try again",
                "node_offline",
            )
