"""`/api/usage/limits`: what people and API keys may ask of models."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as ModelInvalid
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat_app.limits import NUMBERS, limit_set
from chat_app.models_limits import MOST, UsageLimit
from sparkweb.accounts.models import ApiKey, Role, User
from sparkweb.api import NotFound, api_actor, refusals


class UsageLimitSerializer(serializers.Serializer[Any]):
    user = serializers.CharField(required=False, allow_null=True, help_text="A user name; this or a key")
    key = serializers.CharField(
        required=False, allow_null=True, help_text="How an API key begins, 16 characters"
    )
    model_names = serializers.ListField(child=serializers.CharField(max_length=80), required=False)
    requests_per_minute = serializers.IntegerField(
        min_value=1, max_value=MOST, required=False, allow_null=True
    )
    requests_per_day = serializers.IntegerField(min_value=1, max_value=MOST, required=False, allow_null=True)
    tokens_per_minute = serializers.IntegerField(min_value=1, max_value=MOST, required=False, allow_null=True)
    tokens_per_day = serializers.IntegerField(min_value=1, max_value=MOST, required=False, allow_null=True)
    parallel = serializers.IntegerField(min_value=1, max_value=MOST, required=False, allow_null=True)


class UsageLimits(APIView):
    required_roles = {"get": Role.ADMIN, "post": Role.ADMIN}

    @extend_schema(
        summary="Limits of people and API keys", operation_id="usage_limits",
        responses={200: UsageLimitSerializer(many=True), **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        rows = UsageLimit.objects.select_related("user", "key").order_by("pk")
        return Response([_told(row) for row in rows])

    @extend_schema(
        summary="Set the limits of one person or key", operation_id="usage_limit_set",
        description="All of them at once: what is left out is no limit any more.",
        request=UsageLimitSerializer, responses={200: UsageLimitSerializer, **refusals(404)},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        read = UsageLimitSerializer(data=request.data)
        read.is_valid(raise_exception=True)
        wanted = dict(read.validated_data)
        subject = _subject(wanted.pop("user", None), wanted.pop("key", None))
        try:
            row = limit_set(actor=api_actor(request), **subject, **wanted)
        except ModelInvalid as error:
            raise ValidationError(
                error.message_dict if hasattr(error, "error_dict") else error.messages
            ) from None
        return Response(_told(row) if row else {})


def _subject(user: str | None, key: str | None) -> dict[str, Any]:
    if (user is None) == (key is None):
        raise ValidationError({"user": ["Name a user or a key, one of them."]})
    if user is not None:
        found = User.objects.filter(username=user.replace("\0", "")).first()
        if found is None:
            raise NotFound(f"There is no user {user[:80]!r}.")
        return {"user": found}
    keys = ApiKey.objects.filter(prefix=(key or "").replace("\0", ""), revoked_at=None)
    if keys.count() != 1:
        raise NotFound(f"There is no one key that begins with {(key or '')[:20]!r}.")
    return {"key": keys.get()}


def _told(row: UsageLimit) -> dict[str, Any]:
    return {
        "user": row.user.username if row.user else None,
        "key": row.key.prefix if row.key else None,
        "model_names": row.model_names,
        **{name: getattr(row, name) for name in NUMBERS},
    }
