"""What our Prometheus page says of the gateway: requests and tokens by model, as the ledger has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Sum
from prometheus_client.core import Metric

from chat_app.models import UsageRecord
from metrics_app.prometheus.page import Families, NodeView

CACHED_SECONDS = 15
KEY = "gateway-usage-sums"
TOKENS = {"input": "input_tokens", "output": "output_tokens", "cached": "cached_tokens"}


def usage_families(_nodes: list[NodeView]) -> Iterable[Metric]:
    """Return counters of requests and tokens; they fall only when old entries of the ledger go."""
    families = Families()
    for row in _sums():
        labels = {"model": row["model"], "outcome": row["outcome"]}
        words = "Requests to models through /v1."
        families.counter("sparkweb_gateway_requests", words, row["requests"], labels)
    tokens: dict[tuple[str, str], int] = {}
    for row in _sums():
        for kind, column in TOKENS.items():
            key = (row["model"], kind)
            tokens[key] = tokens.get(key, 0) + (row[column] or 0)
    for (model, kind), count in tokens.items():
        words = "Tokens of models through /v1."
        families.counter("sparkweb_gateway_tokens", words, count, {"model": model, "kind": kind})
    return families


def _sums() -> list[dict[str, Any]]:
    known = cache.get(KEY)
    if known is None:
        # What clients made up is no model: only requests that reached an engine have a launch.
        rows = UsageRecord.objects.exclude(launch_uid="").order_by().values("model", "outcome")
        sums = {column: Sum(column) for column in TOKENS.values()}
        known = list(rows.annotate(requests=Count("pk"), **sums))
        cache.set(KEY, known, CACHED_SECONDS)
    return list(known)
