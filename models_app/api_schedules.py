"""Schedules and the turns that came of them: `/api/schedules`, `/api/turns`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet, ReadOnlyModelViewSet

from metrics_app.models import Node
from models_app.models import ModelDefinition
from models_app.models_schedules import Schedule, Turn
from models_app.schedules import schedule_delete, schedule_save
from sparkweb.api import NamedField, api_actor, refusals


class ScheduleSerializer(serializers.ModelSerializer[Schedule]):
    """Which definitions run on a node at which times, by the clock of SPARKWEB_TIME_ZONE."""

    node = NamedField(slug_field="name", queryset=Node.objects.all())
    definitions = NamedField(
        slug_field="slug", queryset=ModelDefinition.objects.all(), many=True, required=False
    )
    days = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=6),
        allow_empty=False,
        help_text="0 is Monday, 6 Sunday.",
    )

    class Meta:
        model = Schedule
        fields = ["id", "name", "node", "days", "starts_at", "ends_at", "definitions", "mode",
                  "drain_minutes", "enabled", "created_at"]  # fmt: skip
        read_only_fields = ["created_at"]


class TurnStepSerializer(serializers.Serializer[Any]):
    do = serializers.ChoiceField(choices=["stop", "start"])
    definition = serializers.CharField()
    launch = serializers.CharField(help_text="uid; empty before it is asked for")
    state = serializers.CharField(help_text="waiting, asked, done or failed")
    message = serializers.CharField()


class TurnSerializer(serializers.ModelSerializer[Turn]):
    """What a node was to change at one moment, step by step."""

    node = serializers.CharField(source="node.name", read_only=True)
    steps = TurnStepSerializer(many=True, read_only=True)

    class Meta:
        model = Turn
        fields = ["id", "node", "cause", "title", "began_at", "ended_at", "steps"]
        read_only_fields = fields


@extend_schema_view(
    list=extend_schema(
        summary="List schedules", responses={200: ScheduleSerializer(many=True), **refusals()}
    ),
    retrieve=extend_schema(summary="One schedule", responses={200: ScheduleSerializer, **refusals(404)}),
    create=extend_schema(summary="Add a schedule", responses={201: ScheduleSerializer, **refusals()}),
    update=extend_schema(summary="Replace a schedule", responses={200: ScheduleSerializer, **refusals(404)}),
    partial_update=extend_schema(
        summary="Change a schedule", responses={200: ScheduleSerializer, **refusals(404)}
    ),
    destroy=extend_schema(summary="Delete a schedule", responses={204: None, **refusals(404)}),
)
class ScheduleViewSet(ModelViewSet[Schedule]):
    """What runs when; admins change it."""

    queryset = Schedule.objects.select_related("node").prefetch_related("definitions")
    serializer_class = ScheduleSerializer
    filterset_fields = ["enabled", "mode"]
    lookup_value_regex = r"\d{1,9}"

    def perform_create(self, serializer: BaseSerializer[Schedule]) -> None:
        data = dict(serializer.validated_data)
        chosen = data.pop("definitions", [])
        serializer.instance = schedule_save(
            schedule=Schedule(**data), actor=api_actor(self.request), definitions=chosen
        )

    def perform_update(self, serializer: BaseSerializer[Schedule]) -> None:
        schedule = serializer.instance
        assert schedule is not None
        data = dict(serializer.validated_data)
        chosen = data.pop("definitions", None)
        for name, value in data.items():
            setattr(schedule, name, value)
        schedule_save(schedule=schedule, actor=api_actor(self.request), definitions=chosen)

    def perform_destroy(self, instance: Schedule) -> None:
        schedule_delete(schedule=instance, actor=api_actor(self.request))


@extend_schema_view(
    list=extend_schema(
        summary="What schedules and boots changed, newest first",
        responses={200: TurnSerializer(many=True), **refusals()},
    ),
    retrieve=extend_schema(summary="One turn", responses={200: TurnSerializer, **refusals(404)}),
)
class TurnViewSet(ReadOnlyModelViewSet[Turn]):
    """Turns: what a node was to stop and start at one moment, and how it went."""

    queryset = Turn.objects.select_related("node")
    serializer_class = TurnSerializer
    filterset_fields = ["cause"]
    lookup_value_regex = r"\d{1,9}"
