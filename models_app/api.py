"""Definitions, launches and the catalogue file: `/api/definitions`, `/api/launches`, `/api/catalogue`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet, ReadOnlyModelViewSet

from metrics_app.api import node_of
from models_app.adoption import launch_release
from models_app.api_logs import LogActions
from models_app.engine_live import engine_of_launch, engine_unread
from models_app.failure_cards import comparison_of, failure_of, launch_correct
from models_app.filters import DefinitionFilter, GuardianActFilter, LaunchFilter
from models_app.making_room import launch_after_stopping
from models_app.memory import check_of, fit_json, memory_fit
from models_app.models import GuardianAct, Launch, LaunchMember, ModelDefinition
from models_app.placement import nodes_chosen
from models_app.preflights import preflight_run
from models_app.run_lines import docker_run_line_for
from models_app.selectors import LOG_LINES_MOST, log_tail
from models_app.serializers import (
    DefinitionSerializer,
    DockerRunSerializer,
    EngineFiguresSerializer,
    EventSerializer,
    GuardianActSerializer,
    ImportSerializer,
    LaunchDetailSerializer,
    LaunchSerializer,
    LaunchWrite,
    LogSerializer,
    MemberSerializer,
    MemoryAnswerSerializer,
    PreflightSerializer,
    PreflightWrite,
)
from models_app.serializers_adoption import StopWrite
from models_app.serializers_failures import ComparisonSerializer, CorrectionWrite, FailureSerializer
from models_app.services import (
    catalogue_export,
    catalogue_import,
    catalogue_preview,
    definition_delete,
    definition_save,
    launch_restart,
    launch_stop,
)
from sparkweb.accounts.models import Role
from sparkweb.api import api_actor, refusals

CATALOGUE_LIMIT_BYTES = 1_000_000
NODE = OpenApiParameter("node", str, description="Name of a node; the one on this machine if left out.")
SLUGS = OpenApiParameter("slug", str, many=True, description="Only these definitions; all if left out.")
PREVIEW = OpenApiParameter("preview", bool, description="Say what would be done, and do nothing.")
LINES = OpenApiParameter("lines", int, description=f"How many lines, 1 to {LOG_LINES_MOST}; 200 if left out.")


def lines_of(request: Request) -> int:
    """Return `?lines=`, 200 if left out. Raises ValidationError for what is no number from 1 to 1,000."""
    text = request.query_params.get("lines", "200")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= LOG_LINES_MOST:
        raise ValidationError({"lines": [f"{text[:40]!r}: must be a number from 1 to {LOG_LINES_MOST}."]})
    return int(text)


@extend_schema_view(
    list=extend_schema(
        summary="List definitions", responses={200: DefinitionSerializer(many=True), **refusals()}
    ),
    retrieve=extend_schema(summary="One definition", responses={200: DefinitionSerializer, **refusals(404)}),
    create=extend_schema(summary="Add a definition", responses={201: DefinitionSerializer, **refusals()}),
    update=extend_schema(
        summary="Replace a definition", responses={200: DefinitionSerializer, **refusals(404)}
    ),
    partial_update=extend_schema(
        summary="Change a definition", responses={200: DefinitionSerializer, **refusals(404)}
    ),
    destroy=extend_schema(summary="Delete a definition", responses={204: None, **refusals(404, 409)}),
)
class DefinitionViewSet(ModelViewSet[ModelDefinition]):
    """What can run; admins change it."""

    queryset = ModelDefinition.objects.all()
    serializer_class = DefinitionSerializer
    filterset_class = DefinitionFilter
    lookup_field = "slug"
    lookup_value_regex = r"[a-z0-9][a-z0-9._-]*"
    required_roles = {"options": Role.VIEWER, "preflight": Role.OPERATOR}

    def perform_create(self, serializer: BaseSerializer[ModelDefinition]) -> None:
        fresh = ModelDefinition(**serializer.validated_data)
        serializer.instance = definition_save(definition=fresh, actor=api_actor(self.request))

    def perform_update(self, serializer: BaseSerializer[ModelDefinition]) -> None:
        definition = serializer.instance
        assert definition is not None
        for name, value in serializer.validated_data.items():
            setattr(definition, name, value)
        definition_save(definition=definition, actor=api_actor(self.request))

    def perform_destroy(self, instance: ModelDefinition) -> None:
        definition_delete(definition=instance, actor=api_actor(self.request))

    @extend_schema(
        summary="Will it fit",
        description="The sum of what a start would take and what the node has left, and what to stop.",
        parameters=[NODE],
        responses={200: MemoryAnswerSerializer, **refusals(404)},
    )
    @action(detail=True, url_path="memory-check")
    def memory_check(self, request: Request, slug: str) -> Response:
        found = memory_fit(self.get_object(), node_of(request))
        return Response(MemoryAnswerSerializer({**asdict(check_of(found)), **fit_json(found)}).data)

    @extend_schema(
        summary="The docker run line",
        parameters=[NODE],
        responses={200: DockerRunSerializer, **refusals(404)},
    )
    @action(detail=True, url_path="docker-run")
    def docker_run(self, request: Request, slug: str) -> Response:
        line, notes = docker_run_line_for(self.get_object(), node_of(request))
        return Response({"line": line, "notes": notes})

    @extend_schema(
        summary="May it start on these nodes",
        description="Asks each node about its link, the image, weights and ports; waits up to 15 s.",
        request=PreflightWrite,
        responses={200: PreflightSerializer, **refusals(404, 409)},
    )
    @action(detail=True, methods=["post"])
    def preflight(self, request: Request, slug: str) -> Response:
        wanted = PreflightWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        definition, (first, *others) = self.get_object(), wanted.validated_data["nodes"]
        nodes = nodes_chosen(definition, first, others)
        done = preflight_run(definition=definition, nodes=nodes, actor=api_actor(request))
        return Response(PreflightSerializer(done).data)


@extend_schema_view(
    list=extend_schema(summary="List launches", responses={200: LaunchSerializer(many=True), **refusals()}),
    retrieve=extend_schema(summary="One launch", responses={200: LaunchDetailSerializer, **refusals(404)}),
)
class LaunchViewSet(LogActions, ReadOnlyModelViewSet[Launch]):
    """What runs and what ran; operators start, stop and restart."""

    queryset = Launch.objects.select_related("requested_by").prefetch_related(
        "attempts__stages", "attempts__members__node"
    )
    serializer_class = LaunchSerializer
    filterset_class = LaunchFilter
    lookup_field = "uid"
    lookup_value_regex = r"[0-9a-f]{16}"
    required_roles = dict.fromkeys(("create", "stop", "restart", "correct", "release"), Role.OPERATOR)

    def get_serializer_class(self) -> type[LaunchSerializer]:
        return LaunchDetailSerializer if self.action == "retrieve" else LaunchSerializer

    @extend_schema(
        summary="Start a definition",
        description="202: the wish is stored. 200: it was live already, and nothing was started.",
        request=LaunchWrite,
        responses={202: LaunchSerializer, 200: LaunchSerializer, **refusals(404, 409)},
    )
    def create(self, request: Request) -> Response:
        wanted = LaunchWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        data = wanted.validated_data
        named = data.get("nodes") or []
        launch, made = launch_after_stopping(
            definition=data["definition"],
            node=named[0] if named else data.get("node") or node_of(request),
            followers=named[1:],
            actor=api_actor(request),
            force_reason=data["force_reason"],
            stop=data.get("stop") or (),
        )
        return Response(LaunchSerializer(launch).data, status=202 if made else 200)

    @extend_schema(
        summary="Stop a launch",
        description="409 confirm_foreign for a container that SparkWeb did not start, unless `confirm` is "
        "its name. It is stopped and never removed.",
        request=StopWrite,
        responses={202: LaunchSerializer, **refusals(404, 409)},
    )
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, uid: str) -> Response:
        # Older clients post no body, or an empty form: they stop what SparkWeb started itself.
        is_json = (request.content_type or "").startswith("application/json")
        wanted = StopWrite(data=request.data if is_json else {})
        wanted.is_valid(raise_exception=True)
        launch = launch_stop(
            launch=self.get_object(), actor=api_actor(request), confirm=wanted.validated_data["confirm"]
        )
        return Response(LaunchSerializer(launch).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="Give an adopted container back",
        description="The launch ends, the container goes on. 409 for one that SparkWeb started.",
        request=None,
        responses={200: LaunchSerializer, **refusals(404, 409)},
    )
    @action(detail=True, methods=["post"])
    def release(self, request: Request, uid: str) -> Response:
        launch = launch_release(launch=self.get_object(), actor=api_actor(request))
        return Response(LaunchSerializer(launch).data)

    @extend_schema(
        summary="Restart a launch", request=None, responses={202: LaunchSerializer, **refusals(404, 409)}
    )
    @action(detail=True, methods=["post"])
    def restart(self, request: Request, uid: str) -> Response:
        launch = launch_restart(launch=self.get_object(), actor=api_actor(request))
        return Response(LaunchSerializer(launch).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="Why a launch failed",
        description="Null while it has not. `changes` is what `correct` would start it again with.",
        responses={200: FailureSerializer, **refusals(404)},
    )
    @action(detail=True)
    def failure(self, _request: Request, uid: str) -> Response:
        return Response(FailureSerializer({"failure": failure_of(self.get_object())}).data)

    @extend_schema(
        summary="Start again with the correction",
        description="The definition stays as it is: the changes belong to the new launch alone.",
        request=CorrectionWrite,
        responses={202: LaunchSerializer, 200: LaunchSerializer, **refusals(404, 409)},
    )
    @action(detail=True, methods=["post"])
    def correct(self, request: Request, uid: str) -> Response:
        wanted = CorrectionWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        launch, made = launch_correct(
            launch=self.get_object(), actor=api_actor(request), **wanted.validated_data
        )
        return Response(LaunchSerializer(launch).data, status=202 if made else 200)

    @extend_schema(
        summary="Differences to the last good run",
        description="Null where this definition was never ready on this node before.",
        responses={200: ComparisonSerializer, **refusals(404)},
    )
    @action(detail=True)
    def comparison(self, _request: Request, uid: str) -> Response:
        return Response(ComparisonSerializer({"comparison": comparison_of(self.get_object())}).data)

    @extend_schema(
        summary="What a launch's engine does now",
        description="The engine's own figures, read every few seconds; all null while none were read.",
        responses={200: EngineFiguresSerializer, **refusals(404)},
    )
    @action(detail=True)
    def engine(self, _request: Request, uid: str) -> Response:
        return Response(EngineFiguresSerializer(engine_of_launch(self.get_object()) or engine_unread()).data)

    @extend_schema(
        summary="Timeline of a launch",
        responses={200: EventSerializer(many=True), **refusals(404)},
        filters=False,
    )
    @action(detail=True, filterset_class=None)
    def events(self, _request: Request, uid: str) -> Response:
        return self._page(self.get_object().events.all(), EventSerializer)

    @extend_schema(
        summary="Containers of a launch",
        responses={200: MemberSerializer(many=True), **refusals(404)},
        filters=False,
    )
    @action(detail=True, filterset_class=None)
    def members(self, _request: Request, uid: str) -> Response:
        rows = LaunchMember.objects.filter(attempt__launch=self.get_object())
        return self._page(
            rows.select_related("attempt", "node").order_by("-attempt__number", "rank"), MemberSerializer
        )

    @extend_schema(
        summary="Last lines of a launch's log",
        parameters=[LINES],
        responses={200: LogSerializer, **refusals(404)},
    )
    @action(detail=True)
    def log(self, request: Request, uid: str) -> Response:
        return Response({"lines": log_tail(self.get_object(), lines_of(request))})

    def _page(self, rows: QuerySet[Any], serializer: type[BaseSerializer[Any]]) -> Response:
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(serializer(page, many=True).data)


@extend_schema_view(
    list=extend_schema(
        summary="List what memory guardians did",
        responses={200: GuardianActSerializer(many=True), **refusals()},
    ),
    retrieve=extend_schema(
        summary="One act of a memory guardian", responses={200: GuardianActSerializer, **refusals(404)}
    ),
)
class GuardianActViewSet(ReadOnlyModelViewSet[GuardianAct]):
    """Models that were stopped before a machine ran out of memory, with the evidence."""

    queryset = GuardianAct.objects.select_related("launch")
    serializer_class = GuardianActSerializer
    filterset_class = GuardianActFilter
    lookup_field = "uid"
    lookup_value_regex = r"[0-9a-f]{16}"


class CatalogueParser(BaseParser):
    """The bytes of a models.yaml as they are."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        data: bytes = stream.read(CATALOGUE_LIMIT_BYTES + 1)
        if len(data) > CATALOGUE_LIMIT_BYTES:
            raise ValidationError(f"models.yaml: over {CATALOGUE_LIMIT_BYTES} bytes; a catalogue is smaller.")
        return data


class CatalogueView(APIView):
    """The whole catalogue as one models.yaml."""

    parser_classes = [CatalogueParser]

    @extend_schema(
        summary="Export models.yaml",
        parameters=[SLUGS],
        responses={(200, "application/yaml"): OpenApiTypes.STR, **refusals()},
    )
    def get(self, request: Request) -> HttpResponse:
        slugs = request.query_params.getlist("slug")
        headers = {"Content-Disposition": 'attachment; filename="models.yaml"'}
        return HttpResponse(
            catalogue_export(slugs), content_type="application/yaml; charset=utf-8", headers=headers
        )

    @extend_schema(
        summary="Import models.yaml",
        description="The body is the file. All of it is taken over, or nothing; 400 names line and key. "
        "With `?preview=1` nothing is, and the answer says what would be.",
        parameters=[SLUGS, PREVIEW],
        request={"application/yaml": OpenApiTypes.STR},
        responses={200: ImportSerializer, **refusals()},
    )
    def post(self, request: Request) -> Response:
        text = request.data if isinstance(request.data, bytes) else b""
        only = set(request.query_params.getlist("slug")) or None
        if request.query_params.get("preview", "0") not in ("", "0", "false"):
            return Response(asdict(catalogue_preview(text=text, filename="models.yaml", only=only)))
        result = catalogue_import(text=text, filename="models.yaml", actor=api_actor(request), only=only)
        return Response(asdict(result))
