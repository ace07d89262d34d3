"""Webhooks in the API, for admins: `/api/webhooks`."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from models_app.models import LaunchState, ModelDefinition
from models_app.models_webhooks import Webhook
from models_app.webhooks import (
    deliveries_of,
    secret_of,
    webhook_delete,
    webhook_save,
    webhook_secret_renew,
    webhook_test,
)
from sparkweb.accounts.models import Role
from sparkweb.api import NamedField, api_actor, refusals
from sparkweb.outbox.models import Notice


class WebhookSerializer(serializers.ModelSerializer[Webhook]):
    """An address that is told of launches. Its secret is answered once, when it is made."""

    events = serializers.ListField(
        child=serializers.ChoiceField(choices=LaunchState.choices), required=False, help_text="All if empty."
    )
    definitions = NamedField(
        slug_field="slug", queryset=ModelDefinition.objects.all(), many=True, required=False
    )

    class Meta:
        model = Webhook
        fields = ["uid", "name", "url", "events", "definitions", "enabled", "created_at"]
        read_only_fields = ["uid", "created_at"]


class WebhookSecretSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField()


class WebhookMadeSerializer(WebhookSerializer):
    secret = serializers.SerializerMethodField(help_text="Shown once; it signs what is sent.")

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]

    def get_secret(self, hook: Webhook) -> str:
        return secret_of(hook)


class DeliverySerializer(serializers.ModelSerializer[Notice]):
    """One message to a webhook: how often it was tried and how it was taken."""

    event = serializers.CharField(source="payload.event", read_only=True)

    class Meta:
        model = Notice
        fields = ["uid", "event", "subject", "state", "attempts", "last_result", "next_at", "created_at",
                  "ended_at"]  # fmt: skip
        read_only_fields = fields


@extend_schema_view(
    list=extend_schema(summary="List webhooks", responses={200: WebhookSerializer(many=True), **refusals()}),
    retrieve=extend_schema(summary="One webhook", responses={200: WebhookSerializer, **refusals(404)}),
    create=extend_schema(summary="Add a webhook", responses={201: WebhookMadeSerializer, **refusals()}),
    update=extend_schema(summary="Replace a webhook", responses={200: WebhookSerializer, **refusals(404)}),
    partial_update=extend_schema(
        summary="Change a webhook", responses={200: WebhookSerializer, **refusals(404)}
    ),
    destroy=extend_schema(summary="Delete a webhook", responses={204: None, **refusals(404)}),
)
class WebhookViewSet(ModelViewSet[Webhook]):
    """Who is told of launches by HTTP; addresses may hold secrets, so admins alone see them."""

    queryset = Webhook.objects.prefetch_related("definitions")
    serializer_class = WebhookSerializer
    lookup_field = "uid"
    lookup_value_regex = r"[0-9a-f]{32}"
    required_roles = dict.fromkeys(("list", "retrieve", "deliveries"), Role.ADMIN)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        wanted = self.get_serializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        data = dict(wanted.validated_data)
        chosen = data.pop("definitions", [])
        hook = webhook_save(hook=Webhook(**data), actor=api_actor(request), definitions=chosen)
        return Response(WebhookMadeSerializer(hook).data, status=201)

    def perform_update(self, serializer: BaseSerializer[Webhook]) -> None:
        hook = serializer.instance
        assert hook is not None
        data = dict(serializer.validated_data)
        chosen = data.pop("definitions", None)
        for name, value in data.items():
            setattr(hook, name, value)
        webhook_save(hook=hook, actor=api_actor(self.request), definitions=chosen)

    def perform_destroy(self, instance: Webhook) -> None:
        webhook_delete(hook=instance, actor=api_actor(self.request))

    @extend_schema(
        summary="Send a test message", request=None, responses={202: DeliverySerializer, **refusals(404)}
    )
    @action(detail=True, methods=["post"])
    def test(self, request: Request, uid: str) -> Response:
        notice = webhook_test(hook=self.get_object(), actor=api_actor(request))
        return Response(DeliverySerializer(notice).data, status=202)

    @extend_schema(
        summary="Make a new secret", request=None, responses={200: WebhookSecretSerializer, **refusals(404)}
    )
    @action(detail=True, methods=["post"])
    def secret(self, request: Request, uid: str) -> Response:
        made = webhook_secret_renew(hook=self.get_object(), actor=api_actor(request))
        return Response({"secret": made}, headers={"Cache-Control": "no-store"})

    @extend_schema(
        summary="What was sent, newest first", responses={200: DeliverySerializer(many=True), **refusals(404)}
    )
    @action(detail=True)
    def deliveries(self, request: Request, uid: str) -> Response:
        rows: QuerySet[Any] = deliveries_of(self.get_object())
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(DeliverySerializer(page, many=True).data)
