"""Services for pages and the API: each that there can be, on each node."""

from __future__ import annotations

from dataclasses import dataclass

from metrics_app.models import Node, NodeStatus
from sandbox_app.models_services import ManagedService, ServiceName
from sparkweb import config


@dataclass(frozen=True)
class NodeService:
    """One service on one node; `row` is None where nobody ever wanted it there."""

    name: ServiceName
    node: Node
    row: ManagedService | None

    @property
    def label(self) -> str:
        return str(self.name.label)

    @property
    def is_heard(self) -> bool:
        """The node tells what is there."""
        return self.node.status == NodeStatus.ONLINE

    @property
    def is_wanted(self) -> bool:
        return bool(self.row and self.row.run)

    @property
    def is_moving(self) -> bool:
        """Something is under way."""
        return bool(self.row and not self.row.is_done and self.row.state not in ("failed", "exited"))


def node_services() -> list[NodeService]:
    """All of them, by name and node."""
    rows = {
        (row.name, row.node_id): row for row in ManagedService.objects.select_related("node", "requested_by")
    }
    nodes = list(Node.objects.order_by("name"))
    return [
        NodeService(name, node, rows.get((name.value, node.pk))) for name in ServiceName for node in nodes
    ]


def service_on(name: ServiceName, node: Node) -> NodeService:
    """One of them."""
    return NodeService(name, node, ManagedService.objects.filter(name=name, node=node).first())


def searxng_url() -> str:
    """Where web_search asks, as web's own settings have it; a node may have others."""
    return config.SEARXNG_URL
