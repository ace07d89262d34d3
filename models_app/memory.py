"""Will a definition fit on a node now: what is known is put together here, models_app/fit.py compares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from metrics_app.selectors import node_snapshot
from models_app import fit
from models_app.demand import Asked, demand_of
from models_app.engines.container import image_chosen, settings_merged
from models_app.engines.inputs import DefinitionData
from models_app.engines.registry import engine_kind
from models_app.exceptions import LaunchRefused
from models_app.members import launches_of_node
from models_app.models import Desired, Launch, LaunchMember, LaunchState, ModelDefinition
from models_app.planning import EXAMPLE, engine_defaults, spec_plan
from models_app.room import GIB, room_of
from models_app.weights import weights_on

LOADING = (LaunchState.REQUESTED, LaunchState.PULLING, LaunchState.STARTING, LaunchState.LOADING)
PEAKS_READ = 20


@dataclass(frozen=True)
class MemoryCheck:
    """The answer in GiB (the catalogue's `_gb` names are kept for clients), with its sentence."""

    can_start: bool
    available_gb: float | None
    required_gb: float | None
    remaining_gb: float | None
    warning: str | None = None
    error: str | None = None


def memory_check(definition: ModelDefinition, node: Node) -> MemoryCheck:
    """Say in a few numbers whether a definition fits into what its node reports right now."""
    return check_of(memory_fit(definition, node))


def check_of(found: fit.Fit) -> MemoryCheck:
    """Reduce the sum to what older clients know."""
    refused = not found.can_start
    return MemoryCheck(
        found.can_start,
        _gb(found.available_bytes),
        _gb(found.required_bytes),
        _gb(found.remaining_bytes),
        warning=None if refused else found.sentence or None,
        error=found.sentence if refused else None,
    )


def memory_fit(definition: ModelDefinition, node: Node, *, waiting: Launch | None = None) -> fit.Fit:
    """Compare what a start would take with what its node has left, and name what could be stopped.

    `waiting` is the launch of this definition that waits for memory: only launches
    that began before it go first.
    """
    snapshot = node_snapshot(node.name) if node.status == NodeStatus.ONLINE else None
    report = snapshot["report"] if snapshot else None
    asked = _asked(definition, node)
    room = room_of(report, uses_gpu=asked.settings.get("gpus") != "none")
    demand = demand_of(asked, room)
    held = _held(report or {}, on_cards=bool(room.cards))
    others = _others(definition, node, waiting)
    cards = demand.cards if room.cards else 0
    found = fit.fit(
        node=node.name,
        demand=demand,
        room=room,
        reserve_bytes=settings.MEMORY_RESERVE_GB * GIB,
        claims=[claim for row in others if (claim := _claim(row, held, cards))],
    )
    if found.can_start or demand.problem:
        return found
    stoppable = [row for row in others if row.desired == Desired.RUNNING and not row.adopted_foreign]
    running = [_running(row, held, cards) for row in stoppable]
    return _with_stop(found, fit.stop_choose([row for row in running if row.bytes > 0], found.short_bytes))


def memory_note(launch: Launch, found: fit.Fit) -> None:
    """Keep with a launch what was counted when it was started; what it still lacks is promised to it."""
    launch.memory_needed_bytes = found.required_bytes
    launch.memory_sum = fit_json(found)
    launch.save(update_fields=["memory_needed_bytes", "memory_sum"])


def short_refusal(definition: ModelDefinition, found: fit.Fit) -> LaunchRefused:
    """The refusal of a start for which memory is short, with what to stop instead."""
    check = check_of(found)
    names = " and ".join(f"{row.name} ({row.bytes / GIB:.1f} GiB)" for row in found.stop)
    first = f"Stop {names} first" if names else "Stop another model first"
    return LaunchRefused(
        f"{definition.name} {found.sentence}",
        "memory_short",
        {
            "available_gb": check.available_gb,
            "required_gb": check.required_gb,
            "hint": f"{first}, or start it with force and a reason.",
            "stop": [row.launch for row in found.stop],
            "sum": fit_json(found),
        },
    )


def fit_json(found: fit.Fit) -> dict[str, Any]:
    """The sum as JSON, for the API and to be kept with a launch."""
    return {**asdict(found), "can_start": found.can_start}


def _asked(definition: ModelDefinition, node: Node) -> Asked:
    kind, defaults = engine_kind(definition.engine), engine_defaults(definition.engine)
    data = DefinitionData(
        definition.slug, definition.model_id, definition.port, definition.image, definition.settings
    )
    estimate = definition.estimated_memory_gb
    peak, same = _peak(definition, node)
    return Asked(
        engine=definition.engine,
        settings=settings_merged(kind, data, defaults),
        image=image_chosen(kind, data, defaults),
        weights=weights_on(definition, node),
        estimate_bytes=round(float(estimate) * GIB / definition.node_count) if estimate is not None else None,
        node_count=definition.node_count,
        peak_bytes=peak,
        peak_same=same,
    )


def _peak(definition: ModelDefinition, node: Node) -> tuple[int | None, bool]:
    """The highest memory that earlier launches here took; of the same command where there are any."""
    rows = LaunchMember.objects.filter(
        attempt__launch__definition=definition, node=node, peak_memory_bytes__gt=0
    )
    recent = list(rows.order_by("-pk").only("peak_memory_bytes", "image", "spec")[:PEAKS_READ])
    if not recent:
        return None, False
    image, command = _command(definition, node)
    same = [row for row in recent if row.image == image and row.spec.get("command") == command]
    peak = 0
    for row in same or recent:
        peak = max(peak, row.peak_memory_bytes or 0)
    return peak, bool(same)


def _command(definition: ModelDefinition, node: Node) -> tuple[str, list[str] | None]:
    try:
        spec, _ = spec_plan(definition, node, EXAMPLE)
    except LaunchRefused:
        return "", None
    return spec.image, spec.command


def _others(definition: ModelDefinition, node: Node, waiting: Launch | None) -> list[Launch]:
    """Live launches of other definitions that hold memory of a node, or were promised some."""
    rows = launches_of_node(node).filter(live=True).exclude(definition=definition)
    if waiting is not None:
        rows = rows.filter(Q(pk__lt=waiting.pk) | Q(waits_for=""))
    return list(rows.select_related("definition"))


def _held(report: dict[str, Any], *, on_cards: bool) -> dict[str, int]:
    """Bytes that each launch holds now, by its uid: host and GPU together, on discrete cards the GPU's."""
    held: dict[str, int] = {}
    keys = ("gpu_memory_bytes",) if on_cards else ("memory_bytes", "gpu_memory_bytes")
    for entry in report.get("launches") or []:
        if isinstance(entry, dict) and isinstance(entry.get("launch"), str):
            amount = sum(entry.get(key) or 0 for key in keys)
            held[entry["launch"]] = held.get(entry["launch"], 0) + amount
    return held


def _claim(launch: Launch, held: dict[str, int], cards: int) -> fit.Claim | None:
    """What a launch that is still loading was promised beyond what it holds."""
    if launch.state not in LOADING or launch.desired != Desired.RUNNING or not launch.memory_needed_bytes:
        return None
    needed, its_cards = launch.memory_needed_bytes, (launch.memory_sum or {}).get("cards") or 1
    has = held.get(launch.uid, 0)
    left = needed - has // its_cards if cards else needed * its_cards - has
    return fit.Claim(launch.uid, launch.definition_slug, left) if left > 0 else None


def _running(launch: Launch, held: dict[str, int], cards: int) -> fit.Running:
    """What stopping a launch would give back: what it holds, and what it was promised while it loads."""
    its_cards = (launch.memory_sum or {}).get("cards") or 1
    has, needed = held.get(launch.uid, 0), (launch.memory_needed_bytes or 0) * its_cards
    amount = max(has, needed) if launch.state in LOADING or not has else has
    definition = launch.definition
    return fit.Running(
        launch=launch.uid,
        name=launch.definition_slug,
        bytes=amount // its_cards if cards else amount,
        priority=definition.priority if definition else 0,
        pinned=bool(definition and definition.pinned),
        age_seconds=(timezone.now() - launch.created_at).total_seconds(),
    )


def _with_stop(found: fit.Fit, stop: Iterable[fit.Running]) -> fit.Fit:
    return fit.Fit(
        **{**{name: getattr(found, name) for name in found.__dataclass_fields__}, "stop": tuple(stop)}
    )


def _gb(amount: int | None) -> float | None:
    return None if amount is None else round(amount / GIB, 1)
