"""Sources, runs, the ledger and requests over the API: `/api/transcripts/…`."""

from __future__ import annotations

from typing import Any, cast

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sparkweb.accounts.models import RANK, Role, User
from sparkweb.accounts.permissions import caller_rank
from sparkweb.api import NamedField, NotFound, api_actor, refusals
from sparkweb.paging import Pages
from transcripts_app.archive.models import BadLine, ImportRun
from transcripts_app.models_requests import ArchiveRequest, RequestState, TranscriptSource
from transcripts_app.requests import request_json
from transcripts_app.selectors_imports import (
    SourceRow,
    archive_state,
    bad_bytes,
    file_page,
    file_row,
    file_visible,
    run_files,
    run_row,
    source_rows,
    sources_visible,
)
from transcripts_app.sources import PATH_MOST, source_add, source_enable, source_owner, source_remove

ID_MOST = 2**62


class CountSerializer(serializers.Serializer[Any]):
    """bytes = record_bytes + bad_bytes + blank_bytes; lines = records + bad + blank."""

    bytes = serializers.IntegerField()
    record_bytes = serializers.IntegerField()
    bad_bytes = serializers.IntegerField()
    blank_bytes = serializers.IntegerField()
    lines = serializers.IntegerField()
    records = serializers.IntegerField()
    copies = serializers.IntegerField(help_text="Among the records: read before under the same uuid")
    conflicts = serializers.IntegerField()
    bad = serializers.IntegerField()
    blank = serializers.IntegerField()
    waiting_bytes = serializers.IntegerField(help_text="Behind the last newline")
    moved = serializers.IntegerField(help_text="Of rewritten files: lines that were there before")
    cut = serializers.IntegerField()
    rewritten = serializers.IntegerField()
    files = serializers.IntegerField()
    by_type = serializers.DictField(child=serializers.IntegerField())
    unknown = serializers.DictField(child=serializers.IntegerField())


class TranscriptSourceSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    node = serializers.CharField()
    path = serializers.CharField()
    owner = serializers.CharField(allow_null=True)
    enabled = serializers.BooleanField()
    state = serializers.CharField(help_text="follows, reads, waits, problem or disabled")
    problem = serializers.CharField()
    seen_at = serializers.DateTimeField(allow_null=True)
    sessions = serializers.IntegerField()
    files = serializers.IntegerField()
    gone = serializers.IntegerField(help_text="Files that the source has deleted; they are kept here")
    refused = serializers.IntegerField(help_text="Files that could not be read")
    bad_lines = serializers.IntegerField()
    bytes = serializers.IntegerField()
    percent = serializers.IntegerField(allow_null=True, help_text="How far the first reading is")


class TranscriptSourceWrite(serializers.Serializer[Any]):
    path = serializers.CharField(max_length=PATH_MOST, help_text="A folder of the machine that runs SparkWeb")
    owner = NamedField(slug_field="username", queryset=User.objects.all(), required=False, allow_null=True)


class TranscriptSourceChange(serializers.Serializer[Any]):
    enabled = serializers.BooleanField(required=False)
    owner = NamedField(slug_field="username", queryset=User.objects.all(), required=False, allow_null=True)


class TranscriptRunSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    trigger = serializers.CharField(help_text="follow, command, upload or node")
    state = serializers.CharField()
    error = serializers.CharField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    totals = CountSerializer()


class TranscriptRunFileSerializer(serializers.Serializer[Any]):
    file = serializers.IntegerField()
    path = serializers.CharField()
    problem = serializers.CharField()
    session = serializers.CharField(allow_null=True, help_text="Its session's key")
    count = CountSerializer()


class BadLineSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    line = serializers.IntegerField()
    start = serializers.IntegerField(help_text="Byte offset in the file")
    length = serializers.IntegerField()
    generation = serializers.IntegerField()
    reason = serializers.CharField()
    text = serializers.CharField(help_text="Its first 400 bytes; what is no UTF-8 is written as \\xNN")


class TranscriptFileSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    path = serializers.CharField()
    node = serializers.CharField()
    root_path = serializers.CharField(help_text="Folder of its source")
    role = serializers.CharField()
    session = serializers.CharField(allow_null=True)
    size = serializers.IntegerField()
    read_to = serializers.IntegerField()
    lines = serializers.IntegerField()
    generation = serializers.IntegerField()
    problem = serializers.CharField()
    is_gone = serializers.BooleanField()
    bad = BadLineSerializer(many=True, help_text="At most 500")
    by_type = serializers.DictField(child=serializers.IntegerField())
    unknown = serializers.DictField(child=serializers.IntegerField())


class ArchiveRequestSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    kind = serializers.CharField()
    state = serializers.ChoiceField(RequestState.choices)
    percent = serializers.IntegerField(allow_null=True)
    progress = serializers.DictField()
    result = serializers.DictField()
    error = serializers.CharField()
    requested_by = serializers.CharField()
    requested_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class ArchiveStateSerializer(serializers.Serializer[Any]):
    alive = serializers.BooleanField()
    state = serializers.CharField(help_text="idle, working or waiting")
    problem = serializers.CharField()


class TranscriptSources(APIView):
    @extend_schema(
        summary="Folders that transcripts are read from", operation_id="transcript_sources",
        description="All of them for admins, else one's own.",
        responses={200: TranscriptSourceSerializer(many=True), **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        rows = [_source(row) for row in source_rows(_user(request)) if _sees(request, row.source)]
        return Response(TranscriptSourceSerializer(rows, many=True).data)

    @extend_schema(
        summary="Read a folder", operation_id="transcript_source_add", request=TranscriptSourceWrite,
        responses={201: TranscriptSourceSerializer, **refusals(409)},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        wanted = TranscriptSourceWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        source = source_add(
            path=wanted.validated_data["path"],
            owner=wanted.validated_data.get("owner"),
            actor=api_actor(request),
        )
        return Response(_one(request, source), status=201)


class TranscriptSourceDetail(APIView):
    @extend_schema(
        summary="One source", operation_id="transcript_source",
        responses={200: TranscriptSourceSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, number: str) -> Response:
        return Response(_one(request, _found(request, number)))

    @extend_schema(
        summary="Enable or disable a source, or say whose it is", operation_id="transcript_source_change",
        request=TranscriptSourceChange, responses={200: TranscriptSourceSerializer, **refusals(404)},
    )  # fmt: skip
    def patch(self, request: Request, number: str) -> Response:
        source = _found(request, number)
        wanted = TranscriptSourceChange(data=request.data)
        wanted.is_valid(raise_exception=True)
        fields = wanted.validated_data
        if "enabled" in fields:
            source_enable(source=source, enabled=fields["enabled"], actor=api_actor(request))
        if "owner" in fields:
            source_owner(source=source, owner=fields["owner"], actor=api_actor(request))
        return Response(_one(request, source))

    @extend_schema(
        summary="Remove a source", operation_id="transcript_source_remove", request=None,
        description="Nothing more of it is read; what was read stays.",
        responses={204: None, **refusals(404)},
    )  # fmt: skip
    def delete(self, request: Request, number: str) -> Response:
        source_remove(source=_found(request, number), actor=api_actor(request))
        return Response(status=204)


class TranscriptArchive(APIView):
    @extend_schema(
        summary="What the archive process is at", operation_id="transcript_archive",
        responses={200: ArchiveStateSerializer, **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        told = archive_state()
        body = {"alive": told["alive"], "state": told.get("state", ""), "problem": told.get("problem", "")}
        return Response(ArchiveStateSerializer(body).data)


class TranscriptRuns(APIView):
    required_roles = {"get": Role.ADMIN}

    @extend_schema(
        summary="Runs of the import, newest first", operation_id="transcript_runs",
        responses={200: TranscriptRunSerializer(many=True), **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        pages = Pages()
        rows = pages.paginate_queryset(ImportRun.objects.order_by("-pk"), request, self)
        return pages.get_paginated_response([_run(row) for row in rows or []])


class TranscriptRun(APIView):
    required_roles = {"get": Role.ADMIN}

    @extend_schema(
        summary="One run of the import", operation_id="transcript_run",
        responses={200: TranscriptRunSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, number: str) -> Response:
        return Response(_run(_run_found(number)))


class TranscriptRunFiles(APIView):
    required_roles = {"get": Role.ADMIN}

    @extend_schema(
        summary="What a run read, file by file", operation_id="transcript_run_files",
        responses={200: TranscriptRunFileSerializer(many=True), **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, number: str) -> Response:
        pages = Pages()
        rows = pages.paginate_queryset(run_files(_run_found(number)), request, self) or []
        told = [
            {
                "file": row.file.pk,
                "path": row.file.path,
                "problem": row.file.problem,
                "session": row.file.session.key if row.file.session else None,
                "count": row.count.as_json(),
            }
            for row in map(file_row, rows)
        ]
        return pages.get_paginated_response(TranscriptRunFileSerializer(told, many=True).data)


class TranscriptFileDetail(APIView):
    @extend_schema(
        summary="A file that was read, with its bad lines", operation_id="transcript_imported_file",
        responses={200: TranscriptFileSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, number: str) -> Response:
        file = file_visible(_user(request), int(number)) if len(number) < 19 else None
        if file is None:
            raise NotFound(f"There is no file {number[:20]}.")
        page = file_page(file, 500)
        body = {name: getattr(file, name) for name in ("path", "role", "size", "read_to", "lines")}
        body |= {
            "id": file.pk, "node": file.source.node, "root_path": file.source.root,
            "session": file.session.key if file.session else None, "generation": file.generation,
            "problem": file.problem, "is_gone": file.gone_ms is not None, "by_type": dict(page.types),
            "unknown": dict(page.unknown),
            "bad": [
                {name: getattr(row.bad, name) for name in ("line", "start", "length", "generation", "reason")}
                | {"id": row.bad.pk, "text": row.text}
                for row in page.bad
            ],
        }  # fmt: skip
        return Response(TranscriptFileSerializer(body).data)


class TranscriptBadLine(APIView):
    @extend_schema(
        summary="The bytes of a line that is no record", operation_id="transcript_bad_line",
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, number: str) -> HttpResponse:
        bad = BadLine.objects.filter(pk=int(number)).first() if len(number) < 19 else None
        if bad is None or file_visible(_user(request), bad.file_id) is None:
            raise NotFound(f"There is no bad line {number[:20]}.")
        return HttpResponse(bad_bytes(bad), content_type="application/octet-stream")


class ArchiveRequests(APIView):
    @extend_schema(
        summary="What was asked of the archive process, newest first", operation_id="transcript_requests",
        description="All of it for admins, else one's own; at most 100.",
        parameters=[OpenApiParameter("kind", OpenApiTypes.STR)],
        responses={200: ArchiveRequestSerializer(many=True), **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        rows = _requests(request)
        if kind := request.query_params.get("kind", "").replace("\0", ""):
            rows = rows.filter(kind=kind)
        return Response(ArchiveRequestSerializer([request_json(row) for row in rows[:100]], many=True).data)


class ArchiveRequestDetail(APIView):
    @extend_schema(
        summary="One thing that was asked of the archive process", operation_id="transcript_request",
        responses={200: ArchiveRequestSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, number: str) -> Response:
        row = _requests(request).filter(pk=int(number)).first() if len(number) < 19 else None
        if row is None:
            raise NotFound(f"There is no request {number[:20]}.")
        return Response(ArchiveRequestSerializer(request_json(row)).data)


def _user(request: Request) -> User:
    return cast(User, request.user)


def _is_admin(request: Request) -> bool:
    return caller_rank(request) >= RANK[Role.ADMIN]


def _requests(request: Request) -> Any:
    rows = ArchiveRequest.objects.all()
    return rows if _is_admin(request) else rows.filter(requested_by=_user(request))


def _sees(request: Request, source: TranscriptSource) -> bool:
    return _is_admin(request) or source.owner_id == _user(request).pk


def _found(request: Request, number: str) -> TranscriptSource:
    rows = sources_visible(_user(request))
    source = rows.filter(pk=int(number)).first() if len(number) < 19 else None
    if source is None or not _sees(request, source):
        raise NotFound(f"There is no source {number[:20]}.")
    return source


def _one(request: Request, source: TranscriptSource) -> dict[str, Any]:
    row = next(row for row in source_rows(_user(request)) if row.source.pk == source.pk)
    return dict(TranscriptSourceSerializer(_source(row)).data)


def _source(row: SourceRow) -> dict[str, Any]:
    source = row.source
    return {
        "id": source.pk, "node": source.node, "path": source.path, "enabled": source.enabled,
        "owner": source.owner.username if source.owner else None, "state": row.state,
        "problem": row.problem, "seen_at": row.seen_at, "sessions": row.sessions, "files": row.files,
        "gone": row.gone, "refused": row.refused, "bad_lines": row.bad_lines, "bytes": row.bytes,
        "percent": row.percent,
    }  # fmt: skip


def _run_found(number: str) -> ImportRun:
    run = ImportRun.objects.filter(pk=int(number)).first() if len(number) < 19 else None
    if run is None:
        raise NotFound(f"There is no run {number[:20]}.")
    return run


def _run(run: ImportRun) -> dict[str, Any]:
    row = run_row(run)
    told = {
        "id": run.pk, "trigger": run.trigger, "state": run.state, "error": run.error,
        "started_at": row.started_at, "ended_at": row.ended_at, "totals": row.count.as_json(),
    }  # fmt: skip
    return dict(TranscriptRunSerializer(told).data)
