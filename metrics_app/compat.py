"""Calls that clients of the older metrics service make (docs/api.md, Calls kept from before)."""

from __future__ import annotations

from celery.exceptions import OperationalError
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from metrics_app import compat_figures
from metrics_app.api import node_of, snapshot_of
from metrics_app.models import Node
from metrics_app.serializers import CompatContainer, CompatMemory, CompatMetrics, LogLevelSerializer
from sparkweb import logs
from sparkweb.accounts.actor import audit
from sparkweb.accounts.models import Role
from sparkweb.accounts.tasks import log_level_apply
from sparkweb.api import api_actor, refusals
from sparkweb.node_link import commands

NODE = OpenApiParameter("node", str, description="Name of a node; the one on this machine if left out.")


class Metrics(APIView):
    @extend_schema(
        summary="Figures of a node", operation_id="compat_metrics", parameters=[NODE],
        responses={200: CompatMetrics, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        node = node_of(request)
        stored = snapshot_of(node)
        return Response(
            {**compat_figures.metrics(stored["report"], stored["received_at"]), "node": node.name}
        )


class Memory(APIView):
    @extend_schema(
        summary="Memory of a node", operation_id="compat_memory", parameters=[NODE],
        responses={200: CompatMemory, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        node = node_of(request)
        return Response({**compat_figures.memory(snapshot_of(node)["report"]), "node": node.name})


class Containers(APIView):
    pagination_class = None

    @extend_schema(
        summary="Containers of a node", operation_id="compat_containers", parameters=[NODE],
        responses={200: CompatContainer(many=True), **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        return Response(compat_figures.containers(snapshot_of(node_of(request))["report"]))


class LogLevel(APIView):
    """How much all processes log, until they restart."""

    required_roles = {"post": Role.ADMIN}

    @extend_schema(
        summary="Log level",
        operation_id="compat_log_level",
        responses={200: LogLevelSerializer, **refusals()},
    )
    def get(self, _request: Request) -> Response:
        return Response({"level": logs.level_get()})

    @extend_schema(
        summary="Change the log level", operation_id="compat_log_level_set",
        request=LogLevelSerializer, responses={200: LogLevelSerializer, **refusals()},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        wanted = LogLevelSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        level = wanted.validated_data["level"]
        logs.level_set(level)
        audit(api_actor(request), "log_level_set", level)
        _tell_others(level)
        return Response({"level": level})


def _tell_others(level: str) -> None:
    """Pass the level on to control and every agent; one that is away keeps its own."""
    for name in Node.objects.values_list("name", flat=True):
        commands.send(name, "metrics.log_level", level=level)
    try:
        log_level_apply.apply_async((level,), retry=False)
    except (OperationalError, OSError):
        return
