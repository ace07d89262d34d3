"""On which nodes a definition is started."""

from __future__ import annotations

from collections.abc import Sequence

from metrics_app.models import Node, NodeStatus
from models_app.exceptions import LaunchRefused
from models_app.models import ModelDefinition


def nodes_chosen(definition: ModelDefinition, node: Node, followers: Sequence[Node] = ()) -> list[Node]:
    """Return the nodes by rank: those named, else `node` and the only others that it could be.

    Raises LaunchRefused nodes_wanted when there are too few or too many, or there is a choice.
    """
    wanted = definition.node_count
    if followers or wanted == 1:
        return _named(definition, [node, *followers])
    others = [one for one in spanning_nodes() if one.pk != node.pk]
    if len(others) == wanted - 1:
        return [node, *others]
    names = ", ".join(one.name for one in others) or "no other node"
    if len(others) < wanted:
        raise LaunchRefused(
            f"{definition.name} lies on {wanted} nodes; beside {node.name} there is {names} "
            "online with a fabric address",
            "nodes_wanted",
        )
    raise LaunchRefused(
        f"{definition.name} lies on {wanted} nodes; say which: beside {node.name} there are {names}",
        "nodes_wanted",
    )


def spanning_nodes() -> list[Node]:
    """Return the nodes on which one model may lie together: online, with a fabric address; by name."""
    rows = Node.objects.filter(status__in=(NodeStatus.ONLINE, NodeStatus.STALE))
    return list(rows.exclude(fabric_address=None).order_by("name"))


def _named(definition: ModelDefinition, nodes: list[Node]) -> list[Node]:
    wanted = definition.node_count
    names = [node.name for node in nodes]
    if len(set(names)) < len(names):
        raise LaunchRefused(f"each node can be named once, not {', '.join(names)}", "nodes_wanted")
    if len(nodes) != wanted:
        on = "one node" if wanted == 1 else f"{wanted} nodes"
        raise LaunchRefused(
            f"{definition.name} lies on {on}, not on {len(nodes)}: {', '.join(names)}", "nodes_wanted"
        )
    return nodes
