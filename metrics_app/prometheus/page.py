"""Gathers families of metrics. A figure that is not known is left out, never 0."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import generate_latest

Labels = dict[str, str]


@dataclass(frozen=True)
class NodeView:
    """One node as the page sees it: its newest report, empty when it is not fresh."""

    name: str
    status: str
    report: dict[str, Any]
    verdicts: dict[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> dict[str, Any]:
        return self.report.get("host") or {}

    @property
    def gpus(self) -> list[dict[str, Any]]:
        return self.report.get("gpus") or []


class Families:
    """Families by name, each with the label names of its first figure."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Metric, tuple[str, ...]]] = {}

    def gauge(self, name: str, text: str, value: Any, labels: Labels, scale: float = 1.0) -> None:
        """Add a gauge's figure times `scale`, unless it is unknown."""
        self._add(GaugeMetricFamily, name, text, value, labels, scale)

    def counter(self, name: str, text: str, value: Any, labels: Labels, scale: float = 1.0) -> None:
        """Add a counter's figure times `scale`, unless it is unknown; `name` without `_total`."""
        self._add(CounterMetricFamily, name, text, value, labels, scale)

    def info(self, name: str, text: str, values: dict[str, Any], labels: Labels) -> None:
        """Add facts in words; `name` without `_info`."""
        family, names = self._family(InfoMetricFamily, name, text, labels)
        known = {key: str(value) for key, value in values.items() if value}
        family.add_metric([labels[key] for key in names], known)  # type: ignore[attr-defined]

    def _add(self, kind: Any, name: str, text: str, value: Any, labels: Labels, scale: float) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return
        family, names = self._family(kind, name, text, labels)
        family.add_metric([labels[key] for key in names], value * scale)  # type: ignore[attr-defined]

    def _family(self, kind: Any, name: str, text: str, labels: Labels) -> tuple[Metric, tuple[str, ...]]:
        if name not in self._made:
            names = tuple(labels)
            self._made[name] = (kind(name, text, labels=names), names)
        return self._made[name]

    def __iter__(self) -> Iterator[Metric]:
        return iter(family for family, _ in self._made.values())


class _Once:
    """A collector of families that are there already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def page_text(families: Iterable[Metric]) -> bytes:
    """Return families in the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(families))
    return generate_latest(registry)
