"""Preflights: nodes are asked, their answers stored, the verdict drawn."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from metrics_app.models import Node
from models_app.engines.container import HF_CACHE_TARGET
from models_app.engines.spec import ContainerSpec
from models_app.exceptions import LaunchRefused
from models_app.fabric import fabric_of
from models_app.memory import memory_check
from models_app.models import ModelDefinition
from models_app.models_preflight import Preflight
from models_app.planning import EXAMPLE, engine_defaults, group_ids, node_data, spec_plan
from models_app.preflight import Check, Place, is_passed, preflight_checks, refusal_sentence
from sparkweb.accounts.actor import Actor, audit
from sparkweb.node_link import commands

ANSWER_SECONDS = 15.0
LOOK_EVERY_SECONDS = 0.1
GOOD_FOR = timedelta(seconds=60)
KEEP_FOR = timedelta(days=30)
# A waiter holds a thread of its process.
_WAITERS = threading.BoundedSemaphore(4)


def preflight_run(
    *, definition: ModelDefinition, nodes: Sequence[Node], actor: Actor, memory: bool = True
) -> Preflight:
    """Ask each node what it finds, wait up to 15 s for the answers, and store the verdict.

    Without `memory` that is not looked at: a start does so by itself. Raises
    LaunchRefused as spec_plan, and preflight_busy while four others wait.
    """
    if len(nodes) < 2:
        raise LaunchRefused(f"{definition.name} lies on one node; there is no link to check", "nodes_wanted")
    if not _WAITERS.acquire(blocking=False):
        raise LaunchRefused("four preflights are waiting already; try again in a moment", "preflight_busy")
    try:
        specs = _specs(definition, nodes)
        preflight = _begin(definition, nodes, actor)
        for node, spec in zip(nodes, specs, strict=True):
            commands.send(
                node.name, "models.group_check", question=_question(preflight, definition, nodes, node, spec)
            )
        _answers_wait(preflight)
        places = [_place(definition, node, preflight.answers.get(node.name), memory) for node in nodes]
        return _conclude(preflight, definition, places, specs[0], memory)
    finally:
        _WAITERS.release()


def preflight_require(*, definition: ModelDefinition, nodes: Sequence[Node], actor: Actor) -> Preflight:
    """Return a passed preflight, of the last minute or run now. Raises LaunchRefused preflight_failed."""
    names = [node.name for node in nodes]
    recent = Preflight.objects.filter(definition=definition, created_at__gte=timezone.now() - GOOD_FOR)
    newest = next((one for one in recent if one.nodes == names), None)
    done = newest if newest and newest.passed else None
    preflight = done or preflight_run(definition=definition, nodes=nodes, actor=actor, memory=False)
    if not preflight.passed:
        raise LaunchRefused(
            refusal_sentence(definition.name, names, [Check(**check) for check in preflight.checks]),
            "preflight_failed",
            {"preflight": preflight.uid, "checks": preflight.checks},
        )
    return preflight


def _specs(definition: ModelDefinition, nodes: Sequence[Node]) -> list[ContainerSpec]:
    planned = [
        spec_plan(definition, node, ids)[0]
        for node, ids in zip(nodes, group_ids(EXAMPLE, nodes), strict=True)
    ]
    return [spec for spec in planned if isinstance(spec, ContainerSpec)]


def _begin(definition: ModelDefinition, nodes: Sequence[Node], actor: Actor) -> Preflight:
    Preflight.objects.filter(created_at__lt=timezone.now() - KEEP_FOR).delete()
    preflight = Preflight.objects.create(
        definition=definition,
        definition_slug=definition.slug,
        nodes=[node.name for node in nodes],
        requested_by=actor.user,
    )
    audit(actor, "preflight", definition.slug, nodes=preflight.nodes)
    return preflight


def _question(
    preflight: Preflight,
    definition: ModelDefinition,
    nodes: Sequence[Node],
    node: Node,
    spec: ContainerSpec,
) -> dict[str, Any]:
    return {
        "check": preflight.uid,
        "address": node.fabric_address,
        "peers": {one.name: one.fabric_address for one in nodes if one.pk != node.pk},
        "image": spec.image,
        "ports": [[port.address, port.host] for port in spec.ports],
        "weights": _weights(definition, spec),
    }


def _weights(definition: ModelDefinition, spec: ContainerSpec) -> dict[str, str] | None:
    cache = next((mount.source for mount in spec.mounts if mount.target == HF_CACHE_TARGET), None)
    if cache is None or definition.model_id.startswith("/"):
        return None
    effective = engine_defaults(definition.engine) | definition.settings
    return {
        "cache": cache,
        "model": definition.model_id,
        "revision": str(effective.get("revision") or "main"),
    }


def _answers_wait(preflight: Preflight) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        preflight.refresh_from_db(fields=["answers"])
        if len(preflight.answers) == len(preflight.nodes):
            return
        time.sleep(LOOK_EVERY_SECONDS)


def _conclude(
    preflight: Preflight,
    definition: ModelDefinition,
    places: Sequence[Place],
    spec: ContainerSpec,
    memory: bool,
) -> Preflight:
    weights = definition.model_id if _weights(definition, spec) else None
    checks = preflight_checks(places, spec.image, weights=weights, memory=memory)
    preflight.checks = [asdict(check) for check in checks]
    preflight.passed = is_passed(checks)
    preflight.save(update_fields=["checks", "passed"])
    return preflight


def _place(definition: ModelDefinition, node: Node, answer: dict[str, Any] | None, memory: bool) -> Place:
    """A node with its link as it answered, which is newer than what was stored of its reports."""
    fabric = node_data(node).fabric
    if answer:
        told = {"fabric": {"links": answer.get("links") or [], "has_devices": answer.get("has_devices")}}
        fabric = fabric_of(told, node.fabric_address, node.fabric_interface)
    problem = memory_check(definition, node).error if memory else None
    return Place(node.name, fabric, answer, problem)


def group_checked(node_name: str, data: dict[str, Any]) -> None:
    """Fact of a node: its answer to a preflight that asked it. What came too late changes nothing."""
    rows = Preflight.objects.select_for_update().filter(uid=str(data.get("check", ""))[:16], passed=None)
    with transaction.atomic():
        preflight = rows.first()
        if preflight and node_name in preflight.nodes:
            preflight.answers[node_name] = _without_nul(data)
            preflight.save(update_fields=["answers"])


def _without_nul(value: Any) -> Any:
    """PostgreSQL stores no NUL in JSON, not even escaped."""
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, dict):
        return {str(_without_nul(key)): _without_nul(one) for key, one in value.items()}
    return [_without_nul(one) for one in value] if isinstance(value, list) else value
