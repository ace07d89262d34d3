"""From a definition and a node in the database to the container spec of one attempt."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from django.conf import settings

from metrics_app.models import Node
from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.registry import SPANNING_ENGINES, SPECS
from models_app.engines.settings_schema import SettingsInvalid
from models_app.engines.spec import ContainerSpec
from models_app.engines.specs import LaunchSpec
from models_app.exceptions import LaunchRefused
from models_app.fabric import fabric_of
from models_app.models import CatalogueDefaults, Launch, LaunchMember, ModelDefinition
from models_app.node.identity import rank_labels
from sparkweb.installation import installation_read

EXAMPLE = LaunchIds(launch="0" * 16, member="0" * 16, generation=1, installation="0" * 8, attempt=1)


def engine_defaults(engine: str) -> dict[str, Any]:
    """Return the defaults that models.yaml gives for an engine."""
    row = CatalogueDefaults.objects.first()
    return dict((row.defaults if row else {}).get(engine) or {})


def restarts_by_itself(definition: ModelDefinition) -> bool:
    """Say whether the desired state of a launch survives a crash or reboot."""
    effective = engine_defaults(definition.engine) | definition.settings
    return effective.get("restart_policy", "unless-stopped") in ("unless-stopped", "always", "on-failure")


def spec_plan(definition: ModelDefinition, node: Node, ids: LaunchIds) -> tuple[LaunchSpec, list[str]]:
    """Return the spec of what runs and the notes on it. Raises LaunchRefused where there can be none."""
    if ids.spans_nodes and definition.engine not in SPANNING_ENGINES:
        raise LaunchRefused(
            f"{definition.name} runs on one node: {definition.get_engine_display()} cannot span several",
            "engine_single_node",
        )
    try:
        return SPECS[definition.engine](
            DefinitionData(
                slug=definition.slug,
                model_id=definition.model_id,
                image=definition.image,
                port=definition.port,
                settings=definition.settings,
                publish=definition.publish,
                script_dir=definition.script_dir,
            ),
            engine_defaults(definition.engine),
            node_data(node),
            ids,
        )
    except SettingsInvalid as error:
        raise LaunchRefused(f"{definition.name}: {error}", "settings_invalid") from error


def node_data(node: Node) -> NodeData:
    """Return a node as engines see it."""
    capabilities = node.capabilities or {}
    return NodeData(
        name=node.name,
        hf_cache=capabilities.get("hf_cache"),
        secrets=tuple(capabilities.get("secrets") or ()),
        lan_address=node.lan_address,
        fabric_address=node.fabric_address,
        gpu_runtime=(capabilities.get("docker") or {}).get("gpu_runtime"),
        ollama_models=capabilities.get("ollama_models"),
        nim_cache=capabilities.get("nim_cache"),
        fabric=fabric_of(capabilities, node.fabric_address, node.fabric_interface),
        scripts_dir=capabilities.get("scripts_dir"),
    )


def group_ids(ids: LaunchIds, nodes: Sequence[Node]) -> list[LaunchIds]:
    """Return the ids of each rank of a launch on `nodes`, of which the first has rank 0."""
    data = tuple(map(node_data, nodes)) if len(nodes) > 1 else ()
    return [replace(ids, rank=rank, nodes=data) for rank in range(len(nodes))]


def with_overlay(definition: ModelDefinition, overlay: dict[str, Any]) -> ModelDefinition:
    """Return a definition with a launch's own settings over its own; it is a copy, never to be saved."""
    if not overlay:
        return definition
    planned = copy(definition)
    planned.settings = definition.settings | overlay
    return planned


def members_plan(launch: Launch, nodes: Sequence[Node], number: int) -> list[LaunchMember]:
    """Return the unsaved members of a launch's attempt `number`, one for each node, specs within."""
    if launch.definition is None or not nodes:
        raise LaunchRefused(
            f"{launch} cannot start again: its definition or node was deleted", "definition_gone"
        )
    definition = with_overlay(launch.definition, launch.settings_overlay)
    common = LaunchIds(
        launch=launch.uid,
        member="",
        generation=launch.generation,
        installation=installation_read(settings.DATA_DIR),
        attempt=number,
    )
    return [
        _member_plan(definition, node, ids) for node, ids in zip(nodes, group_ids(common, nodes), strict=True)
    ]


def _member_plan(definition: ModelDefinition, node: Node, ids: LaunchIds) -> LaunchMember:
    member = LaunchMember(node=node, rank=ids.rank, port=definition.port)
    spec, notes = spec_plan(definition, node, replace(ids, member=member.uid))
    if isinstance(spec, ContainerSpec):
        spec = replace(spec, labels={**spec.labels, **rank_labels(definition.priority, definition.pinned)})
    member.container_name, member.image, member.notes = spec.name, spec.image, notes
    member.spec = spec.to_json()
    return member
