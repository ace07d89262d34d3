"""Figures and prices in the API: `/api/transcripts/figures`, `/api/transcripts/prices`."""

from __future__ import annotations

from typing import Any, cast

from django.core.exceptions import ValidationError
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from sparkweb.accounts.models import User
from sparkweb.api import api_actor, refusals
from transcripts_app.figures import CALLS, DIMENSIONS, USAGE
from transcripts_app.figures_export import figures_file
from transcripts_app.figures_query import FigureReader
from transcripts_app.forms_figures import FiguresForm
from transcripts_app.models_prices import EVER, ModelPrice
from transcripts_app.services_prices import price_add, price_delete

WORDS = {
    "since": "First day, UTC", "until": "Last day, UTC", "project": "A project's key",
    "model": "A model's name", "branch": "A git branch", "user": "Of projects that this user owns",
    "tool": "Sessions that used this tool; of its calls alone",
}  # fmt: skip
FILTERS = [OpenApiParameter(name, OpenApiTypes.STR, description=words) for name, words in WORDS.items()]
DAYS = "Back from today: 7, 30, 90 or 365; 0 or absent is everything"
FILTERS.append(OpenApiParameter("days", OpenApiTypes.INT, description=DAYS))
BY = OpenApiParameter(
    "by", OpenApiTypes.STR, enum=list(DIMENSIONS), description="What rows are of; day if absent"
)


class FiguresSerializer(serializers.Serializer[Any]):
    """Sums. Cost in millionths of a dollar, of what has a price: null where nothing has."""

    key = serializers.CharField(allow_blank=True, help_text="Of a day, project, model, branch, user or tool")
    name = serializers.CharField(allow_blank=True)
    sessions = serializers.IntegerField()
    cost_micros = serializers.IntegerField(allow_null=True)
    unpriced = serializers.IntegerField(help_text="Responses without a price")
    why_unpriced = serializers.DictField(child=serializers.IntegerField())
    warmup_responses = serializers.IntegerField()
    warmup_cost_micros = serializers.IntegerField()
    tokens = serializers.IntegerField(help_text="All of them")
    cache_share = serializers.FloatField(
        allow_null=True, help_text="Of the prompts' tokens, which share came out of the cache: 0 to 1"
    )
    active_ms = serializers.IntegerField(allow_null=True)
    prompts = serializers.IntegerField(allow_null=True)
    files_touched = serializers.IntegerField(allow_null=True)

    def get_fields(self) -> dict[str, Any]:
        counts = {name: serializers.IntegerField() for name in (*USAGE, *CALLS)}
        return super().get_fields() | counts


class FiguresAnswerSerializer(serializers.Serializer[Any]):
    """`total` is of everything that the filters leave; `rows` are of each day, project, …"""

    by = serializers.CharField()
    total = FiguresSerializer()
    rows = FiguresSerializer(many=True)


class ModelPriceSerializer(serializers.ModelSerializer[ModelPrice]):
    """Dollars per million tokens, and per thousand web searches, from a day on."""

    created_by: Any = serializers.SlugRelatedField(slug_field="username", read_only=True)
    valid_from = serializers.DateField(default=EVER, help_text="2020-01-01: since there is the model")

    class Meta:
        model = ModelPrice
        fields = [
            "id", "pattern", "valid_from", "input", "output", "cache_read", "cache_write_5m",
            "cache_write_1h", "web_search", "long_above", "long_input_factor", "long_output_factor",
            "note", "created_at", "created_by",
        ]  # fmt: skip
        read_only_fields = ["id", "created_at", "created_by"]
        validators: list[Any] = []  # the service says it


class TranscriptFigures(APIView):
    @extend_schema(
        summary="Tokens, cost, calls, errors and times of transcripts", operation_id="transcript_figures",
        description="Filters combine. Responses count once, wherever they were copied; synthetic ones never.",
        parameters=[*FILTERS, BY], responses={200: FiguresAnswerSerializer, **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        reader, dimension = _asked(request)
        rows = [row.as_json() for row in reader.by(dimension)]
        return Response({"by": dimension, "total": reader.total().as_json(), "rows": rows})


class TranscriptFiguresCsv(APIView):
    @extend_schema(
        summary="The same rows as CSV", operation_id="transcript_figures_csv", parameters=[*FILTERS, BY],
        responses={(200, "text/csv"): OpenApiTypes.STR, **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        reader, dimension = _asked(request)
        data = figures_file("csv", dimension, reader.by(dimension), reader.total())
        headers = {"Content-Disposition": f'attachment; filename="transcripts-by-{dimension}.csv"'}
        return HttpResponse(data, content_type="text/csv; charset=utf-8", headers=headers)


class ModelPriceViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.CreateModelMixin, mixins.DestroyModelMixin,
    GenericViewSet[ModelPrice],
):  # fmt: skip
    """What models cost. A changed price is a new row from another day; admins add and delete."""

    queryset = ModelPrice.objects.select_related("created_by")
    serializer_class = ModelPriceSerializer
    lookup_value_regex = r"\d{1,9}"
    filterset_fields = ["pattern", "valid_from"]

    def perform_create(self, serializer: BaseSerializer[ModelPrice]) -> None:
        serializer.instance = price_add(fields=dict(serializer.validated_data), actor=api_actor(self.request))

    def perform_destroy(self, instance: ModelPrice) -> None:
        price_delete(price=instance, actor=api_actor(self.request))


def _asked(request: Request) -> tuple[FigureReader, str]:
    form = FiguresForm(request.query_params)
    if not form.is_valid():
        raise ValidationError({name: list(errors) for name, errors in form.errors.items()})
    return FigureReader(cast(User, request.user), form.wanted(0)), form.cleaned_data["by"] or "day"
