"""Ollama: from a definition and a node to a server that holds one model. Pure.

The server starts without the model; the agent has it pulled once the server
answers (models_app/node/model_pulls.py). Settings travel as environment
variables. Source: Ollama, envconfig/config.go; server/routes.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models_app.engines.container import (
    ANY_ADDRESS,
    CONTAINER_DEFAULTS,
    CONTAINER_SETTINGS,
    EngineKind,
    container_finish,
    draft_begin,
)
from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.settings_schema import Setting, settings_table
from models_app.engines.spec import ContainerSpec, MountSpec, ProbeSpec

ENGINE_PORT = 11434
MODELS_TARGET = "/root/.ollama"

_VARIABLES = (
    Setting(
        "keep_alive",
        "duration",
        "How long an unused model stays in memory: 5m, 24h; 0 unloads at once, -1 never.",
        variable="OLLAMA_KEEP_ALIVE",
    ),
    Setting(
        "context_length", "integer", "Context length in tokens.", variable="OLLAMA_CONTEXT_LENGTH", low=1
    ),
    Setting(
        "num_parallel", "integer", "Requests served at the same time.", variable="OLLAMA_NUM_PARALLEL", low=1
    ),
    Setting(
        "max_queue", "integer", "Requests that may wait; more get 503.", variable="OLLAMA_MAX_QUEUE", low=1
    ),
    Setting(
        "max_loaded_models",
        "integer",
        "Models in memory at the same time.",
        variable="OLLAMA_MAX_LOADED_MODELS",
        low=1,
    ),
    Setting("flash_attention", "boolean", "Flash attention.", variable="OLLAMA_FLASH_ATTENTION"),
    Setting(
        "kv_cache_type",
        "text",
        "Number format of the KV cache; needs flash attention.",
        variable="OLLAMA_KV_CACHE_TYPE",
        choices=("f16", "q8_0", "q4_0"),
    ),
    Setting("load_timeout", "duration", "How long loading may stand still.", variable="OLLAMA_LOAD_TIMEOUT"),
    Setting("gpu_overhead", "integer", "Bytes of each GPU left free.", variable="OLLAMA_GPU_OVERHEAD", low=0),
    Setting("sched_spread", "boolean", "Use all GPUs for each model.", variable="OLLAMA_SCHED_SPREAD"),
    Setting("debug", "boolean", "Log more.", variable="OLLAMA_DEBUG"),
)

OLLAMA = EngineKind(
    name="ollama",
    label="Ollama",
    settings=settings_table(*_VARIABLES, *CONTAINER_SETTINGS),
    built_in=CONTAINER_DEFAULTS,
    default_image="ollama/ollama",
    own={
        "host": "SparkWeb sets it",
        "port": "SparkWeb sets it; the definition's port is the one on the node",
        "model": "the definition's model id is pulled",
        "swap_space": "it is a setting of vLLM",
    },
    context="context_length",
)


def ollama_spec(
    definition: DefinitionData, defaults: Mapping[str, Any], node: NodeData, launch: LaunchIds
) -> tuple[ContainerSpec, list[str]]:
    """The server for a definition on a node, and notes for its owner.

    Raises SettingsInvalid if a known setting has a value that cannot be used.
    """
    draft = draft_begin(OLLAMA, definition, defaults, node, launch)
    spec, notes = container_finish(
        draft,
        engine_port=ENGINE_PORT,
        command=["serve"],
        probe=ProbeSpec(kind="ollama", port=definition.port, path="/api/tags", model=definition.model_id),
        env={"OLLAMA_HOST": f"{ANY_ADDRESS}:{ENGINE_PORT}"},
        mounts=[MountSpec(node.ollama_models, MODELS_TARGET)] if node.ollama_models else [],
    )
    if not node.ollama_models:
        notes.append(f"{node.name} names no folder for Ollama, so each start downloads the model again")
    return spec, notes
