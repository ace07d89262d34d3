"""Stars, tags and notes of sessions, and who sees a project, over the API."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sparkweb.accounts.models import RANK, Role, User
from sparkweb.accounts.permissions import caller_rank
from sparkweb.api import NamedField, NotFound, api_actor, refusals
from transcripts_app.access import project_of, session_of
from transcripts_app.archive.models import Project, Record, Session
from transcripts_app.keeping import (
    KeepingRefused,
    may_share,
    note_add,
    note_remove,
    project_access_set,
    star_set,
    tag_add,
    tag_remove,
)
from transcripts_app.models import ProjectAccess, Visibility
from transcripts_app.models_keeping import NOTE_MOST, SessionNote
from transcripts_app.selectors_keeping import NoteRow, keeping_of


class TranscriptNoteSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    record = serializers.IntegerField(allow_null=True, help_text="The message that it is about")
    text = serializers.CharField()
    author = serializers.CharField()
    created_at = serializers.DateTimeField()


class TranscriptKeepingSerializer(serializers.Serializer[Any]):
    starred = serializers.BooleanField(help_text="By you")
    starred_records = serializers.ListField(child=serializers.IntegerField())
    tags = serializers.ListField(child=serializers.CharField())
    notes = TranscriptNoteSerializer(many=True)


class TranscriptKeepingWrite(serializers.Serializer[Any]):
    starred = serializers.BooleanField(required=False)
    record = serializers.IntegerField(required=False, min_value=1, max_value=2**62)
    add_tag = serializers.CharField(required=False, max_length=200)
    remove_tag = serializers.CharField(required=False, max_length=200)


class TranscriptNoteWrite(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=NOTE_MOST)
    record = serializers.IntegerField(required=False, min_value=1, max_value=2**62)


class TranscriptAccessSerializer(serializers.Serializer[Any]):
    visibility = serializers.ChoiceField(Visibility.choices)
    users = NamedField(slug_field="username", queryset=User.objects.all(), many=True, required=False)
    owner = NamedField(slug_field="username", queryset=User.objects.all(), required=False, allow_null=True)


class TranscriptKeeping(APIView):
    required_roles = {"patch": Role.VIEWER}

    @extend_schema(
        summary="What stands beside a session", operation_id="transcript_keeping",
        responses={200: TranscriptKeepingSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        return Response(_told(request, _session(request, key)))

    @extend_schema(
        summary="Star a session or a message, add or remove a tag", operation_id="transcript_keeping_change",
        request=TranscriptKeepingWrite, responses={200: TranscriptKeepingSerializer, **refusals(404)},
    )  # fmt: skip
    def patch(self, request: Request, key: str) -> Response:
        session = _session(request, key)
        wanted = TranscriptKeepingWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        fields = wanted.validated_data
        if "starred" in fields:
            record = _record(session, fields.get("record"))
            star_set(session=session, user=_user(request), starred=fields["starred"], record=record)
        if "add_tag" in fields:
            tag_add(session=session, name=fields["add_tag"], actor=api_actor(request))
        if "remove_tag" in fields:
            tag_remove(session=session, name=fields["remove_tag"])
        return Response(_told(request, session))


class TranscriptNotes(APIView):
    required_roles = {"post": Role.VIEWER}

    @extend_schema(
        summary="Write a note beside a session or a message", operation_id="transcript_note_add",
        request=TranscriptNoteWrite, responses={201: TranscriptNoteSerializer, **refusals(404)},
    )  # fmt: skip
    def post(self, request: Request, key: str) -> Response:
        session = _session(request, key)
        wanted = TranscriptNoteWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        record = _record(session, wanted.validated_data.get("record"))
        note = note_add(
            session=session, text=wanted.validated_data["text"], actor=api_actor(request), record=record
        )
        return Response(_note(NoteRow(note, record)), status=201)


class TranscriptNote(APIView):
    required_roles = {"delete": Role.VIEWER}

    @extend_schema(
        summary="Take a note away", operation_id="transcript_note_remove", request=None,
        responses={204: None, **refusals(404)},
    )  # fmt: skip
    def delete(self, request: Request, key: str, number: str) -> Response:
        session = _session(request, key)
        rows = SessionNote.objects.filter(session_key=session.key)
        note = rows.filter(pk=int(number)).first() if len(number) < 19 else None
        if note is None:
            raise NotFound(f"There is no note {number[:20]}.")
        note_remove(note=note, actor=api_actor(request))
        return Response(status=204)


class TranscriptAccess(APIView):
    required_roles = {"put": Role.VIEWER}

    @extend_schema(
        summary="Who sees a project", operation_id="transcript_access",
        description="For its owner and admins.",
        responses={200: TranscriptAccessSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        return Response(_access(_shared(request, key)))

    @extend_schema(
        summary="Say who sees a project", operation_id="transcript_access_set",
        request=TranscriptAccessSerializer, responses={200: TranscriptAccessSerializer, **refusals(404)},
    )  # fmt: skip
    def put(self, request: Request, key: str) -> Response:
        project = _shared(request, key)
        wanted = TranscriptAccessSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        fields = wanted.validated_data
        known = ProjectAccess.objects.filter(project_key=project.key).first()
        project_access_set(
            project=project, visibility=fields["visibility"], users=fields.get("users", []),
            owner=fields.get("owner", known.owner if known else None), actor=api_actor(request),
        )  # fmt: skip
        return Response(_access(project))


def _user(request: Request) -> User:
    return cast(User, request.user)


def _session(request: Request, key: str) -> Session:
    session = session_of(_user(request), key)
    if session is None:
        raise NotFound(f"There is no session {key}.")
    return session


def _shared(request: Request, key: str) -> Project:
    project = project_of(_user(request), key)
    if project is None:
        raise NotFound(f"There is no project {key}.")
    reach = caller_rank(request) >= RANK[Role.ADMIN] or not _user(request).has_role(Role.ADMIN)
    if not reach or not may_share(_user(request), project):
        raise PermissionDenied("Only its owner and admins say who sees a project.")
    return project


def _record(session: Session, number: int | None) -> Record | None:
    if number is None:
        return None
    record = Record.objects.filter(session=session, pk=number).first()
    if record is None:
        raise KeepingRefused(f"There is no record {number} in this session.", "record_unknown")
    return record


def _told(request: Request, session: Session) -> dict[str, Any]:
    keeping = keeping_of(_user(request), session)
    body = {
        "starred": keeping.starred,
        "starred_records": [record.pk for record in keeping.stars],
        "tags": keeping.tags,
        "notes": [_note(row) for row in keeping.notes],
    }
    return dict(TranscriptKeepingSerializer(body).data)


def _note(row: NoteRow) -> dict[str, Any]:
    note = row.note
    return {
        "id": note.pk, "record": row.record.pk if row.record else None, "text": note.text,
        "author": note.author_label, "created_at": note.created_at,
    }  # fmt: skip


def _access(project: Project) -> dict[str, Any]:
    access = ProjectAccess.objects.filter(project_key=project.key).first()
    return {
        "visibility": access.visibility if access else Visibility.OWNER,
        "users": sorted(access.users.values_list("username", flat=True)) if access else [],
        "owner": access.owner.username if access and access.owner else None,
    }
