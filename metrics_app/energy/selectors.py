"""Energy as pages and the API show it: by day, node and model, with its cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from metrics_app.models_energy import EnergyDay

JOULES_PER_KWH = 3.6e6
DAYS_MOST = 731


@dataclass
class Total:
    """A sum of rows. Costs are in the owner's currency; None without a price, or where nothing was made."""

    name: str
    watt_hours: float | None
    prompt_tokens: float
    generation_tokens: float
    estimated: bool
    cost: float | None
    watt_hours_per_thousand: float | None
    cost_per_thousand: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def total_of(name: str, rows: Iterable[EnergyDay]) -> Total:
    """Add rows up. Energy is None where there was not one second of readings: unknown, not 0."""
    rows = list(rows)
    joules = sum(row.joules for row in rows)
    known = any(row.seconds for row in rows)
    hours = joules / 3_600 if known else None
    made = sum(row.generation_tokens for row in rows)
    price = settings.ELECTRICITY_PRICE
    cost = joules / JOULES_PER_KWH * price if known and price is not None else None
    thousands = made / 1_000 if made >= 1 else None
    return Total(
        name=name,
        watt_hours=hours,
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        generation_tokens=made,
        estimated=any(row.estimated for row in rows),
        cost=cost,
        watt_hours_per_thousand=hours / thousands if hours is not None and thousands else None,
        cost_per_thousand=cost / thousands if cost is not None and thousands else None,
    )


def energy_totals(days: int, node_name: str = "") -> dict[str, Any]:
    """Return the totals of the last `days` days: of all, and by day, node and model, each a list of Total.

    A node's sum holds all that its GPUs drew; what no model held stands under the model "".
    """
    since = timezone.localdate() - timedelta(days=min(max(days, 1), DAYS_MOST) - 1)
    rows = EnergyDay.objects.filter(day__gte=since)
    if node_name:
        rows = rows.filter(node_name=node_name)
    found = list(rows)
    return {
        "since": since,
        "total": total_of("", found),
        "days": _by(found, lambda row: row.day.isoformat(), newest_first=True),
        "nodes": _by(found, lambda row: row.node_name),
        "models": _by(found, lambda row: row.model),
    }


def _by(rows: list[EnergyDay], name: Any, *, newest_first: bool = False) -> list[Total]:
    groups: dict[str, list[EnergyDay]] = {}
    for row in rows:
        groups.setdefault(name(row), []).append(row)
    totals = [total_of(key, group) for key, group in groups.items()]
    if newest_first:
        return sorted(totals, key=lambda one: one.name, reverse=True)
    return sorted(totals, key=lambda one: -(one.watt_hours or 0))
