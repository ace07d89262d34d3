"""The purge clock and writing back, over the API."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sparkweb.accounts.models import Role, User
from sparkweb.api import NotFound, api_actor, refusals
from transcripts_app.access import session_of
from transcripts_app.api_imports import ArchiveRequestSerializer
from transcripts_app.requests import request_json, request_make
from transcripts_app.selectors_purge import purge_page


class PurgeRowSerializer(serializers.Serializer[Any]):
    session = serializers.CharField()
    title = serializers.CharField()
    due_at = serializers.DateTimeField(help_text="From then on Claude Code deletes it when it starts")
    missing_bytes = serializers.IntegerField(help_text="0: every byte of it is here")


class PurgeSerializer(serializers.Serializer[Any]):
    results = PurgeRowSerializer(many=True, help_text="Soonest first; at most 500")
    total = serializers.IntegerField()
    unsafe = serializers.IntegerField(help_text="Sessions of which bytes are missing here")
    gone = serializers.IntegerField(help_text="Sessions that their source has no longer; they are kept here")


class TranscriptPurge(APIView):
    @extend_schema(
        summary="Which sessions Claude Code deletes when", operation_id="transcript_purge",
        responses={200: PurgeSerializer, **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        page = purge_page(cast(User, request.user), 500)
        rows = [
            {
                "session": row.session.key,
                "title": row.session.title,
                "due_at": row.due_at,
                "missing_bytes": row.missing,
            }
            for row in page.rows
        ]
        body = {"results": rows, "total": page.total, "unsafe": page.unsafe, "gone": page.gone}
        return Response(PurgeSerializer(body).data)


class TranscriptRestore(APIView):
    required_roles = {"post": Role.ADMIN}

    @extend_schema(
        summary="Write a session back to where it was read", operation_id="transcript_restore", request=None,
        description="So that `claude --resume` finds it. What is there is never overwritten. The request "
        "that is answered says what was written.",
        responses={202: ArchiveRequestSerializer, **refusals(404)},
    )  # fmt: skip
    def post(self, request: Request, key: str) -> Response:
        session = session_of(cast(User, request.user), key)
        if session is None:
            raise NotFound(f"There is no session {key}.")
        asked = request_make(kind="restore", payload={"session": session.key}, actor=api_actor(request))
        return Response(ArchiveRequestSerializer(request_json(asked)).data, status=202)
