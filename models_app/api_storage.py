"""Nodes' storage: `/api/nodes/<name>/storage` and `/api/storage-jobs`."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ReadOnlyModelViewSet

from metrics_app.api import node_of
from metrics_app.models import Node
from models_app.models_storage import JobKind, NodeStorage, StorageJob
from models_app.serializers_storage import (
    ScanAskedSerializer,
    StorageDeleteWrite,
    StorageEventSerializer,
    StorageJobSerializer,
    StorageJobWrite,
    StorageSerializer,
)
from models_app.storage_jobs import (
    delete_create,
    download_create,
    image_pull_create,
    job_cancel,
    ollama_pull_create,
    scan_request,
)
from models_app.storage_selectors import storage_rows
from sparkweb.accounts.models import Role
from sparkweb.api import NotFound, api_actor, refusals


def _node(name: str) -> Node:
    node = Node.objects.filter(name=name).first()
    if node is None:
        raise NotFound(f"There is no node {name!r}.")
    return node


class StorageView(APIView):
    """What lies on one node."""

    @extend_schema(summary="Storage of a node", responses={200: StorageSerializer, **refusals(404)})
    def get(self, _request: Request, name: str) -> Response:
        node = _node(name)
        storage = NodeStorage.objects.filter(node=node).first() or NodeStorage(node=node)
        body = {
            "node": node.name,
            "listed_at": storage.listed_at if storage.pk else None,
            "areas": storage.areas,
            "left_out_count": storage.left_out_count,
            "left_out_bytes": storage.left_out_bytes,
            "items": storage_rows(node),
        }
        return Response(StorageSerializer(body).data)


class StorageScanView(APIView):
    """Have a node look again."""

    required_roles = {"post": Role.OPERATOR}

    @extend_schema(
        summary="Look at a node's storage again",
        request=None,
        responses={202: ScanAskedSerializer, **refusals(404)},
    )
    def post(self, _request: Request, name: str) -> Response:
        return Response({"asked": scan_request(node=_node(name))}, status=status.HTTP_202_ACCEPTED)


class StorageDeleteView(APIView):
    """Delete what a listing names; admins only."""

    @extend_schema(
        summary="Delete weights or an image from a node",
        description="409 in_use while a live launch on the node needs it, with the names of those that do.",
        request=StorageDeleteWrite,
        responses={202: StorageJobSerializer, **refusals(404, 409)},
    )
    def post(self, request: Request, name: str) -> Response:
        node = _node(name)
        wanted = StorageDeleteWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        job, _ = delete_create(node=node, key=wanted.validated_data["key"], actor=api_actor(request))
        return Response(StorageJobSerializer(job).data, status=status.HTTP_202_ACCEPTED)


@extend_schema_view(
    list=extend_schema(
        summary="List storage jobs", responses={200: StorageJobSerializer(many=True), **refusals()}
    ),
    retrieve=extend_schema(summary="One storage job", responses={200: StorageJobSerializer, **refusals(404)}),
)
class StorageJobViewSet(ReadOnlyModelViewSet[StorageJob]):
    """Downloads, pulls and deletions; operators ask for downloads and pulls, and cancel."""

    queryset = StorageJob.objects.select_related("requested_by")
    serializer_class = StorageJobSerializer
    filterset_fields = ["kind", "state", "live", "node_name"]
    lookup_field = "uid"
    lookup_value_regex = r"[0-9a-f]{16}"
    required_roles = dict.fromkeys(("create", "cancel"), Role.OPERATOR)

    @extend_schema(
        summary="Download or pull ahead",
        description="202: the wish is stored. 200: it was under way already. A new one goes on from there.",
        request=StorageJobWrite,
        responses={202: StorageJobSerializer, 200: StorageJobSerializer, **refusals(404, 409)},
    )
    def create(self, request: Request) -> Response:
        wanted = StorageJobWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        job, made = self._create(request, dict(wanted.validated_data))
        return Response(StorageJobSerializer(job).data, status=202 if made else 200)

    def _create(self, request: Request, data: dict[str, Any]) -> tuple[StorageJob, bool]:
        node, actor = data.get("node") or node_of(request), api_actor(request)
        if data["kind"] == JobKind.OLLAMA_PULL:
            return ollama_pull_create(node=node, model=data["model"], actor=actor)
        if data["kind"] == JobKind.IMAGE_PULL:
            return image_pull_create(node=node, image=data["image"], actor=actor)
        names = ("repo", "repo_type", "revision", "patterns")
        return download_create(node=node, actor=actor, **{name: data[name] for name in names})

    @extend_schema(
        summary="Cancel a storage job", request=None, responses={202: StorageJobSerializer, **refusals(404)}
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, uid: str) -> Response:
        job = job_cancel(job=self.get_object(), actor=api_actor(request))
        return Response(StorageJobSerializer(job).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="Timeline of a storage job",
        responses={200: StorageEventSerializer(many=True), **refusals(404)},
        filters=False,
    )
    @action(detail=True, filterset_fields=None)
    def events(self, _request: Request, uid: str) -> Response:
        rows: QuerySet[Any] = self.get_object().events.all()
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(StorageEventSerializer(page, many=True).data)
