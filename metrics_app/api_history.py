"""History over the API: the series of a node, their figures over a span, and what happened meanwhile."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from metrics_app.history.query import Samples, samples_read, series_list, span_check
from metrics_app.models import Node
from metrics_app.node_events import events_between
from sparkweb.api import refusals

DEFAULT_SPAN_SECONDS = 3_600.0


class NumbersRenderer(JSONRenderer):
    """JSON of tens of thousands of numbers, a fifth of the time that json takes."""

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else orjson.dumps(data, default=str)


class SeriesSerializer(serializers.Serializer[dict[str, Any]]):
    key = serializers.CharField()
    metric = serializers.CharField()
    subject = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    unit = serializers.CharField()
    scope = serializers.CharField()
    scope_label = serializers.CharField()


class LinesSerializer(serializers.Serializer[dict[str, Any]]):
    mean = serializers.ListField(child=serializers.FloatField(allow_null=True))
    low = serializers.ListField(child=serializers.FloatField(allow_null=True))
    high = serializers.ListField(child=serializers.FloatField(allow_null=True))


class SamplesSerializer(serializers.Serializer[dict[str, Any]]):
    node = serializers.CharField()
    step = serializers.IntegerField(help_text="Seconds between points.")
    t = serializers.ListField(child=serializers.IntegerField(), help_text="Seconds since the epoch.")
    series = serializers.DictField(child=LinesSerializer())


class ChartEventSerializer(serializers.Serializer[dict[str, Any]]):
    at = serializers.FloatField(help_text="Seconds since the epoch.")
    node = serializers.CharField()
    kind = serializers.CharField()
    tone = serializers.CharField(help_text="good, bad, warn or calm.")
    title = serializers.CharField()
    subject = serializers.CharField(help_text="A model's slug, or empty.")
    url = serializers.CharField()


SPAN = [
    OpenApiParameter("start", OpenApiTypes.FLOAT, description="Seconds since 1970; an hour ago if absent."),
    OpenApiParameter("end", OpenApiTypes.FLOAT, description="Seconds since 1970; now if absent."),
]
SERIES = [
    OpenApiParameter(
        "series", OpenApiTypes.STR, many=True, required=True, description="A series key; repeat it."
    ),
    *SPAN,
    OpenApiParameter("points", OpenApiTypes.INT, description="At most so many points, up to 2,000."),
]


class HistoryActions:
    """Joins the node view set."""

    @extend_schema(
        summary="The series that a node's history has",
        responses={200: SeriesSerializer(many=True), **refusals(404)},
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def series(self, _request: Request, name: str) -> Response:
        return Response(series_list(self._node().name))

    @extend_schema(
        summary="Figures of series over a span",
        parameters=SERIES,
        responses={200: SamplesSerializer, **refusals(404)},
    )
    @action(detail=True, renderer_classes=[NumbersRenderer])
    def samples(self, request: Request, name: str) -> Response:
        node = self._node()
        found = _samples(node, request)
        series = {
            key: {"mean": row.mean, "low": row.low, "high": row.high} for key, row in found.series.items()
        }
        return Response({"node": node.name, "step": found.step, "t": found.t, "series": series})

    @extend_schema(
        summary="Figures of series over a span, as CSV",
        parameters=SERIES,
        responses={(200, "text/csv"): OpenApiTypes.STR, **refusals(404)},
    )
    @action(detail=True, url_path="samples.csv", url_name="samples-csv")
    def samples_csv(self, request: Request, name: str) -> HttpResponse:
        node = self._node()
        text = io.StringIO()
        csv.writer(text).writerows(_csv_rows(_samples(node, request)))
        answer = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="{node.name}-history.csv"'
        return answer

    @extend_schema(
        summary="What happened on a node in a span",
        parameters=SPAN,
        responses={200: ChartEventSerializer(many=True), **refusals(404)},
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def events(self, request: Request, name: str) -> Response:
        node = self._node()
        start, end = _span(request)
        span_check(start, end)
        return Response(
            [event.to_json() for event in events_between([node.name], max(0.0, start), min(end, 4e9))]
        )

    def _node(self) -> Node:
        return self.get_object()  # type: ignore[attr-defined]


def _samples(node: Node, request: Request) -> Samples:
    start, end = _span(request)
    points = _number(request, "points", 1_000)
    keys = list(dict.fromkeys(request.query_params.getlist("series")))
    if not keys:
        raise serializers.ValidationError({"series": "name at least one series"})
    return samples_read(node.name, keys, start=start, end=end, points=int(min(max(points, 0), 1e6)))


def _span(request: Request) -> tuple[float, float]:
    end = _number(request, "end", time.time())
    return _number(request, "start", end - DEFAULT_SPAN_SECONDS), end


def _number(request: Request, name: str, default: float) -> float:
    raw = request.query_params.get(name)
    if raw is None:
        return default
    try:
        value = float(raw)
    except ValueError:
        raise serializers.ValidationError({name: "is not a number"}) from None
    if value != value or abs(value) == float("inf"):
        raise serializers.ValidationError({name: "is not a number"})
    return value


def _csv_rows(samples: Samples) -> Iterator[list[Any]]:
    keys = list(samples.series)
    yield ["time", *[f"{key} {part}" for key in keys for part in ("mean", "low", "high")]]
    for place, at in enumerate(samples.t):
        row: list[Any] = [datetime.fromtimestamp(at, tz=UTC).isoformat()]
        for key in keys:
            lines = samples.series[key]
            row += [lines.mean[place], lines.low[place], lines.high[place]]
        yield row
