"""NVIDIA NIM: from a definition and a node to the container that serves it. Pure.

The image is the model; settings travel as environment variables. Source: NVIDIA,
NIM for LLMs, configuration and environment variables.
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
    hf_secret,
)
from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.settings_schema import Setting, settings_table
from models_app.engines.spec import ContainerSpec, MountSpec, ProbeSpec

ENGINE_PORT = 8000
CACHE_TARGET = "/opt/nim/.cache"
KEY = "ngc_api_key"

_VARIABLES = (
    Setting("max_model_len", "integer", "Context length in tokens.", variable="NIM_MAX_MODEL_LEN", low=1),
    Setting(
        "model_profile",
        "text",
        "Profile to use instead of the one chosen by the GPU.",
        variable="NIM_MODEL_PROFILE",
    ),
    Setting(
        "model_path",
        "text",
        "Model for a NIM without one: hf://org/model, ngc://…",
        variable="NIM_MODEL_PATH",
    ),
    Setting(
        "tensor_parallel_size",
        "integer",
        "GPUs that share each layer.",
        variable="NIM_TENSOR_PARALLEL_SIZE",
        low=1,
    ),
    Setting(
        "pipeline_parallel_size",
        "integer",
        "Groups of layers on separate GPUs.",
        variable="NIM_PIPELINE_PARALLEL_SIZE",
        low=1,
    ),
    Setting(
        "kvcache_percent",
        "number",
        "Share of the GPU's memory for weights and KV cache (NIM 1).",
        variable="NIM_KVCACHE_PERCENT",
        low=0.01,
        high=1,
    ),
    Setting(
        "relax_mem_constraints",
        "boolean",
        "Start although memory looks short (NIM 1).",
        variable="NIM_RELAX_MEM_CONSTRAINTS",
    ),
    Setting(
        "disable_cuda_graph",
        "boolean",
        "No CUDA graphs: slower, less memory.",
        variable="NIM_DISABLE_CUDA_GRAPH",
    ),
    Setting(
        "enable_auto_tool_choice",
        "boolean",
        "Let the model call tools.",
        variable="NIM_ENABLE_AUTO_TOOL_CHOICE",
    ),
    Setting("tool_call_parser", "text", "How tool calls are read.", variable="NIM_TOOL_CALL_PARSER"),
    Setting(
        "log_level",
        "text",
        "How much is logged.",
        variable="NIM_LOG_LEVEL",
        choices=("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "DEFAULT"),
    ),
)

NIM = EngineKind(
    name="nim",
    label="NIM",
    settings=settings_table(*_VARIABLES, *CONTAINER_SETTINGS),
    built_in={**CONTAINER_DEFAULTS, "shm_size": "16g"},
    own={
        "served_model_name": "the model is served under the definition's name",
        "port": "SparkWeb sets it; the definition's port is the one on the node",
        "api_key": "secrets do not belong in settings",
        "swap_space": "it is a setting of vLLM",
    },
    context="max_model_len",
    tools=("enable_auto_tool_choice",),
)


def nim_spec(
    definition: DefinitionData, defaults: Mapping[str, Any], node: NodeData, launch: LaunchIds
) -> tuple[ContainerSpec, list[str]]:
    """The container of a NIM on a node, and notes for its owner.

    It runs as the agent's user, as NVIDIA's `-u $(id -u)`, so that it can write to
    the cache. The key enters as a file that a shell reads inside. Raises
    SettingsInvalid without an image, and for values that cannot be used.
    """
    draft = draft_begin(NIM, definition, defaults, node, launch)
    has_key = KEY in node.secrets
    spec, notes = container_finish(
        draft,
        engine_port=ENGINE_PORT,
        command=[],
        probe=ProbeSpec(kind="http", port=definition.port, path="/v1/health/ready", model=definition.slug),
        env={"NIM_SERVED_MODEL_NAME": definition.slug},
        secret_exports=({"NGC_API_KEY": KEY} if has_key else {}) | hf_secret(draft),
        user="agent",
        mounts=[MountSpec(node.nim_cache, CACHE_TARGET)] if node.nim_cache else [],
    )
    if not has_key:
        notes.append(
            f"{node.name} has no secret {KEY}, without which most NIMs download nothing; "
            "put the key as a file into its secrets folder"
        )
    if not node.nim_cache:
        notes.append(f"{node.name} names no NIM cache, so each start downloads the model again")
    return spec, notes
