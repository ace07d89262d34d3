"""The history of definitions: `/api/definition-changes`."""

from __future__ import annotations

from dataclasses import asdict

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ReadOnlyModelViewSet

from models_app.changes import field_changes
from models_app.definition_changes import definition_revert
from models_app.models_changes import DefinitionChange
from models_app.serializers import DefinitionSerializer
from sparkweb.accounts.models import Role
from sparkweb.api import api_actor, refusals


class FieldChangeSerializer(serializers.Serializer[dict[str, str | None]]):
    """One field or setting; null where it is not set."""

    name = serializers.CharField()
    before = serializers.CharField(allow_null=True)
    after = serializers.CharField(allow_null=True)


class DefinitionChangeSerializer(serializers.ModelSerializer[DefinitionChange]):
    """Who changed what of a definition, and when."""

    definition = serializers.CharField(source="definition_slug", read_only=True)
    fields_changed = serializers.SerializerMethodField()

    class Meta:
        model = DefinitionChange
        fields = ["id", "definition", "at", "kind", "actor_label", "via", "fields_changed"]
        read_only_fields = fields

    @extend_schema_field(FieldChangeSerializer(many=True))
    def get_fields_changed(self, change: DefinitionChange) -> list[dict[str, str | None]]:
        return [asdict(one) for one in field_changes(change.before, change.after)]


class DefinitionChangeFilter(filters.FilterSet):
    """By definition, also a deleted one, and kind."""

    definition = filters.CharFilter(field_name="definition_slug")

    class Meta:
        model = DefinitionChange
        fields = ["kind"]


@extend_schema_view(
    list=extend_schema(
        summary="List changes of definitions",
        responses={200: DefinitionChangeSerializer(many=True), **refusals()},
    ),
    retrieve=extend_schema(
        summary="One change of a definition", responses={200: DefinitionChangeSerializer, **refusals(404)}
    ),
)
class DefinitionChangeViewSet(ReadOnlyModelViewSet[DefinitionChange]):
    """What was changed, newest first; admins take it back."""

    queryset = DefinitionChange.objects.all()
    serializer_class = DefinitionChangeSerializer
    filterset_class = DefinitionChangeFilter
    lookup_value_regex = r"[0-9]{1,18}"
    required_roles = {"revert": Role.ADMIN}

    @extend_schema(
        summary="Revert a change of a definition",
        description="The definition becomes what it was before it, also if it was deleted since.",
        request=None,
        responses={200: DefinitionSerializer, **refusals(404, 409)},
    )
    @action(detail=True, methods=["post"])
    def revert(self, request: Request, pk: str) -> Response:
        definition = definition_revert(change=self.get_object(), actor=api_actor(request))
        return Response(DefinitionSerializer(definition).data)
