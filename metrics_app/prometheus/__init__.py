"""What Prometheus scrapes: our own names, and the names that existing Grafana dashboards know."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import Metric

from metrics_app.prometheus.page import NodeView

FamilySource = Callable[[list[NodeView]], Iterable[Metric]]
SOURCES: list[FamilySource] = []
"""Each gives further families for our own page; apps add theirs in `ready()`."""
