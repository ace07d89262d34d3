"""Energy and tokens on a page and over the API."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from metrics_app.energy.selectors import DAYS_MOST, energy_totals
from metrics_app.models import Node
from sparkweb.api import refusals

SPANS = ((1, "Today"), (7, "7 days"), (30, "30 days"), (365, "A year"))


@never_cache
@require_safe
def energy(request: HttpRequest) -> HttpResponse:
    """What was drawn and made, by day, node and model."""
    days = _days(request.GET.get("days", "30"))
    context = energy_totals(days) | {
        "spans": SPANS,
        "days_shown": days,
        "price": settings.ELECTRICITY_PRICE,
        "currency": settings.CURRENCY,
    }
    return render(request, "metrics_app/energy.html", context)


def _days(text: str) -> int:
    return min(int(text), DAYS_MOST) if text.isdigit() and len(text) < 5 and int(text) > 0 else 30


class TotalSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    watt_hours = serializers.FloatField(allow_null=True, help_text="null: the GPUs tell nothing.")
    prompt_tokens = serializers.FloatField()
    generation_tokens = serializers.FloatField()
    estimated = serializers.BooleanField(help_text="Several models shared a GPU.")
    cost = serializers.FloatField(allow_null=True)
    watt_hours_per_thousand = serializers.FloatField(allow_null=True)
    cost_per_thousand = serializers.FloatField(allow_null=True)


class EnergySerializer(serializers.Serializer[Any]):
    since = serializers.DateField()
    currency = serializers.CharField()
    price_per_kwh = serializers.FloatField(allow_null=True)
    total = TotalSerializer()
    days = TotalSerializer(many=True)
    nodes = TotalSerializer(many=True)
    models = TotalSerializer(many=True)


class Energy(APIView):
    @extend_schema(
        summary="Energy and tokens by day, node and model",
        operation_id="energy",
        parameters=[
            OpenApiParameter("days", OpenApiTypes.INT, description="How many days back; 30 if absent."),
            OpenApiParameter("node", OpenApiTypes.STR, description="Of one node alone."),
        ],
        responses={200: EnergySerializer, **refusals()},
    )
    def get(self, request: Request) -> Response:
        name = request.query_params.get("node", "").replace("\0", "")
        node = name if Node.objects.filter(name=name).exists() else "" if not name else "-"
        found = energy_totals(_days(request.query_params.get("days", "30")), node)
        body = found | {"currency": settings.CURRENCY, "price_per_kwh": settings.ELECTRICITY_PRICE}
        return Response(EnergySerializer(body).data)
