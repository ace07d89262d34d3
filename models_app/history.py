"""What models_app adds to history: figures of models by slug, and launches as marks on charts."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from metrics_app.history.figures import Figures, key_make
from metrics_app.node_events import ChartEvent
from models_app.models import LaunchEvent, LaunchMember, LaunchState

TONES = {
    LaunchState.READY: "good",
    LaunchState.FAILED: "bad",
    LaunchState.PARKED: "bad",
    LaunchState.LOST: "bad",
    LaunchState.DEGRADED: "warn",
}
SHOWN = (*TONES, LaunchState.REQUESTED, LaunchState.STOPPED)
SLUGS_KEPT = 2_000
UNKNOWN_SECONDS = 30.0
ENGINE = {
    "model_requests_running": "requests_running",
    "model_requests_waiting": "requests_waiting",
    "model_kv_cache_percent": "kv_cache_percent",
}
COUNTERS = {
    "model_prompt_tokens_per_second": "prompt_tokens_total",
    "model_generation_tokens_per_second": "generation_tokens_total",
}
# Between two reports; a longer silence says nothing of a rate.
LONGEST_STEP_SECONDS = 30.0

_slugs: dict[str, tuple[str | None, float]] = {}
_totals: dict[tuple[str, str], float] = {}
_counted: dict[tuple[str, str], tuple[float, float]] = {}


def model_figures(_node_name: str, report: dict[str, Any]) -> Figures:
    """Return the figures of the models on a node by slug; those of several launches of one add up."""
    found: Figures = {}
    for entry in report.get("launches") or []:
        member = entry.get("member") if isinstance(entry, dict) else None
        if not isinstance(member, str) or (slug := slug_of(member)) is None:
            continue
        memory = [entry.get(name) for name in ("memory_bytes", "gpu_memory_bytes")]
        if entry.get("phase") == "running" and any(isinstance(value, int) for value in memory):
            _add(found, "model_memory_bytes", slug, sum(value or 0 for value in memory))
            _add(found, "model_gpu_memory_bytes", slug, entry.get("gpu_memory_bytes"))
        engine = entry.get("engine")
        if isinstance(engine, dict):
            for name, field in ENGINE.items():
                _add(found, name, slug, engine.get(field))
            for name, field in COUNTERS.items():
                _add(found, name, slug, rate(member, field, engine.get(field), time.monotonic()))
    return found


def token_growth(_node_name: str, report: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return new prompt and generated tokens by slug; an engine begun anew counts from 0."""
    found: dict[str, tuple[float, float]] = {}
    for entry in report.get("launches") or []:
        member = entry.get("member") if isinstance(entry, dict) else None
        engine = entry.get("engine") if isinstance(entry, dict) else None
        if not isinstance(member, str) or not isinstance(engine, dict) or (slug := slug_of(member)) is None:
            continue
        before = found.get(slug, (0.0, 0.0))
        grown = [_growth(member, field, engine.get(field)) for field in COUNTERS.values()]
        found[slug] = (before[0] + grown[0], before[1] + grown[1])
    return found


def _growth(member: str, field: str, total: Any) -> float:
    if isinstance(total, bool) or not isinstance(total, int | float) or not 0 <= total < 1e15:
        return 0.0
    before = _totals.get((member, field))
    if len(_totals) > 4 * SLUGS_KEPT:
        _totals.clear()
    _totals[(member, field)] = float(total)
    if before is None:
        return 0.0  # what it had made before control looked first is nobody's day
    return total - before if total >= before else float(total)


def rate(member: str, field: str, total: Any, now: float) -> float | None:
    """The growth of a counter per second since it was seen last; None the first time and after a reset."""
    if isinstance(total, bool) or not isinstance(total, int | float):
        _counted.pop((member, field), None)
        return None
    before = _counted.get((member, field))
    if before is not None and total == before[0] and now - before[1] < LONGEST_STEP_SECONDS:
        return 0.0 if now - before[1] > 6.0 else None  # engines are asked every few seconds only
    _counted[(member, field)] = (float(total), now)
    if len(_counted) > 4 * SLUGS_KEPT:
        _counted.clear()
    if before is None or total < before[0] or not 0 < now - before[1] <= LONGEST_STEP_SECONDS:
        return None
    return (total - before[0]) / (now - before[1])


def slug_of(member: str) -> str | None:
    """The slug of the definition that a member belongs to, remembered; None for a member nobody knows."""
    known = _slugs.get(member)
    if known and (known[0] is not None or time.monotonic() - known[1] < UNKNOWN_SECONDS):
        return known[0]
    if len(_slugs) > SLUGS_KEPT:
        _slugs.clear()
    member = member[:16].replace("\0", "")
    slug = (
        LaunchMember.objects.filter(uid=member)
        .values_list("attempt__launch__definition_slug", flat=True)
        .first()
    )
    _slugs[member] = (slug, time.monotonic())
    return slug


def launch_events(nodes: list[str], start: datetime, end: datetime, limit: int) -> list[ChartEvent]:
    """Return what launches on nodes did between two moments, as marks."""
    rows = (
        LaunchEvent.objects.filter(
            launch__node_name__in=nodes, at__gte=start, at__lte=end, kind="state", to_state__in=SHOWN
        )
        .select_related("launch")
        .order_by("-at", "-pk")[:limit]
    )
    return [
        ChartEvent(
            at=row.at.timestamp(),
            node=row.launch.node_name,
            kind=f"launch_{row.to_state}",
            tone=TONES.get(LaunchState(row.to_state), "calm"),
            title=f"{row.launch.definition_slug}: {row.message or LaunchState(row.to_state).label}",
            subject=row.launch.definition_slug,
            url=row.launch.get_absolute_url(),
        )
        for row in rows
    ]


def _add(found: Figures, metric: str, slug: str, value: Any) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        key = key_make(metric, slug)
        found[key] = found.get(key, 0.0) + value
