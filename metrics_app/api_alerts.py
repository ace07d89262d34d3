"""Alerts in the API: `/api/alerts`, `/api/alert-rules`, `/api/silences`, `/api/alert-channels`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet, ModelViewSet, ReadOnlyModelViewSet

from metrics_app.alerts.notices import channel_delete, channel_save, channel_test
from metrics_app.alerts.services import alert_acknowledge, rule_delete, rule_save, silence_add, silence_end
from metrics_app.models_alerts import Alert, AlertChannel, AlertRule, Silence
from sparkweb.accounts.models import Role
from sparkweb.api import api_actor, refusals


class AlertSerializer(serializers.ModelSerializer[Alert]):
    """One time that a rule fired."""

    acknowledged_by: Any = serializers.SlugRelatedField(slug_field="username", read_only=True)

    class Meta:
        model = Alert
        fields = ["id", "rule", "rule_name", "severity", "node_name", "series", "state", "message", "value",
                  "fired_at", "resolved_at", "acknowledged_at", "acknowledged_by", "told", "url"]  # fmt: skip
        read_only_fields = fields


class AlertRuleSerializer(serializers.ModelSerializer[AlertRule]):
    """When owners want to know (docs/alerts.md)."""

    class Meta:
        model = AlertRule
        fields = ["id", "name", "shipped", "kind", "metric", "subject", "node_name", "value", "clear_value",
                  "for_seconds", "hold_seconds", "window_seconds", "severity", "enabled", "created_at",
                  "updated_at"]  # fmt: skip
        read_only_fields = ["id", "shipped", "created_at", "updated_at"]


class SilenceSerializer(serializers.ModelSerializer[Silence]):
    """A while in which nobody is told."""

    created_by: Any = serializers.SlugRelatedField(slug_field="username", read_only=True)

    class Meta:
        model = Silence
        fields = ["id", "rule", "node_name", "reason", "starts_at", "ends_at", "created_by"]
        read_only_fields = ["id", "starts_at", "created_by"]


class AlertChannelSerializer(serializers.ModelSerializer[AlertChannel]):
    """Where owners are told. The address goes in and never comes out."""

    url = serializers.CharField(write_only=True, max_length=2_000, required=False, help_text="Of Apprise.")

    class Meta:
        model = AlertChannel
        fields = ["id", "name", "url", "kind", "least_severity", "enabled", "created_at"]
        read_only_fields = ["id", "kind", "created_at"]


class AlertViewSet(ReadOnlyModelViewSet[Alert]):
    """What fires and what fired, newest first."""

    queryset = Alert.objects.select_related("acknowledged_by")
    serializer_class = AlertSerializer
    lookup_value_regex = r"\d{1,9}"
    filterset_fields = ["state", "severity", "node_name", "rule"]
    required_roles = {"acknowledge": Role.OPERATOR}

    @extend_schema(
        summary="Note that somebody knows", request=None, responses={200: AlertSerializer, **refusals(404)}
    )
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        alert = alert_acknowledge(alert=self.get_object(), actor=api_actor(request))
        return Response(AlertSerializer(alert).data)


class AlertRuleViewSet(ModelViewSet[AlertRule]):
    """The rules; admins change them."""

    queryset = AlertRule.objects.all()
    serializer_class = AlertRuleSerializer
    lookup_value_regex = r"\d{1,9}"
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    filterset_fields = ["kind", "enabled", "severity", "metric"]

    def perform_create(self, serializer: BaseSerializer[AlertRule]) -> None:
        rule = rule_save(rule=AlertRule(**serializer.validated_data), actor=api_actor(self.request))
        serializer.instance = rule

    def perform_update(self, serializer: BaseSerializer[AlertRule]) -> None:
        rule = serializer.instance
        assert rule is not None
        for name, value in serializer.validated_data.items():
            setattr(rule, name, value)
        rule_save(rule=rule, actor=api_actor(self.request))

    def perform_destroy(self, instance: AlertRule) -> None:
        rule_delete(rule=instance, actor=api_actor(self.request))


class SilenceViewSet(
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    mixins.DestroyModelMixin,
    GenericViewSet[Silence],
):
    """Silences; deleting one ends it."""

    queryset = Silence.objects.select_related("created_by")
    serializer_class = SilenceSerializer
    lookup_value_regex = r"\d{1,9}"
    required_roles = {"create": Role.OPERATOR, "destroy": Role.OPERATOR}

    def perform_create(self, serializer: BaseSerializer[Silence]) -> None:
        data = serializer.validated_data
        serializer.instance = silence_add(
            rule=data.get("rule"),
            node_name=data.get("node_name", ""),
            ends_at=data["ends_at"],
            reason=data["reason"],
            actor=api_actor(self.request),
        )

    def perform_destroy(self, instance: Silence) -> None:
        silence_end(silence=instance, actor=api_actor(self.request))


class AlertChannelViewSet(ModelViewSet[AlertChannel]):
    """Channels; their addresses hold secrets, so only admins see that there are any."""

    queryset = AlertChannel.objects.all()
    serializer_class = AlertChannelSerializer
    lookup_value_regex = r"\d{1,9}"
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    required_roles = dict.fromkeys(("list", "retrieve"), Role.ADMIN)

    def perform_create(self, serializer: BaseSerializer[AlertChannel]) -> None:
        self._save(serializer, AlertChannel())

    def perform_update(self, serializer: BaseSerializer[AlertChannel]) -> None:
        assert serializer.instance is not None
        self._save(serializer, serializer.instance)

    def _save(self, serializer: BaseSerializer[AlertChannel], channel: AlertChannel) -> None:
        data: dict[str, Any] = dict(serializer.validated_data)
        url = data.pop("url", "")
        for name, value in data.items():
            setattr(channel, name, value)
        serializer.instance = channel_save(channel=channel, actor=api_actor(self.request), url=url)

    def perform_destroy(self, instance: AlertChannel) -> None:
        channel_delete(channel=instance, actor=api_actor(self.request))

    @extend_schema(summary="Send a test message", request=None, responses={202: None, **refusals(404)})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        channel_test(channel=self.get_object(), actor=api_actor(request))
        return Response(status=202)
