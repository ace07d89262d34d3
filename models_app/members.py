"""The containers of a launch: one for each node that it spans. Reads only."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from metrics_app.models import Node
from models_app.models import Launch, LaunchAttempt, LaunchMember


def newest_members(launch: Launch) -> list[LaunchMember]:
    """Return the members of the newest attempt by rank; uses prefetched rows where there are any."""
    attempts: list[LaunchAttempt] = list(launch.attempts.all())
    return sorted(attempts[0].members.all(), key=lambda member: member.rank) if attempts else []


def launch_nodes(launch: Launch) -> list[Node]:
    """Return the nodes of a launch by rank; none if one of them was deleted."""
    members = newest_members(launch)
    nodes = [member.node for member in members] or [launch.node]
    found = [node for node in nodes if node is not None]
    return found if len(found) == len(nodes) else []


def launch_node_names(launch: Launch) -> list[str]:
    """Return the names of a launch's nodes by rank, also of those deleted since."""
    return [member_node_name(member) for member in newest_members(launch)] or [launch.node_name]


def member_node_name(member: LaunchMember) -> str:
    """Return the name of a member's node, also when the node was deleted since."""
    return str(member.spec.get("node") or (member.node.name if member.node else ""))


def member_label(member: LaunchMember) -> str:
    """Return how events name one of several members: its rank and node."""
    return f"rank {member.rank} on {member_node_name(member)}"


def launches_of_node(node: Node) -> QuerySet[Launch]:
    """Return the launches that have, or had, a container on a node at whatever rank."""
    followed = LaunchMember.objects.filter(node=node, rank__gt=0, attempt__launch__live=True)
    return Launch.objects.filter(Q(node=node) | Q(pk__in=followed.values("attempt__launch")))
