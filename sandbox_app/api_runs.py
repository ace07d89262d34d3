"""Runs of tools: `/api/runs`. Admins see all, others their own, operators what waits for approval too."""

from __future__ import annotations

import re

import django_filters
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from metrics_app.models import Node
from sandbox_app.api_execute import KEY, key_of, session_wanted, tool_called
from sandbox_app.artifacts import artifact_response, output_page
from sandbox_app.following import events
from sandbox_app.models import Outcome, RunState, ToolRun
from sandbox_app.selectors import runs_visible
from sandbox_app.serializers_runs import (
    ArtifactSerializer,
    OutputQuery,
    OutputSerializer,
    RunDetailSerializer,
    RunReasonWrite,
    RunSerializer,
    RunWrite,
)
from sandbox_app.services import (
    tool_run_approve,
    tool_run_cancel,
    tool_run_create,
    tool_run_deny,
    tool_run_replay,
)
from sparkweb.accounts.models import Role
from sparkweb.api import NotFound, api_actor, refusals
from sparkweb.renderers import EventStreamRenderer
from sparkweb.request_threads import thread_return_early
from sparkweb.strict_json import StrictJSONParser

OFFSET = re.compile(r"\d{1,20}(-\d{1,20})?")
LAST = OpenApiParameter(
    "Last-Event-ID", str, OpenApiParameter.HEADER, description="Goes on after this event; browsers send it."
)
AFTER = OpenApiParameter("after", str, description="As Last-Event-ID, for those who cannot send headers.")
INLINE = OpenApiParameter("inline", bool, description="To be shown, not saved: raster images alone.")


class RunFilter(django_filters.FilterSet):
    """Which runs are listed."""

    tool = django_filters.CharFilter(field_name="tool_name")
    node = django_filters.CharFilter(field_name="node_name")
    session = django_filters.UUIDFilter(field_name="session__uid")
    state = django_filters.ChoiceFilter(choices=RunState.choices)
    outcome = django_filters.ChoiceFilter(choices=Outcome.choices)
    since = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = ToolRun
        fields = ["tool", "node", "session", "state", "outcome", "live", "via", "since", "until"]


@extend_schema_view(
    list=extend_schema(summary="List runs", responses={200: RunSerializer(many=True), **refusals()}),
    retrieve=extend_schema(summary="One run", responses={200: RunDetailSerializer, **refusals(404)}),
)
class RunViewSet(ReadOnlyModelViewSet[ToolRun]):
    """Calls of tools, and what came of them."""

    queryset = ToolRun.objects.none()
    serializer_class = RunSerializer
    filterset_class = RunFilter
    lookup_field = "uid"
    lookup_value_regex = r"[0-9a-f]{16}"
    parser_classes = [StrictJSONParser]
    required_roles = dict.fromkeys(("create", "cancel", "replay"), Role.VIEWER) | dict.fromkeys(
        ("approve", "deny"), Role.OPERATOR
    )
    # Else a program could say yes to its own calls.
    session_or_admin_key = ("approve", "deny")

    def get_queryset(self) -> QuerySet[ToolRun]:
        return runs_visible(api_actor(self.request))

    def get_serializer_class(self) -> type[RunSerializer]:
        return RunDetailSerializer if self.action == "retrieve" else RunSerializer

    @extend_schema(
        summary="Run a tool",
        description="202: the run is stored. 200: this idempotency key had made it before.",
        parameters=[KEY],
        request=RunWrite,
        responses={202: RunSerializer, 200: RunSerializer, **refusals(404, 409, 429)},
    )
    def create(self, request: Request) -> Response:
        wanted = RunWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        data = wanted.validated_data
        run, made = tool_run_create(
            tool=tool_called(data["tool"]),
            arguments=data["arguments"],
            actor=api_actor(request),
            via="api",
            session=session_wanted(data["session"]),
            idempotency_key=key_of(request, data["idempotency_key"]),
            detached=data["detached"],
            node=_node(data["node"]),
        )
        return Response(RunSerializer(run).data, status=202 if made else 200)

    @extend_schema(
        summary="Cancel a run",
        description="Its end follows; one that has ended stays as it is.",
        request=RunReasonWrite,
        responses={202: RunSerializer, **refusals(404)},
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uid: str) -> Response:
        run = tool_run_cancel(run=self.get_object(), actor=api_actor(request), reason=_reason(request))
        return Response(RunSerializer(run).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="Approve a run",
        description="By a session, or a key with the scope admin.",
        request=None,
        responses={202: RunSerializer, **refusals(404, 409)},
    )
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, uid: str) -> Response:
        run = tool_run_approve(run=self.get_object(), actor=api_actor(request))
        return Response(RunSerializer(run).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="Deny a run", request=RunReasonWrite, responses={200: RunSerializer, **refusals(404, 409)}
    )
    @action(detail=True, methods=["post"])
    def deny(self, request: Request, uid: str) -> Response:
        run = tool_run_deny(run=self.get_object(), actor=api_actor(request), reason=_reason(request))
        return Response(RunSerializer(run).data)

    @extend_schema(
        summary="Run a recorded call again",
        description="The same arguments, the tool as it is now, in no session.",
        request=None,
        responses={202: RunSerializer, **refusals(404, 409, 429)},
    )
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, uid: str) -> Response:
        run = tool_run_replay(run=self.get_object(), actor=api_actor(request), via="api")
        return Response(RunSerializer(run).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="Follow a run",
        description="Server-sent events: output, skipped, gap, state and end (docs/sandbox-runs.md).",
        parameters=[LAST, AFTER],
        responses={(200, "text/event-stream"): OpenApiTypes.STR, **refusals(404)},
        filters=False,
    )
    @action(
        detail=True,
        pagination_class=None,
        filterset_class=None,
        renderer_classes=[JSONRenderer, EventStreamRenderer],
    )
    def stream(self, request: Request, uid: str) -> StreamingHttpResponse:
        after = request.headers.get("Last-Event-ID") or request.query_params.get("after") or "0"
        if not OFFSET.fullmatch(after):
            raise ValidationError({"after": [f"{after[:40]!r} is no id of an event."]})
        thread_return_early(request._request)
        return StreamingHttpResponse(
            events(self.get_object(), api_actor(request), after),
            content_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @extend_schema(
        summary="Page through a run's output",
        parameters=[OutputQuery],
        responses={200: OutputSerializer, **refusals(404)},
        filters=False,
    )
    @action(detail=True, pagination_class=None, filterset_class=None)
    def output(self, request: Request, uid: str) -> Response:
        query = OutputQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        return Response(output_page(self.get_object(), **query.validated_data))

    @extend_schema(
        summary="Files that a run left",
        responses={200: ArtifactSerializer(many=True), **refusals(404)},
        filters=False,
    )
    @action(detail=True, pagination_class=None, filterset_class=None)
    def artifacts(self, request: Request, uid: str) -> Response:
        rows = self.get_object().artifacts.select_related("run")
        return Response(ArtifactSerializer(rows, many=True).data)

    @extend_schema(
        summary="Download a file of a run",
        parameters=[INLINE],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, **refusals(404)},
        filters=False,
    )
    @action(
        detail=True,
        url_path=r"artifacts/(?P<artifact>[0-9a-f]{16})",
        url_name="artifact",
        pagination_class=None,
        filterset_class=None,
    )
    def artifact(self, request: Request, uid: str, artifact: str) -> HttpResponseBase:
        row = self.get_object().artifacts.select_related("run").filter(uid=artifact).first()
        if row is None:
            raise NotFound("This run has no such file.")
        return artifact_response(row, inline=request.query_params.get("inline") in ("1", "true"))


def _reason(request: Request) -> str:
    # A body is not needed: whoever posts an empty form is understood too.
    is_json = (request.content_type or "").startswith("application/json")
    wanted = RunReasonWrite(data=request.data if is_json else {})
    wanted.is_valid(raise_exception=True)
    reason: str = wanted.validated_data["reason"]
    return reason


def _node(name: str) -> Node | None:
    if not name:
        return None
    node = Node.objects.filter(name=name.replace("\0", "")).first()
    if node is None:
        raise NotFound(f"There is no node {name!r}.")
    return node
