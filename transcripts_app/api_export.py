"""Exports and masking: `/api/transcripts/exports`, `/api/transcripts/redaction`."""

from __future__ import annotations

from typing import Any, cast

from django.core.exceptions import ValidationError
from django.http import Http404
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sparkweb.accounts.models import Role, User
from sparkweb.api import NotFound, api_actor, refusals
from transcripts_app.access import project_of, session_of
from transcripts_app.archive.models import Project
from transcripts_app.export.jobs import export_delete, export_request, exports_of
from transcripts_app.export.selection import Format, What
from transcripts_app.forms_export import ExportForm
from transcripts_app.models_export import TranscriptExport
from transcripts_app.models_redaction import RedactionProfile
from transcripts_app.redaction import display
from transcripts_app.redaction.preview import preview
from transcripts_app.redaction.profiles import (
    BUILT_IN,
    NONE,
    profile_delete,
    profile_of,
    profile_save,
    profiles,
    rules_of,
)
from transcripts_app.views_export import export_file

ZIP = OpenApiResponse(OpenApiTypes.BINARY, "The ZIP file")


class ExportSerializer(serializers.ModelSerializer[TranscriptExport]):
    profile = serializers.CharField(source="profile_name", help_text="Empty: nothing is masked")
    percent = serializers.IntegerField()

    class Meta:
        model = TranscriptExport
        fields = ["uid", "what", "key", "query", "label", "format", "profile", "state", "done", "total",
                  "percent", "masked", "size_bytes", "reason", "created_at", "ended_at",
                  "expires_at"]  # fmt: skip


class ExportNewSerializer(serializers.Serializer[Any]):
    what = serializers.ChoiceField(choices=What.choices)
    project = serializers.CharField(max_length=16, required=False, help_text="Key, where what is project")
    session = serializers.CharField(max_length=16, required=False, help_text="Key, where what is session")
    query = serializers.CharField(max_length=500, required=False, help_text="Where what is search")
    format = serializers.ChoiceField(choices=Format.choices)
    profile = serializers.CharField(max_length=40, help_text="A masking profile, or none")


class ProfileSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=40)
    about = serializers.CharField(max_length=200, allow_blank=True, default="")
    rules = serializers.ListField(child=serializers.CharField(max_length=40), default=list)
    patterns = serializers.ListField(
        child=serializers.DictField(child=serializers.CharField()), default=list,
        help_text="Own ones: objects with name and pattern (RE2)",
    )  # fmt: skip


class PlaceSerializer(serializers.Serializer[Any]):
    record = serializers.IntegerField()
    kind = serializers.CharField()
    before = serializers.CharField()
    placeholder = serializers.CharField()
    after = serializers.CharField()


class PreviewSerializer(serializers.Serializer[Any]):
    records = serializers.IntegerField()
    looked_at = serializers.IntegerField()
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="Places by rule")
    places = PlaceSerializer(many=True)


class MaskSerializer(serializers.Serializer[Any]):
    profile = serializers.CharField(max_length=40, help_text="A profile's name, or none")


class TranscriptExports(ListAPIView[TranscriptExport]):
    queryset = TranscriptExport.objects.none()
    serializer_class = ExportSerializer
    filter_backends: tuple[Any, ...] = ()
    required_roles = {"get": Role.VIEWER, "post": Role.VIEWER}

    def get_queryset(self) -> Any:
        return exports_of(_user(self.request))

    @extend_schema(summary="My exports, newest first", operation_id="transcript_exports",
                   responses={200: ExportSerializer(many=True), **refusals()})  # fmt: skip
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        summary="Have transcripts exported", operation_id="transcript_export_create",
        description="A ZIP file, made in the background, kept for a day. It holds what the caller may see.",
        request=ExportNewSerializer, responses={202: ExportSerializer, **refusals(409)},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        form = ExportForm(request.data if isinstance(request.data, dict) else {})
        if not form.is_valid():
            raise ValidationError({name: list(errors) for name, errors in form.errors.items()})
        row = export_request(**form.wanted(), user=_user(request), actor=api_actor(request))
        return Response(ExportSerializer(row).data, status=202)


class TranscriptExportOne(APIView):
    required_roles = {"get": Role.VIEWER, "delete": Role.VIEWER}

    @extend_schema(summary="One export of mine", operation_id="transcript_export",
                   responses={200: ExportSerializer, **refusals(404)})  # fmt: skip
    def get(self, request: Request, uid: str) -> Response:
        return Response(ExportSerializer(_export(request, uid)).data)

    @extend_schema(summary="Cancel an export, or take it away", operation_id="transcript_export_delete",
                   responses={204: None, **refusals(404)})  # fmt: skip
    def delete(self, request: Request, uid: str) -> Response:
        export_delete(export=_export(request, uid))
        return Response(status=204)


class TranscriptExportFile(APIView):
    @extend_schema(summary="Fetch an export", operation_id="transcript_export_file",
                   responses={(200, "application/zip"): ZIP, **refusals(404)})  # fmt: skip
    def get(self, request: Request, uid: str) -> HttpResponseBase:
        try:
            return export_file(_export(request, uid))
        except Http404 as error:
            raise NotFound(str(error)) from None


class RedactionProfiles(APIView):
    required_roles = {"get": Role.VIEWER, "post": Role.ADMIN}

    @extend_schema(summary="Masking profiles", operation_id="redaction_profiles",
                   responses={200: ProfileSerializer(many=True), **refusals()})  # fmt: skip
    def get(self, request: Request) -> Response:
        return Response(ProfileSerializer(profiles(), many=True).data)

    @extend_schema(summary="Make a masking profile", operation_id="redaction_profile_create",
                   request=ProfileSerializer, responses={201: ProfileSerializer, **refusals()})  # fmt: skip
    def post(self, request: Request) -> Response:
        return Response(ProfileSerializer(_saved(request, None)).data, status=201)


class RedactionProfileOne(APIView):
    required_roles = {"get": Role.VIEWER, "put": Role.ADMIN, "delete": Role.ADMIN}

    @extend_schema(summary="One masking profile", operation_id="redaction_profile",
                   responses={200: ProfileSerializer, **refusals(404)})  # fmt: skip
    def get(self, request: Request, name: str) -> Response:
        return Response(ProfileSerializer(_profile(name)).data)

    @extend_schema(summary="Change a masking profile", operation_id="redaction_profile_change",
                   request=ProfileSerializer,
                   responses={200: ProfileSerializer, **refusals(404)})  # fmt: skip
    def put(self, request: Request, name: str) -> Response:
        return Response(ProfileSerializer(_saved(request, _own(name))).data)

    @extend_schema(summary="Delete a masking profile of an owner", operation_id="redaction_profile_delete",
                   responses={204: None, **refusals(404)})  # fmt: skip
    def delete(self, request: Request, name: str) -> Response:
        profile_delete(profile=_own(name), actor=api_actor(request))
        return Response(status=204)


class RedactionPreview(APIView):
    @extend_schema(
        summary="What a profile would mask of a session", operation_id="redaction_preview",
        parameters=[OpenApiParameter("profile", OpenApiTypes.STR, description="secrets if absent")],
        responses={200: PreviewSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        session = session_of(_user(request), key)
        if session is None:
            raise NotFound("There is no such session, or you may not see it.")
        rules = rules_of(_profile(request.query_params.get("profile", "secrets")))
        assert rules is not None
        return Response(PreviewSerializer(preview(session, rules)).data)


class ProjectMaskView(APIView):
    required_roles = {"get": Role.VIEWER, "put": Role.VIEWER}

    @extend_schema(summary="What a project's pages mask", operation_id="transcript_mask",
                   responses={200: MaskSerializer, **refusals(404)})  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        return Response({"profile": display.mask_name(self._project(request, key))})

    @extend_schema(
        summary="Choose what a project's pages mask", operation_id="transcript_mask_set",
        description="For the project's owner and admins.", request=MaskSerializer,
        responses={200: MaskSerializer, **refusals(404)},
    )  # fmt: skip
    def put(self, request: Request, key: str) -> Response:
        project = self._project(request, key)
        if not display.may_reveal(_user(request), project):
            raise NotFound("There is no such project, or it is not yours.")
        read = MaskSerializer(data=request.data)
        read.is_valid(raise_exception=True)
        name = read.validated_data["profile"]
        if name != NONE and profile_of(name) is None:
            raise ValidationError({"profile": [f"There is no profile {name!r}."]})
        display.project_mask_set(project=project, profile=name, actor=api_actor(request))
        return Response({"profile": name})

    def _project(self, request: Request, key: str) -> Project:
        project = project_of(_user(request), key)
        if project is None:
            raise NotFound("There is no such project, or you may not see it.")
        return project


def _user(request: Request) -> User:
    return cast(User, request.user)


def _export(request: Request, uid: str) -> TranscriptExport:
    found = exports_of(_user(request)).filter(uid=uid).first()
    if found is None:
        raise NotFound("There is no such export, or it is somebody else's.")
    return found


def _profile(name: str) -> RedactionProfile:
    found = profile_of(name)
    if found is None:
        raise NotFound(f"There is no profile {name[:40]!r}.")
    return found


def _own(name: str) -> RedactionProfile:
    found = _profile(name)
    if name in BUILT_IN:
        raise NotFound(f"{name} comes with SparkWeb and stays as it is.")
    return found


def _saved(request: Request, profile: RedactionProfile | None) -> RedactionProfile:
    read = ProfileSerializer(data=request.data)
    read.is_valid(raise_exception=True)
    return profile_save(**read.validated_data, actor=api_actor(request), profile=profile)
