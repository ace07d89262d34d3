"""Nodes and their figures: `/api/nodes`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from metrics_app.api_history import HistoryActions
from metrics_app.models import Node
from metrics_app.selectors import local_node, node_history, node_snapshot
from metrics_app.serializers import HistorySerializer, NodeMade, NodeSerializer, SnapshotSerializer
from metrics_app.services import node_create, node_delete, node_update
from sparkweb.accounts.models import Role
from sparkweb.api import NotFound, api_actor, refusals
from sparkweb.exceptions import Unavailable


def node_of(request: Request) -> Node:
    """Return the node that `?node=` names, else the one on this machine. 404 where there is none."""
    name = request.query_params.get("node", "").replace("\x00", "?")  # PostgreSQL takes no NUL in a text
    node = Node.objects.filter(name=name).first() if name else local_node()
    if node is None:
        raise NotFound(
            f"There is no node {name!r}." if name else "There is no node yet; run manage.py prepare."
        )
    return node


def snapshot_of(node: Node) -> dict[str, Any]:
    """Return the newest stored report of a node. 503 when none came within the hour or Redis is away."""
    snapshot = node_snapshot(node.name)
    if snapshot is None:
        raise Unavailable(
            f"There is no report of {node.name} from the last hour; see that its agent runs.", "no_report"
        )
    return snapshot


@extend_schema_view(
    list=extend_schema(summary="List nodes", responses={200: NodeSerializer(many=True), **refusals()}),
    retrieve=extend_schema(summary="One node", responses={200: NodeSerializer, **refusals(404)}),
    partial_update=extend_schema(summary="Change a node", responses={200: NodeSerializer, **refusals(404)}),
    destroy=extend_schema(summary="Remove a node and revoke its key", responses={204: None, **refusals(404)}),
)
class NodeViewSet(HistoryActions, ModelViewSet[Node]):
    """The machines; admins add, change and remove them."""

    queryset = Node.objects.all()
    serializer_class = NodeSerializer
    lookup_field = "name"
    lookup_value_regex = r"[a-z0-9][a-z0-9-]*"
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    filterset_fields = ["status"]
    required_roles = {"options": Role.VIEWER}

    @extend_schema(summary="Add a node", request=NodeSerializer, responses={201: NodeMade, **refusals()})
    def create(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        serializer = NodeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        node, private_key = node_create(actor=api_actor(request), **serializer.validated_data)
        body = {**NodeSerializer(node).data, "private_key": private_key}
        return Response(body, status=status.HTTP_201_CREATED)

    def perform_update(self, serializer: BaseSerializer[Node]) -> None:
        node = serializer.instance
        assert node is not None
        for name, value in serializer.validated_data.items():
            setattr(node, name, value)
        node_update(node=node, actor=api_actor(self.request))

    def perform_destroy(self, instance: Node) -> None:
        node_delete(node=instance, actor=api_actor(self.request))

    @extend_schema(summary="Newest report of a node", responses={200: SnapshotSerializer, **refusals(404)})
    @action(detail=True)
    def snapshot(self, _request: Request, name: str) -> Response:
        node = self.get_object()
        stored = snapshot_of(node)
        keys = ("received_at", "seq", "report", "verdicts")
        return Response({"node": node.name, "status": node.status, **{key: stored.get(key) for key in keys}})

    @extend_schema(
        summary="The last 15 minutes of a node", responses={200: HistorySerializer, **refusals(404)}
    )
    @action(detail=True)
    def history(self, _request: Request, name: str) -> Response:
        node = self.get_object()
        return Response({"node": node.name, **node_history(node.name)})
