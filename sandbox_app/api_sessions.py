"""Sessions and their files: `/api/sessions` and `/api/storage`; short paths as clients know them."""

from __future__ import annotations

import secrets
from typing import Any, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from metrics_app.api import node_of
from metrics_app.models import Node
from sandbox_app.models import ToolSession
from sandbox_app.session_download import Download, file_download
from sandbox_app.session_files import files_delete, files_list, files_write, folder_make
from sandbox_app.session_wire import PIECE_BYTES
from sandbox_app.sessions import (
    HOURS_MOST,
    session_find,
    session_live,
    session_seen,
    sessions_visible,
    tool_session_create,
    tool_session_end,
    tool_session_extend,
)
from sparkweb.accounts.models import Role, User
from sparkweb.api import NamedField, api_actor, refusals
from sparkweb.body_limit import LIMIT_BYTES
from sparkweb.request_threads import thread_return_early

PATH = OpenApiParameter("path", str, description="Relative to the workspace; its top if left out.")
FILE_PATH = OpenApiParameter("path", str, required=True, description="Relative to the workspace.")


class SessionSerializer(serializers.ModelSerializer[ToolSession]):
    """A session. `used_bytes` is null before its node has told it."""

    id = serializers.CharField(source="uid")
    session_id = serializers.CharField(source="uid")
    owner = serializers.CharField(source="owner.username")
    node = serializers.CharField(source="node_name")
    state = serializers.CharField(read_only=True, help_text="live, ending or ended")
    workspace = serializers.CharField(read_only=True, help_text="ext4, tmpfs, or empty before there is one")

    containers = serializers.DictField(
        read_only=True, help_text="By tool: began_at, and count: more than one, and variables were lost"
    )

    class Meta:
        model = ToolSession
        fields = ["id", "session_id", "label", "owner", "node", "state", "workspace", "workspace_note",
                  "size_bytes", "inodes", "used_bytes", "containers", "created_at", "used_at",
                  "expires_at", "ended_at", "end_reason"]  # fmt: skip
        read_only_fields = fields


class SessionWrite(serializers.Serializer[Any]):
    """What may be wished for; everything has a default."""

    label = serializers.CharField(  # type: ignore[assignment] # every field has one; this is a field
        required=False, allow_blank=True, default="", max_length=120
    )
    node = NamedField(slug_field="name", queryset=Node.objects.all(), required=False)
    size_mb = serializers.IntegerField(required=False, allow_null=True, default=None)
    hours = serializers.IntegerField(required=False, allow_null=True, default=None)


class SessionExtendWrite(serializers.Serializer[Any]):
    hours = serializers.IntegerField(min_value=1, max_value=HOURS_MOST, help_text="From now on")


class SessionFileSerializer(serializers.Serializer[Any]):
    """`reachable` is false for links, special files, files with several names, and names that are no text."""

    name = serializers.CharField()
    kind = serializers.CharField(help_text="file, folder, link or other")
    size_bytes = serializers.IntegerField(allow_null=True)
    modified_at = serializers.FloatField(help_text="Seconds since the epoch, by the node's clock")
    reachable = serializers.BooleanField()


class SessionFilesSerializer(serializers.Serializer[Any]):
    """A folder; `more`: it holds more than are listed. The figures are of the whole workspace, or null."""

    path = serializers.CharField()
    entries = SessionFileSerializer(many=True)
    more = serializers.BooleanField()
    workspace_used_bytes = serializers.IntegerField(allow_null=True, default=None)
    workspace_size_bytes = serializers.IntegerField(allow_null=True, default=None)


class SessionWrittenSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    upload = serializers.CharField(help_text="To be given with the next piece")
    size_bytes = serializers.IntegerField(help_text="How many bytes there are now")


class SessionDeletedSerializer(serializers.Serializer[Any]):
    deleted = serializers.IntegerField(help_text="How many files and folders went")


class SessionFolderWrite(serializers.Serializer[Any]):
    path = serializers.CharField(max_length=1024)


class SessionUploadQuery(serializers.Serializer[Any]):
    path = serializers.CharField(
        max_length=1024, trim_whitespace=False, help_text="Relative to the workspace"
    )
    upload = serializers.RegexField(
        r"^[0-9a-f]{16}\Z", required=False, default="", help_text="Of the pieces of one file: 16 hex digits"
    )
    offset = serializers.IntegerField(min_value=0, max_value=2**50, required=False, default=0)
    last = serializers.BooleanField(required=False, default=True, help_text="The file is whole with this")


class BytesParser(BaseParser):
    """Leaves the body alone: the view reads it."""

    media_type = "*/*"

    def parse(self, _stream: Any, _media_type: Any = None, _context: Any = None) -> dict[str, Any]:
        return {}


class Sessions(APIView):
    required_roles = {"post": Role.OPERATOR}

    @extend_schema(
        summary="List tool sessions", operation_id="sessions",
        description="One's own, newest first; all of them for an admin. At most 200.",
        responses={200: SessionSerializer(many=True), **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        return Response(SessionSerializer(sessions_visible(api_actor(request))[:200], many=True).data)

    @extend_schema(
        summary="Begin a tool session", operation_id="session_create", request=SessionWrite,
        responses={201: SessionSerializer, **refusals(404, 409)},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        wanted = SessionWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        fields = dict(wanted.validated_data)
        node = fields.pop("node", None) or node_of(request)
        session = tool_session_create(owner=_user(request), node=node, actor=api_actor(request), **fields)
        return Response(SessionSerializer(session).data, status=status.HTTP_201_CREATED)


class Session(APIView):
    required_roles = {"delete": Role.OPERATOR}

    @extend_schema(
        summary="One tool session",
        operation_id="session",
        responses={200: SessionSerializer, **refusals(404)},
    )
    def get(self, request: Request, uid: str) -> Response:
        return Response(SessionSerializer(session_seen(uid, api_actor(request))).data)

    @extend_schema(
        summary="End a tool session", operation_id="session_end", request=None,
        description="Container, files and runs go with it; `ending` until its node has said so.",
        responses={200: SessionSerializer, **refusals(404)},
    )  # fmt: skip
    def delete(self, request: Request, uid: str) -> Response:
        session = tool_session_end(session=session_seen(uid, api_actor(request)), actor=api_actor(request))
        return Response(SessionSerializer(session).data)


class SessionExtend(APIView):
    required_roles = {"post": Role.OPERATOR}

    @extend_schema(
        summary="Let a tool session last longer", operation_id="session_extend", request=SessionExtendWrite,
        responses={200: SessionSerializer, **refusals(404, 409)},
    )  # fmt: skip
    def post(self, request: Request, uid: str) -> Response:
        session = session_find(uid, _user(request))
        wanted = SessionExtendWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        hours = wanted.validated_data["hours"]
        row = tool_session_extend(session=session, actor=api_actor(request), hours=hours)
        return Response(SessionSerializer(row).data)


class SessionFiles(APIView):
    """The files of one's own session."""

    required_roles = {"get": Role.OPERATOR, "put": Role.OPERATOR, "delete": Role.OPERATOR}
    parser_classes = [JSONParser, BytesParser]

    @extend_schema(
        summary="List files of a session", operation_id="session_files", parameters=[PATH],
        responses={200: SessionFilesSerializer, **refusals(404, 409)},
    )  # fmt: skip
    def get(self, request: Request, uid: str) -> Response:
        session = session_live(uid, _user(request))
        return Response(SessionFilesSerializer(files_list(session, _path(request, needed=False))).data)

    @extend_schema(
        summary="Upload a file into a session", operation_id="session_file_write",
        description="The body is the file, or a piece of it of at most 10 MB: give pieces the same `upload`, "
        "the offset of each, and `last=false` with all but the last. The file appears when it is whole.",
        parameters=[SessionUploadQuery], request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={200: SessionWrittenSerializer, **refusals(404, 409)},
    )  # fmt: skip
    def put(self, request: Request, uid: str) -> Response:
        session = session_live(uid, _user(request))
        query = SessionUploadQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        wanted = query.validated_data
        upload = wanted["upload"] or secrets.token_hex(8)
        # Not request.body, which may hold less: a piece for the node at a time.
        at, pieces = wanted["offset"], _pieces(request)
        for data, is_last in pieces:
            at = files_write(
                session, wanted["path"], data, actor=api_actor(request), upload=upload, offset=at,
                last=wanted["last"] and is_last,
            )  # fmt: skip
        body = {"path": wanted["path"], "upload": upload, "size_bytes": at}
        return Response(SessionWrittenSerializer(body).data)

    @extend_schema(
        summary="Delete a file or folder of a session", operation_id="session_file_delete", request=None,
        parameters=[FILE_PATH], responses={200: SessionDeletedSerializer, **refusals(404, 409)},
    )  # fmt: skip
    def delete(self, request: Request, uid: str) -> Response:
        session = session_live(uid, _user(request))
        gone = files_delete(session, _path(request), actor=api_actor(request))
        return Response(SessionDeletedSerializer({"deleted": gone}).data)


class SessionContent(APIView):
    required_roles = {"get": Role.OPERATOR}

    @extend_schema(
        summary="Download a file of a session", operation_id="session_file_read", parameters=[FILE_PATH],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, **refusals(404, 409)},
    )  # fmt: skip
    def get(self, request: Request, uid: str) -> Download:
        answer = file_download(session_live(uid, _user(request)), _path(request))
        thread_return_early(request._request)
        return answer


class SessionFolders(APIView):
    required_roles = {"post": Role.OPERATOR}

    @extend_schema(
        summary="Make a folder in a session", operation_id="session_folder_make", request=SessionFolderWrite,
        responses={201: SessionFolderWrite, **refusals(404, 409)},
    )  # fmt: skip
    def post(self, request: Request, uid: str) -> Response:
        session = session_live(uid, _user(request))
        wanted = SessionFolderWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        folder_make(session, wanted.validated_data["path"], actor=api_actor(request))
        return Response(wanted.data, status=status.HTTP_201_CREATED)


def _user(request: Request) -> User:
    return cast(User, request.user)


def _path(request: Request, *, needed: bool = True) -> str:
    path = request.query_params.get("path", "")
    if needed and not path:
        raise ValidationError({"path": ["Name a file."]})
    return str(path)


def _pieces(request: Request) -> list[tuple[bytes, bool]]:
    """The body in pieces for the node, the last marked; the body limit keeps them few."""
    stream = request._request
    found: list[bytes] = []
    left = LIMIT_BYTES
    while left > 0 and (data := stream.read(min(PIECE_BYTES, left))):
        found.append(data)
        left -= len(data)
    found = found or [b""]
    return [(data, number == len(found)) for number, data in enumerate(found, 1)]
