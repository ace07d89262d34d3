"""Under what conditions a container began: kept with its member, so that runs can be compared later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metrics_app.models import Node
from metrics_app.selectors import node_snapshots
from models_app.engines.container import settings_merged
from models_app.engines.inputs import DefinitionData
from models_app.engines.registry import engine_kind
from models_app.models import Launch, LaunchMember, ModelDefinition
from models_app.planning import engine_defaults, with_overlay

Free = dict[str, int | None]
"""Available memory in bytes by node name; None where nobody knows it."""


def memory_free(nodes: Sequence[Node]) -> Free:
    """Read what each node has left right now. It asks Redis: call it before a transaction begins."""
    snapshots = node_snapshots([node.name for node in nodes])
    return {name: _available(snapshot) for name, snapshot in snapshots.items()}


def _available(snapshot: dict[str, Any] | None) -> int | None:
    host = (snapshot["report"].get("host") or {}) if snapshot else {}
    value = host.get("memory_available_bytes")
    return value if isinstance(value, int) else None


def conditions_note(launch: Launch, members: Sequence[LaunchMember], free: Free) -> None:
    """Write into each unsaved member of a launch what holds as it begins."""
    if launch.definition is None:
        return
    settings = settings_that_count(with_overlay(launch.definition, launch.settings_overlay))
    for member in members:
        member.conditions = {"settings": settings, **_node_conditions(member.node, free)}


def settings_that_count(definition: ModelDefinition) -> dict[str, Any]:
    """Return a definition's settings over the catalogue's defaults and the engine's own."""
    data = DefinitionData(
        definition.slug, definition.model_id, definition.port, definition.image, definition.settings
    )
    return settings_merged(engine_kind(definition.engine), data, engine_defaults(definition.engine))


def _node_conditions(node: Node | None, free: Free) -> dict[str, Any]:
    if node is None:
        return {}
    capabilities = node.capabilities or {}
    gpu, docker = capabilities.get("gpu") or {}, capabilities.get("docker") or {}
    return {
        "driver": gpu.get("driver"),
        "cuda": gpu.get("cuda"),
        "docker": docker.get("version"),
        "agent_version": node.agent_version,
        "memory_available_bytes": free.get(node.name),
    }
