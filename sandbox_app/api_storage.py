"""`/api/storage/{session}`: values and files of a session, as older clients know them.

Values are those of the tool data_storage: each call here is a run of it, with its limits, its place in
the queue and its entries in the audit.
"""

from __future__ import annotations

import json
from typing import Any, cast

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sandbox_app.api_execute import tool_called
from sandbox_app.following import call_answer
from sandbox_app.job import Ending
from sandbox_app.models import ToolRun, ToolSession
from sandbox_app.services import tool_run_create
from sandbox_app.session_files import files_list
from sandbox_app.sessions import session_live
from sparkweb.accounts.models import Role, User
from sparkweb.api import api_actor, refusals
from sparkweb.request_threads import thread_return_early
from sparkweb.strict_json import StrictJSONParser

TOOL = "data_storage"
FOLDERS_MOST = 50
NAMESPACE = OpenApiParameter("namespace", str, description="default if left out.")


class StorageWrite(serializers.Serializer[Any]):
    """`set` is what is done where nothing is said; the others are get and delete."""

    operation = serializers.ChoiceField(choices=["set", "get", "delete"], required=False, default="set")
    key = serializers.CharField(max_length=500, trim_whitespace=False)
    value = serializers.JSONField(required=False, help_text="Text is kept as it is, anything else as JSON")
    namespace = serializers.CharField(max_length=64, required=False, default="default")
    ttl_seconds = serializers.IntegerField(min_value=1, max_value=31_536_000, required=False)


class StorageAnswerSerializer(serializers.Serializer[Any]):
    """What the tool did. `exec_id` is its run, as in /api/runs."""

    success = serializers.BooleanField()
    session_id = serializers.CharField()
    exec_id = serializers.CharField()
    error = serializers.CharField(allow_null=True)
    key = serializers.CharField(required=False)
    value = serializers.JSONField(required=False, allow_null=True)
    stored = serializers.BooleanField(required=False)
    deleted = serializers.BooleanField(required=False)


class StorageKeysSerializer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    session_id = serializers.CharField()
    exec_id = serializers.CharField()
    error = serializers.CharField(allow_null=True)
    keys = serializers.ListField(child=serializers.CharField(), required=False)
    count = serializers.IntegerField(required=False)


class StoredFileSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    path = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes")
    modified_at = serializers.FloatField(help_text="Seconds since the epoch")


class StorageFilesSerializer(serializers.Serializer[Any]):
    """`truncated`: there is more than is listed; folders are listed by /api/sessions/{id}/files."""

    session_id = serializers.CharField()
    files = StoredFileSerializer(many=True)
    count = serializers.IntegerField()
    truncated = serializers.BooleanField()


class Storage(APIView):
    required_roles = {"post": Role.VIEWER}  # the tool itself says which role it needs
    parser_classes = [StrictJSONParser]

    @extend_schema(
        summary="Keep, get or delete a value of a session", operation_id="compat_storage",
        description="200 however it ended: `success` says how, `error` why not.",
        request=StorageWrite, responses={200: StorageAnswerSerializer, **refusals(404, 409, 429)},
    )  # fmt: skip
    def post(self, request: Request, uid: str) -> StreamingHttpResponse:
        session = session_live(uid, _user(request))
        wanted = StorageWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        arguments = dict(wanted.validated_data)
        if arguments["operation"] == "set" and "value" not in arguments:
            raise serializers.ValidationError({"value": ["What is to be kept?"]})
        if not isinstance(value := arguments.get("value", ""), str):
            arguments["value"] = json.dumps(value)
        return _run(request, session, arguments)


class StorageKeys(APIView):
    required_roles = {"get": Role.VIEWER}

    @extend_schema(
        summary="Names of a session's values", operation_id="compat_storage_keys", parameters=[NAMESPACE],
        responses={200: StorageKeysSerializer, **refusals(404, 409, 429)},
    )  # fmt: skip
    def get(self, request: Request, uid: str) -> StreamingHttpResponse:
        session = session_live(uid, _user(request))
        namespace = request.query_params.get("namespace") or "default"
        return _run(request, session, {"operation": "list", "namespace": namespace})


class StorageFiles(APIView):
    required_roles = {"get": Role.OPERATOR}

    @extend_schema(
        summary="Files of a session", operation_id="compat_storage_files",
        responses={200: StorageFilesSerializer, **refusals(404, 409)},
    )  # fmt: skip
    def get(self, request: Request, uid: str) -> Response:
        session = session_live(uid, _user(request))
        files, truncated = _files(session)
        body = {"session_id": session.uid, "files": files, "count": len(files), "truncated": truncated}
        return Response(StorageFilesSerializer(body).data)


def _run(request: Request, session: ToolSession, arguments: dict[str, Any]) -> StreamingHttpResponse:
    actor = api_actor(request)
    run, _ = tool_run_create(
        tool=tool_called(TOOL), arguments=arguments, actor=actor, via="api", session=session
    )

    async def answer(run: ToolRun, ending: Ending) -> dict[str, Any]:
        failed = ending.reason or ending.stderr.strip()[-2000:] or ending.stdout.strip()[-2000:]
        done = ending.outcome == "ok"
        result = ending.result if done and isinstance(ending.result, dict) else {}
        own = {"success": done, "session_id": session.uid, "exec_id": run.uid}
        return {**result, **own, "error": None if done else failed or f"exit code {ending.exit_code}"}

    thread_return_early(request._request)
    return StreamingHttpResponse(
        call_answer(run, actor, answer),
        content_type="application/json",
        headers={"X-Run": run.uid, "Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _files(session: ToolSession) -> tuple[list[dict[str, Any]], bool]:
    """The files of the workspace, its folders included, breadth first; what begins with a dot is left out."""
    found: list[dict[str, Any]] = []
    folders, truncated, looked = [""], False, 0
    while folders and looked < FOLDERS_MOST:
        folder, looked = folders.pop(0), looked + 1
        told = files_list(session, folder)
        truncated |= bool(told.get("more"))
        for entry in told["entries"]:
            path = f"{folder}/{entry['name']}" if folder else entry["name"]
            if entry["name"].startswith(".") or not entry["reachable"]:
                continue
            if entry["kind"] == "folder":
                folders.append(path)
            else:
                size, at = entry["size_bytes"], entry["modified_at"]
                found.append({"name": entry["name"], "path": path, "size": size, "modified_at": at})
    return found, truncated or bool(folders)


def _user(request: Request) -> User:
    return cast(User, request.user)
