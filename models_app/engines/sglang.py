"""SGLang: from a definition and a node to the container that serves it. Pure.

Source: SGLang's server arguments, docs.sglang.io/advanced_features/server_arguments.html;
/health answers 503 until the first token was made (http_server.py).
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

ENGINE_PORT = 30000

_ARGUMENTS = (
    Setting("context_length", "integer", "Context length in tokens.", "--context-length", low=1),
    Setting(
        "max_running_requests",
        "integer",
        "Requests served at the same time.",
        "--max-running-requests",
        low=1,
    ),
    Setting(
        "mem_fraction_static",
        "number",
        "Share of the GPU's memory for weights and KV cache; on a Spark of the unified memory.",
        "--mem-fraction-static",
        low=0.01,
        high=1,
    ),
    Setting("max_total_tokens", "integer", "Tokens in the KV cache.", "--max-total-tokens", low=1),
    Setting(
        "chunked_prefill_size",
        "integer",
        "Tokens of a prompt read in one piece; -1 reads it whole.",
        "--chunked-prefill-size",
        low=-1,
    ),
    Setting("kv_cache_dtype", "text", "Number format of the KV cache.", "--kv-cache-dtype"),
    Setting(
        "dtype",
        "text",
        "Number format of the weights.",
        "--dtype",
        choices=("auto", "half", "float16", "bfloat16", "float", "float32"),
    ),
    Setting("quantization", "text", "Quantization method; found in the model if unset.", "--quantization"),
    Setting("load_format", "text", "How weights are read.", "--load-format"),
    Setting("revision", "text", "Branch, tag or commit of the model.", "--revision"),
    Setting("tokenizer_path", "text", "Tokenizer, if not the model's own.", "--tokenizer-path"),
    Setting("tp_size", "integer", "GPUs that share each layer.", "--tp-size", low=1),
    Setting("pp_size", "integer", "Groups of layers on separate GPUs.", "--pp-size", low=1),
    Setting("dp_size", "integer", "Copies of the model.", "--dp-size", low=1),
    Setting("ep_size", "integer", "GPUs that share the experts.", "--ep-size", low=1),
    Setting("schedule_policy", "text", "Which request is next: lpm, fcfs, …", "--schedule-policy"),
    Setting(
        "schedule_conservativeness",
        "number",
        "Above 1 fewer requests are taken at once.",
        "--schedule-conservativeness",
        low=0,
    ),
    Setting("attention_backend", "text", "Attention implementation.", "--attention-backend"),
    Setting("moe_runner_backend", "text", "Implementation of experts.", "--moe-runner-backend"),
    Setting("sampling_backend", "text", "Sampling implementation.", "--sampling-backend"),
    Setting("disable_cuda_graph", "boolean", "No CUDA graphs: slower, less memory.", "--disable-cuda-graph"),
    Setting("cuda_graph_max_bs", "integer", "Largest batch with a CUDA graph.", "--cuda-graph-max-bs", low=1),
    Setting(
        "disable_radix_cache", "boolean", "Do not keep the KV cache of prompts.", "--disable-radix-cache"
    ),
    Setting("enable_torch_compile", "boolean", "Compile with torch.compile.", "--enable-torch-compile"),
    Setting("speculative_algorithm", "text", "EAGLE, EAGLE3, NGRAM, …", "--speculative-algorithm"),
    Setting(
        "speculative_draft_model_path",
        "text",
        "Draft model of speculative decoding.",
        "--speculative-draft-model-path",
    ),
    Setting("speculative_num_steps", "integer", "Steps drafted ahead.", "--speculative-num-steps", low=1),
    Setting("tool_call_parser", "text", "qwen25, llama3, mistral, …", "--tool-call-parser"),
    Setting("reasoning_parser", "text", "Where the model's thinking is cut out.", "--reasoning-parser"),
    Setting("chat_template", "text", "Chat template, a name or a path inside.", "--chat-template"),
    Setting(
        "json_model_override_args",
        "json",
        "Changes to the model's configuration.",
        "--json-model-override-args",
    ),
    Setting("is_embedding", "boolean", "The model makes embeddings.", "--is-embedding"),
    Setting("trust_remote_code", "boolean", "Run code that comes with the model.", "--trust-remote-code"),
    Setting("random_seed", "integer", "Seed of the random numbers.", "--random-seed"),
    Setting("enable_metrics", "boolean", "Offer figures at /metrics.", "--enable-metrics"),
    Setting("log_requests", "boolean", "Log each request.", "--log-requests"),
)

SGLANG = EngineKind(
    name="sglang",
    label="SGLang",
    settings=settings_table(*_ARGUMENTS, *CONTAINER_SETTINGS),
    built_in={**SHARED_MEMORY_DEFAULTS, "enable_metrics": True},
    default_image="lmsysorg/sglang:latest-cu130",
    own={
        "host": "SparkWeb sets it",
        "port": "SparkWeb sets it; the definition's port is the one on the node",
        "served_model_name": "the model is served under the definition's name",
        "model_path": "the definition's model id is used",
        "api_key": "secrets do not belong in settings",
        "swap_space": "it is a setting of vLLM",
    },
    context="context_length",
    tools=("tool_call_parser",),
)


def sglang_spec(
    definition: DefinitionData, defaults: Mapping[str, Any], node: NodeData, launch: LaunchIds
) -> tuple[ContainerSpec, list[str]]:
    """The container that serves a definition on a node, and notes for its owner.

    Raises SettingsInvalid if a known setting has a value that cannot be used.
    """
    draft = draft_begin(SGLANG, definition, defaults, node, launch)
    own = [
        *("--model-path", definition.model_id, "--served-model-name", definition.slug),
        *("--host", ANY_ADDRESS, "--port", str(ENGINE_PORT)),
    ]
    spec, notes = container_finish(
        draft,
        engine_port=ENGINE_PORT,
        command=["python3", "-m", "sglang.launch_server", *own, *arguments(draft)],
        probe=ProbeSpec(kind="openai", port=definition.port, model=definition.slug),
        secret_env=hf_secret(draft),
        mounts=hf_mounts(draft),
    )
    return spec, [*notes, *hf_notes(draft)]
