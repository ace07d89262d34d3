"""Uploads of transcripts over the API: announced, sent in pieces, read."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sparkweb.accounts.models import Role, User
from sparkweb.api import NotFound, api_actor, refusals
from transcripts_app.models_uploads import TranscriptUpload
from transcripts_app.uploads import PIECE_BYTES, upload_begin, upload_drop, upload_of, upload_piece


class UploadSerializer(serializers.Serializer[Any]):
    uid = serializers.CharField()
    name = serializers.CharField()
    size_bytes = serializers.IntegerField()
    received = serializers.IntegerField(help_text="How many bytes are here: the offset of the next piece")
    state = serializers.CharField(help_text="receiving, requested, running, done or failed")
    percent = serializers.IntegerField(allow_null=True)
    request = serializers.IntegerField(allow_null=True)
    result = serializers.DictField()
    error = serializers.CharField()
    created_at = serializers.DateTimeField()


class UploadWrite(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200, help_text="Ends in .jsonl, .zip, .tar.gz or .tgz")
    size_bytes = serializers.IntegerField(min_value=1, max_value=2**50)


class UploadPieceQuery(serializers.Serializer[Any]):
    offset = serializers.IntegerField(min_value=0, max_value=2**50, required=False, default=0)


class BytesParser(BaseParser):
    """Leaves the body alone: the view reads it."""

    media_type = "*/*"

    def parse(self, _stream: Any, _media_type: Any = None, _context: Any = None) -> dict[str, Any]:
        return {}


class TranscriptUploads(APIView):
    required_roles = {"get": Role.OPERATOR, "post": Role.OPERATOR}

    @extend_schema(
        summary="One's own uploads of transcripts, newest first", operation_id="transcript_uploads",
        responses={200: UploadSerializer(many=True), **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        rows = TranscriptUpload.objects.filter(owner=_user(request)).select_related("request")[:100]
        return Response([_told(row) for row in rows])

    @extend_schema(
        summary="Announce an upload of transcripts", operation_id="transcript_upload_begin",
        description="Then PUT its bytes in pieces. What it holds becomes yours.",
        request=UploadWrite, responses={201: UploadSerializer, **refusals(409)},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        wanted = UploadWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        fields = wanted.validated_data
        upload = upload_begin(name=fields["name"], size=fields["size_bytes"], actor=api_actor(request))
        return Response(_told(upload), status=201)


class TranscriptUploadDetail(APIView):
    required_roles = {"get": Role.OPERATOR, "delete": Role.OPERATOR}

    @extend_schema(
        summary="One upload: how much is here, and what was read of it", operation_id="transcript_upload",
        responses={200: UploadSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, uid: str) -> Response:
        return Response(_told(_found(request, uid)))

    @extend_schema(
        summary="Drop an upload that is not whole", operation_id="transcript_upload_drop", request=None,
        responses={204: None, **refusals(404, 409)},
    )  # fmt: skip
    def delete(self, request: Request, uid: str) -> Response:
        upload_drop(upload=_found(request, uid), actor=api_actor(request))
        return Response(status=204)


class TranscriptUploadContent(APIView):
    required_roles = {"put": Role.OPERATOR}
    parser_classes = [BytesParser]

    @extend_schema(
        summary="Send a piece of an upload", operation_id="transcript_upload_piece",
        description="The body is the piece at `offset`, at most 8 MiB. 409 with `offset` where another "
        "one is expected: an upload that broke off goes on there. With the last piece it is read.",
        parameters=[OpenApiParameter("offset", OpenApiTypes.INT)],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={200: UploadSerializer, **refusals(404, 409)},
    )  # fmt: skip
    def put(self, request: Request, uid: str) -> Response:
        upload = _found(request, uid)
        query = UploadPieceQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        data = request._request.read(PIECE_BYTES + 1)
        offset = query.validated_data["offset"]
        upload_piece(upload=upload, offset=offset, data=data, actor=api_actor(request))
        return Response(_told(upload))


def _user(request: Request) -> User:
    return cast(User, request.user)


def _found(request: Request, uid: str) -> TranscriptUpload:
    upload = upload_of(_user(request), uid)
    if upload is None:
        raise NotFound(f"There is no upload {uid[:16]} of yours.")
    return upload


def _told(row: TranscriptUpload) -> dict[str, Any]:
    asked = row.request
    body = {
        "uid": row.uid, "name": row.name, "size_bytes": row.size_bytes,
        "received": row.size_bytes if asked else row.received, "state": row.state,
        "percent": asked.percent if asked else None, "request": asked.pk if asked else None,
        "result": asked.result if asked else {}, "error": asked.error if asked else "",
        "created_at": row.created_at,
    }  # fmt: skip
    return dict(UploadSerializer(body).data)
