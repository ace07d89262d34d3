"""vLLM's settings, by the names that vLLM gives them, and which image holds which vLLM.

Sources: `vllm serve --help` of 0.32, vLLM's engine arguments page; removals:
vLLM pull requests 36216 (swap space, 0.18), 29402 (disable-log-requests, 0.12) and
30011 (disable-access-log-for-endpoints, 0.16);
NGC contents: NVIDIA's vLLM release notes 25.10, 26.01, 26.03, 26.05, 26.10.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from models_app.engines.container import CONTAINER_SETTINGS
from models_app.engines.settings_schema import Setting, Version, settings_table

_DTYPES = ("auto", "half", "float16", "bfloat16", "float", "float32")

_ARGUMENTS = (
    Setting("max_model_len", "integer", "Context length in tokens.", "--max-model-len", low=1),
    Setting("max_num_seqs", "integer", "Requests served at the same time.", "--max-num-seqs", low=1),
    Setting(
        "max_num_batched_tokens", "integer", "Tokens computed in one step.", "--max-num-batched-tokens", low=1
    ),
    Setting(
        "gpu_memory_utilization",
        "number",
        "Share of the GPU's memory that vLLM takes; on a Spark of the unified memory.",
        "--gpu-memory-utilization",
        low=0.01,
        high=1,
    ),
    Setting(
        "kv_cache_memory_bytes",
        "integer",
        "Bytes of KV cache, instead of a share.",
        "--kv-cache-memory-bytes",
        low=1,
    ),
    Setting("kv_cache_dtype", "text", "Number format of the KV cache.", "--kv-cache-dtype"),
    Setting("block_size", "integer", "Tokens in a block of KV cache.", "--block-size", low=1),
    Setting("cpu_offload_gb", "number", "GiB of weights kept in host memory.", "--cpu-offload-gb", low=0),
    Setting(
        "swap_space",
        "number",
        "GiB of host memory for swapped requests.",
        "--swap-space",
        low=0,
        until=(0, 18),
    ),
    Setting("dtype", "text", "Number format of the weights.", "--dtype", choices=_DTYPES),
    Setting("quantization", "text", "Quantization method; found in the model if unset.", "--quantization"),
    Setting("load_format", "text", "How weights are read.", "--load-format"),
    Setting("safetensors_load_strategy", "text", "lazy, eager or prefetch.", "--safetensors-load-strategy"),
    Setting("revision", "text", "Branch, tag or commit of the model.", "--revision"),
    Setting("tokenizer", "text", "Tokenizer, if not the model's own.", "--tokenizer"),
    Setting("tokenizer_mode", "text", "auto, mistral, …", "--tokenizer-mode"),
    Setting("config_format", "text", "auto, hf or mistral.", "--config-format"),
    Setting("hf_overrides", "json", "Changes to the model's configuration.", "--hf-overrides"),
    Setting("chat_template", "text", "Chat template, a path inside the container.", "--chat-template"),
    Setting("generation_config", "text", "auto, vllm or a folder.", "--generation-config"),
    Setting("override_generation_config", "json", "Sampling defaults.", "--override-generation-config"),
    Setting(
        "tensor_parallel_size", "integer", "GPUs that share each layer.", "--tensor-parallel-size", low=1
    ),
    Setting(
        "pipeline_parallel_size",
        "integer",
        "Groups of layers on separate GPUs.",
        "--pipeline-parallel-size",
        low=1,
    ),
    Setting("data_parallel_size", "integer", "Copies of the model.", "--data-parallel-size", low=1),
    Setting("enable_expert_parallel", "boolean", "Spread experts over GPUs.", "--enable-expert-parallel"),
    Setting(
        "distributed_executor_backend",
        "text",
        "How workers are run.",
        "--distributed-executor-backend",
        choices=("ray", "mp", "uni", "external_launcher"),
    ),
    Setting("enforce_eager", "boolean", "No CUDA graphs: slower, less memory.", "--enforce-eager"),
    Setting(
        "enable_prefix_caching",
        "boolean",
        "Keep the KV cache of common beginnings.",
        "--enable-prefix-caching",
        "--no-enable-prefix-caching",
    ),
    Setting(
        "enable_chunked_prefill",
        "boolean",
        "Read long prompts in pieces.",
        "--enable-chunked-prefill",
        "--no-enable-chunked-prefill",
    ),
    Setting(
        "async_scheduling",
        "boolean",
        "Plan the next step early.",
        "--async-scheduling",
        "--no-async-scheduling",
    ),
    Setting("attention_backend", "text", "Attention implementation.", "--attention-backend"),
    Setting("moe_backend", "text", "Implementation of experts.", "--moe-backend"),
    Setting("speculative_config", "json", "Speculative decoding.", "--speculative-config"),
    Setting("compilation_config", "json", "Compilation and CUDA graphs.", "--compilation-config"),
    Setting("limit_mm_per_prompt", "json", "Images and videos in a prompt.", "--limit-mm-per-prompt"),
    Setting("mm_processor_kwargs", "json", "Options of the image processor.", "--mm-processor-kwargs"),
    Setting("enable_auto_tool_choice", "boolean", "Let the model call tools.", "--enable-auto-tool-choice"),
    Setting("tool_call_parser", "text", "hermes, mistral, qwen3_coder, qwen3_xml, …", "--tool-call-parser"),
    Setting("reasoning_parser", "text", "Where the model's thinking is cut out.", "--reasoning-parser"),
    Setting("enable_lora", "boolean", "Accept LoRA adapters.", "--enable-lora"),
    Setting("max_loras", "integer", "Adapters in one batch.", "--max-loras", low=1),
    Setting("max_lora_rank", "integer", "Largest rank of an adapter.", "--max-lora-rank", low=1),
    Setting("trust_remote_code", "boolean", "Run code that comes with the model.", "--trust-remote-code"),
    Setting("seed", "integer", "Seed of the random numbers.", "--seed"),
    Setting("enable_log_requests", "boolean", "Log each request.", "--enable-log-requests", since=(0, 11)),
    Setting("disable_log_requests", "boolean", "Log no requests.", "--disable-log-requests", until=(0, 12)),
    Setting("disable_log_stats", "boolean", "Log no statistics.", "--disable-log-stats"),
    Setting(
        "disable_access_log_for_endpoints",
        "text",
        "Paths, with commas, whose requests are not logged; what SparkWeb asks itself if unset.",
        "--disable-access-log-for-endpoints",
        since=(0, 16),
    ),
)

VLLM_SETTINGS = settings_table(*_ARGUMENTS, *CONTAINER_SETTINGS)

# Year and month of an NGC image, and the vLLM inside.
NGC_VERSIONS: tuple[tuple[tuple[int, int], Version], ...] = (
    ((25, 10), (0, 10)),
    ((26, 1), (0, 11)),
    ((26, 3), (0, 17)),
    ((26, 5), (0, 20)),
    ((26, 10), (0, 31)),
)


@dataclass(frozen=True)
class VersionSpan:
    """The oldest and newest vLLM that an image may hold, as (major, minor); None: not known."""

    oldest: Version | None = None
    newest: Version | None = None

    def refuses(self, setting: Setting) -> str | None:
        """Why a flag must be left out, or None. What may be gone is left out: a start must not break."""
        if setting.until and (self.newest is None or self.newest >= setting.until):
            sure = self.oldest is not None and self.oldest >= setting.until
            return f"left vLLM in {_dotted(setting.until)}" + ("" if sure else "; this image may be newer")
        if setting.since and self.oldest is not None and self.oldest < setting.since:
            sure = self.newest is not None and self.newest < setting.since
            return f"came with vLLM {_dotted(setting.since)}" + ("" if sure else "; this image may be older")
        return None


def vllm_versions(image: str) -> VersionSpan:
    """The vLLM inside an image as far as its tag tells.

    `vllm/vllm-openai:v0.11.0` says it itself; `nvcr.io/nvidia/vllm:26.05-py3` by
    NVIDIA's release notes, a month between two known ones as a span. Any other
    tag (latest, nightly, a private build) is unknown.
    """
    repository, _, tag = image.partition("@")[0].rpartition(":")
    if not repository or "/" in tag:
        return VersionSpan()
    if repository.endswith("nvidia/vllm") and (month := re.match(r"(\d\d)\.(\d\d)(?!\d)", tag)):
        return _ngc_versions((int(month[1]), int(month[2])))
    named = re.match(r"v?(\d{1,2})\.(\d{1,3})(?:\.|$|-|\+)", tag) if "vllm" in repository else None
    version = (int(named[1]), int(named[2])) if named else None
    return VersionSpan(version, version)


def _ngc_versions(month: tuple[int, int]) -> VersionSpan:
    older = [version for known, version in NGC_VERSIONS if known <= month]
    newer = [version for known, version in NGC_VERSIONS if known >= month]
    return VersionSpan(older[-1] if older else None, newer[0] if newer else None)


def _dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
