"""TensorRT-LLM: from a definition and a node to the container that serves it. Pure.

Source: NVIDIA's trtllm-serve reference, nvidia.github.io/TensorRT-LLM/commands/trtllm-serve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models_app.engines.container import (
    ANY_ADDRESS,
    CONTAINER_SETTINGS,
    SHARED_MEMORY_DEFAULTS,
    EngineKind,
    arguments,
    container_finish,
    draft_begin,
    hf_mounts,
    hf_notes,
    hf_secret,
)
from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.settings_schema import Setting, settings_table
from models_app.engines.spec import ContainerSpec, ProbeSpec

ENGINE_PORT = 8000

_ARGUMENTS = (
    Setting("max_seq_len", "integer", "Context length in tokens, prompt and answer.", "--max_seq_len", low=1),
    Setting("max_batch_size", "integer", "Requests served at the same time.", "--max_batch_size", low=1),
    Setting("max_num_tokens", "integer", "Tokens computed in one step.", "--max_num_tokens", low=1),
    Setting(
        "kv_cache_free_gpu_memory_fraction",
        "number",
        "Share for the KV cache of what the weights leave free; on a Spark of the unified memory.",
        "--kv_cache_free_gpu_memory_fraction",
        low=0.01,
        high=1,
    ),
    Setting("backend", "text", "What computes.", "--backend", choices=("pytorch", "tensorrt", "_autodeploy")),
    Setting("tp_size", "integer", "GPUs that share each layer.", "--tp_size", low=1),
    Setting("pp_size", "integer", "Groups of layers on separate GPUs.", "--pp_size", low=1),
    Setting("ep_size", "integer", "GPUs that share the experts.", "--ep_size", low=1),
    Setting("tokenizer", "text", "Tokenizer, if not the model's own.", "--tokenizer"),
    Setting("tool_parser", "text", "qwen3, …; lets the model call tools.", "--tool_parser"),
    Setting("reasoning_parser", "text", "Where the model's thinking is cut out.", "--reasoning_parser"),
    Setting("chat_template", "text", "Chat template, a path inside.", "--chat_template"),
    Setting(
        "extra_llm_api_options",
        "text",
        "YAML file with more options, a path inside, such as one below /root/.cache/huggingface.",
        "--extra_llm_api_options",
    ),
    Setting("trust_remote_code", "boolean", "Run code that comes with the model.", "--trust_remote_code"),
    Setting("log_level", "text", "info, warning, debug, …", "--log_level"),
)

TRTLLM = EngineKind(
    name="trtllm",
    label="TensorRT-LLM",
    settings=settings_table(*_ARGUMENTS, *CONTAINER_SETTINGS),
    built_in=SHARED_MEMORY_DEFAULTS,
    default_image="nvcr.io/nvidia/tensorrt-llm/release:1.3.0rc13",
    own={
        "host": "SparkWeb sets it",
        "port": "SparkWeb sets it; the definition's port is the one on the node",
        "model": "the definition's model id is used",
        "served_model_name": "trtllm-serve uses the model id, and not every version takes another name",
        "swap_space": "it is a setting of vLLM",
    },
    context="max_seq_len",
    tools=("tool_parser",),
)


def trtllm_spec(
    definition: DefinitionData, defaults: Mapping[str, Any], node: NodeData, launch: LaunchIds
) -> tuple[ContainerSpec, list[str]]:
    """The container that serves a definition on a node, and notes for its owner.

    Raises SettingsInvalid if a known setting has a value that cannot be used.
    """
    draft = draft_begin(TRTLLM, definition, defaults, node, launch)
    spec, notes = container_finish(
        draft,
        engine_port=ENGINE_PORT,
        command=[
            *("trtllm-serve", definition.model_id, "--host", ANY_ADDRESS, "--port", str(ENGINE_PORT)),
            *arguments(draft),
        ],
        probe=ProbeSpec(kind="openai", port=definition.port, model=_served_name(definition.model_id)),
        secret_env=hf_secret(draft),
        mounts=hf_mounts(draft),
    )
    return spec, [*notes, *hf_notes(draft)]


def _served_name(model_id: str) -> str:
    """The name in /v1/models: a folder is served under its last part (openai_server.py)."""
    return model_id.rstrip("/").rpartition("/")[2] if model_id.startswith("/") else model_id
