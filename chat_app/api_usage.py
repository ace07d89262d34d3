"""`/api/usage`: what models were used for."""

from __future__ import annotations

from typing import Any, cast

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat_app.forms import UsageForm
from chat_app.usage import GROUPED, usage_by, usage_records, usage_series, usage_total
from chat_app.views_usage import csv_answer
from sparkweb.accounts.models import User
from sparkweb.api import refusals

FILTERS = [
    OpenApiParameter("days", OpenApiTypes.INT, description="1 to 3650; 30 if absent"),
    *(OpenApiParameter(name, OpenApiTypes.STR, description=f"Of one {name}") for name in GROUPED),
]


class UsageSumSerializer(serializers.Serializer[Any]):
    requests = serializers.IntegerField()
    failed = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()


class UsageRowSerializer(UsageSumSerializer):
    name = serializers.CharField()
    first_ms = serializers.FloatField(allow_null=True, help_text="Mean time to the first token of streams")
    tokens_per_second = serializers.FloatField(allow_null=True, help_text="Of streams, after the first token")


class UsageLineSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    requests = serializers.ListField(child=serializers.IntegerField())
    tokens = serializers.ListField(child=serializers.IntegerField())


class UsageSeriesSerializer(serializers.Serializer[Any]):
    t = serializers.ListField(child=serializers.IntegerField(), help_text="Seconds since 1970")
    step = serializers.IntegerField()
    lines = UsageLineSerializer(many=True)
    left_out = serializers.IntegerField()


class UsageSerializer(serializers.Serializer[Any]):
    total = UsageSumSerializer()
    series = UsageSeriesSerializer()
    model = UsageRowSerializer(many=True)
    user = UsageRowSerializer(many=True)
    key = UsageRowSerializer(many=True)
    endpoint = UsageRowSerializer(many=True)


class Usage(APIView):
    @extend_schema(
        summary="Requests and tokens of models", operation_id="usage", parameters=FILTERS,
        description="Your own; admins see everyone's. Prompts and answers are kept nowhere.",
        responses={200: UsageSerializer, **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        wanted = UsageForm(request.query_params).wanted()
        records = usage_records(cast(User, request.user), wanted)
        told = {by: usage_by(records, by) for by in GROUPED}
        return Response({"total": usage_total(records), "series": usage_series(records, wanted.days), **told})


class UsageExport(APIView):
    @extend_schema(
        summary="Download the ledger of requests", operation_id="usage_export", parameters=FILTERS,
        responses={(200, "text/csv"): OpenApiTypes.STR, **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        wanted = UsageForm(request.query_params).wanted()
        return csv_answer(usage_records(cast(User, request.user), wanted))
