"""Services that run on nodes beside the tools: `/api/services`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from metrics_app.models import Node
from sandbox_app.managed import service_log, service_restart, service_start, service_stop
from sandbox_app.models_services import ServiceName
from sandbox_app.selectors_services import node_services, service_on
from sparkweb.accounts.models import Role
from sparkweb.api import NotFound, api_actor, refusals

VERBS = {"start": service_start, "restart": service_restart, "stop": service_stop}


class ManagedServiceSerializer(serializers.Serializer[Any]):
    """One service on one node: `run` is what is wanted, `state` and `health` what the node sees."""

    service = serializers.CharField(source="name.value")
    node = serializers.CharField(source="node.name")
    run = serializers.BooleanField(source="is_wanted")
    state = serializers.CharField(source="row.state", default="", allow_blank=True)
    health = serializers.CharField(source="row.health", default="unknown")
    message = serializers.CharField(source="row.message", default="", allow_blank=True)
    image = serializers.CharField(source="row.image", default="", allow_blank=True)
    changed_at = serializers.DateTimeField(source="row.changed_at", default=None, allow_null=True)


class ServiceLogSerializer(serializers.Serializer[Any]):
    lines = serializers.ListField(child=serializers.CharField(allow_blank=True))


class Services(APIView):
    """What runs where."""

    @extend_schema(
        summary="Services on each node",
        operation_id="api_services",
        responses={200: ManagedServiceSerializer(many=True), **refusals()},
    )
    def get(self, _request: Request) -> Response:
        return Response(ManagedServiceSerializer(node_services(), many=True).data)


class ServiceChange(APIView):
    """Start, restart, stop."""

    required_roles = {"post": Role.ADMIN}

    @extend_schema(
        summary="Start, restart or stop a service",
        description="202: the wish is stored; the node carries it out.",
        request=None,
        responses={202: ManagedServiceSerializer, **refusals(404, 409)},
    )
    def post(self, request: Request, name: str, node: str, verb: str) -> Response:
        service, where = _found(name, node)
        VERBS[verb](name=service, node=where, actor=api_actor(request))
        told = ManagedServiceSerializer(service_on(service, where))
        return Response(told.data, status=status.HTTP_202_ACCEPTED)


class ServiceLog(APIView):
    """The last lines; searches stand in them, so that they are for admins."""

    required_roles = {"get": Role.ADMIN}

    @extend_schema(
        summary="The last lines of a service's log",
        responses={200: ServiceLogSerializer, **refusals(404, 409)},
    )
    def get(self, _request: Request, name: str, node: str) -> Response:
        service, where = _found(name, node)
        return Response({"lines": service_log(name=service, node=where)})


def _found(name: str, node: str) -> tuple[ServiceName, Node]:
    where = Node.objects.filter(name=node).first()
    if name not in ServiceName.values or where is None:
        raise NotFound("There is no such service, or no such node.")
    return ServiceName(name), where
