"""llama.cpp's server: from a definition with a GGUF model to the container that serves it. Pure.

A model id such as `org/model-GGUF:Q4_K_M` is downloaded by the server; a path is
read as it is. Source: llama.cpp, tools/server/README.md; /health answers 503
until the model is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models_app.engines.container import (
    ANY_ADDRESS,
    CONTAINER_DEFAULTS,
    CONTAINER_SETTINGS,
    HF_CACHE_TARGET,
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

ENGINE_PORT = 8080
_CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")

_ARGUMENTS = (
    Setting(
        "ctx_size",
        "integer",
        "Context length in tokens, of all slots; 0: the model's own.",
        "--ctx-size",
        low=0,
    ),
    Setting("parallel", "integer", "Requests served at the same time (slots).", "--parallel", low=1),
    Setting(
        "n_gpu_layers", "integer", "Layers on the GPU; more than it has means all.", "--n-gpu-layers", low=0
    ),
    Setting("n_cpu_moe", "integer", "Layers whose experts stay on the CPU.", "--n-cpu-moe", low=0),
    Setting("batch_size", "integer", "Tokens of a prompt in one batch.", "--batch-size", low=1),
    Setting("ubatch_size", "integer", "Tokens computed in one step.", "--ubatch-size", low=1),
    Setting("flash_attn", "text", "Flash attention.", "--flash-attn", choices=("on", "off", "auto")),
    Setting("cache_type_k", "text", "Number format of the keys.", "--cache-type-k", choices=_CACHE_TYPES),
    Setting("cache_type_v", "text", "Number format of the values.", "--cache-type-v", choices=_CACHE_TYPES),
    Setting("hf_file", "text", "File of the repository, if not the default one.", "--hf-file"),
    Setting("mmproj", "text", "Projector of a vision model, a path inside.", "--mmproj"),
    Setting("no_mmap", "boolean", "Read the whole model instead of mapping it.", "--no-mmap"),
    Setting("mlock", "boolean", "Keep the model in memory.", "--mlock"),
    Setting("threads", "integer", "CPU threads.", "--threads", low=1),
    Setting("n_predict", "integer", "Most tokens of an answer; -1 is no limit.", "--n-predict", low=-1),
    Setting("jinja", "boolean", "Use the model's own chat template, with tools.", "--jinja", "--no-jinja"),
    Setting("chat_template", "text", "Chat template, by name.", "--chat-template"),
    Setting("chat_template_file", "text", "Chat template, a path inside.", "--chat-template-file"),
    Setting("chat_template_kwargs", "json", "Values for the chat template.", "--chat-template-kwargs"),
    Setting(
        "reasoning_format",
        "text",
        "Where the model's thinking goes.",
        "--reasoning-format",
        choices=("none", "auto", "deepseek", "deepseek-legacy"),
    ),
    Setting(
        "rope_scaling", "text", "none, linear or yarn.", "--rope-scaling", choices=("none", "linear", "yarn")
    ),
    Setting("rope_scale", "number", "Factor of the context's stretching.", "--rope-scale", low=0),
    Setting("embedding", "boolean", "Make embeddings only.", "--embedding"),
    Setting("reranking", "boolean", "Offer reranking.", "--reranking"),
    Setting(
        "pooling",
        "text",
        "How embeddings are pooled.",
        "--pooling",
        choices=("none", "mean", "cls", "last", "rank"),
    ),
    Setting("seed", "integer", "Seed of the random numbers.", "--seed"),
    Setting("metrics", "boolean", "Offer figures at /metrics.", "--metrics"),
    Setting("verbose", "boolean", "Log more.", "--verbose"),
    Setting(
        "entrypoint",
        "vector",
        "Program to run, as a list, for an image that does not start llama-server by itself.",
    ),
)

LLAMACPP = EngineKind(
    name="llamacpp",
    label="llama.cpp",
    settings=settings_table(*_ARGUMENTS, *CONTAINER_SETTINGS),
    built_in={**CONTAINER_DEFAULTS, "n_gpu_layers": 999, "metrics": True},
    default_image="ghcr.io/ggml-org/llama.cpp:server-cuda",
    own={
        "host": "SparkWeb sets it",
        "port": "SparkWeb sets it; the definition's port is the one on the node",
        "alias": "the model is served under the definition's name",
        "model": "the definition's model id is used",
        "hf_repo": "the definition's model id is used",
        "api_key": "secrets do not belong in settings",
        "swap_space": "it is a setting of vLLM",
    },
    context="ctx_size",
    tools=("jinja",),
)


def llamacpp_spec(
    definition: DefinitionData, defaults: Mapping[str, Any], node: NodeData, launch: LaunchIds
) -> tuple[ContainerSpec, list[str]]:
    """The container that serves a definition on a node, and notes for its owner.

    Raises SettingsInvalid if a known setting has a value that cannot be used.
    """
    draft = draft_begin(LLAMACPP, definition, defaults, node, launch)
    is_path = definition.model_id.startswith("/")
    own = [
        *("--model" if is_path else "--hf-repo", definition.model_id, "--alias", definition.slug),
        *("--host", ANY_ADDRESS, "--port", str(ENGINE_PORT)),
    ]
    spec, notes = container_finish(
        draft,
        engine_port=ENGINE_PORT,
        entrypoint=draft.settings.get("entrypoint") or None,
        command=[*own, *arguments(draft)],
        probe=ProbeSpec(kind="openai", port=definition.port, model=definition.slug),
        env={} if is_path else {"LLAMA_CACHE": f"{HF_CACHE_TARGET}/llama.cpp"},
        # It reads the token from the variable alone, and needs none for a path.
        secret_exports={} if is_path else hf_secret(draft),
        mounts=hf_mounts(draft),
    )
    return spec, [*notes, *hf_notes(draft)]
