"""Any image with its own argument vector: from a definition and a node to the container. Pure.

Nothing but image, arguments, environment and the port can be asked for: no
mounts, no devices, no other network. No secret of the node enters it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models_app.engines.container import (
    CONTAINER_DEFAULTS,
    CONTAINER_SETTINGS,
    EngineKind,
    container_finish,
    draft_begin,
)
from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.settings_schema import Setting, settings_table
from models_app.engines.spec import ContainerSpec, ProbeSpec

ENGINE_PORT = 8000
_NOT_POSSIBLE = "SparkWeb gives no container more of the machine than its engine needs"

CUSTOM = EngineKind(
    name="custom",
    label="Custom",
    settings=settings_table(
        Setting("command", "vector", "Arguments, one text each; the image's own if unset."),
        Setting("entrypoint", "vector", "Program to run instead of the image's own."),
        Setting("container_port", "integer", "Port that it listens on inside.", low=1, high=65535),
        Setting(
            "health_path", "path", "Path that answers 200 once it is ready; unset: ready as soon as it runs."
        ),
        *CONTAINER_SETTINGS,
    ),
    built_in={**CONTAINER_DEFAULTS, "container_port": ENGINE_PORT},
    own=dict.fromkeys(
        ("mounts", "volumes", "devices", "privileged", "network", "cap_add", "user"), _NOT_POSSIBLE
    ),
)


def custom_spec(
    definition: DefinitionData, defaults: Mapping[str, Any], node: NodeData, launch: LaunchIds
) -> tuple[ContainerSpec, list[str]]:
    """The container of a definition on a node, and notes for its owner.

    Raises SettingsInvalid without an image, and for values that cannot be used.
    """
    draft = draft_begin(CUSTOM, definition, defaults, node, launch)
    path = draft.settings.get("health_path")
    return container_finish(
        draft,
        engine_port=draft.settings.get("container_port", ENGINE_PORT),
        entrypoint=draft.settings.get("entrypoint") or None,
        command=list(draft.settings.get("command") or []),
        probe=ProbeSpec(
            kind="http" if path else "none", port=definition.port, path=path or "/", model=definition.model_id
        ),
    )
