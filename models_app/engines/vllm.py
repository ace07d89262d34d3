"""vLLM: from a definition and a node to the container that serves it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models_app.engines.container import (
    ANY_ADDRESS,
    SHARED_MEMORY_DEFAULTS,
    Draft,
    EngineKind,
    arguments,
    container_finish,
    draft_begin,
    hf_mounts,
    hf_notes,
    hf_secret,
)
from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.spec import ContainerSpec, ProbeSpec
from models_app.engines.vllm_multinode import RankPlan, rank_plan
from models_app.engines.vllm_settings import VLLM_SETTINGS, vllm_versions

ENGINE_PORT = 8000
# What SparkWeb itself asks a ready engine every few seconds; each question would be a line of its log.
QUIET_FLAG, QUIET_PATHS = "--disable-access-log-for-endpoints", "/health,/metrics"

VLLM = EngineKind(
    name="vllm",
    label="vLLM",
    settings=VLLM_SETTINGS,
    built_in=SHARED_MEMORY_DEFAULTS,
    default_image="nvcr.io/nvidia/vllm:25.11-py3",
    own={
        "host": "SparkWeb sets it",
        "port": "SparkWeb sets it; the definition's port is the one on the node",
        "served_model_name": "the model is served under the definition's name",
        "model": "the definition's model id is used",
        "api_key": "secrets do not belong in settings",
    },
    common=(
        "max_model_len",
        "max_num_seqs",
        "gpu_memory_utilization",
        "kv_cache_dtype",
        "dtype",
        "quantization",
        "tensor_parallel_size",
        "enforce_eager",
        "enable_prefix_caching",
        "enable_chunked_prefill",
        "trust_remote_code",
        "enable_auto_tool_choice",
        "tool_call_parser",
        "reasoning_parser",
        "restart_policy",
        "gpus",
        "ipc",
        "shm_size",
    ),
    context="max_model_len",
    tools=("enable_auto_tool_choice",),
)


def vllm_spec(
    definition: DefinitionData, defaults: Mapping[str, Any], node: NodeData, launch: LaunchIds
) -> tuple[ContainerSpec, list[str]]:
    """The container that serves a definition on a node, and notes for its owner.

    Notes say what was left out and why: settings that SparkWeb does not know,
    flags that the image's vLLM refuses or may refuse, ports open without a key.
    Raises SettingsInvalid if a known setting has a value that cannot be used.
    """
    draft = draft_begin(VLLM, definition, defaults, node, launch)
    if launch.spans_nodes:
        return _rank_spec(draft, rank_plan(draft))
    own = ["--host", ANY_ADDRESS, "--port", str(ENGINE_PORT), *_quiet(draft)]
    entrypoint, command = _serve(draft, own)
    spec, notes = container_finish(
        draft,
        engine_port=ENGINE_PORT,
        entrypoint=entrypoint,
        command=command,
        probe=ProbeSpec(kind="openai", port=definition.port, model=definition.slug),
        secret_env=hf_secret(draft),
        mounts=hf_mounts(draft),
    )
    return spec, [*notes, *hf_notes(draft)]


def _rank_spec(draft: Draft, plan: RankPlan) -> tuple[ContainerSpec, list[str]]:
    """One rank of a model that lies on several nodes; followers answer nobody."""
    port = draft.definition.port
    own = ["--host", plan.host, "--port", str(port), *_quiet(draft)] if plan.serves else []
    entrypoint, command = _serve(draft, own + plan.arguments)
    if plan.before:
        entrypoint, command = plan.before, [*(entrypoint or []), *command]
    if plan.instead:
        entrypoint, command = plan.instead[:1], plan.instead[1:]
    probe = ProbeSpec(kind="openai", port=port, model=draft.definition.slug, host=plan.host)
    spec, notes = container_finish(
        draft,
        engine_port=port,
        entrypoint=entrypoint,
        command=command,
        probe=probe if plan.serves else ProbeSpec(kind="none", port=port),
        env=plan.env,
        secret_env=hf_secret(draft),
        mounts=hf_mounts(draft),
        host_ports=plan.ports,
        devices=plan.devices,
    )
    return spec, [*notes, *plan.notes, *hf_notes(draft)]


def _serve(draft: Draft, own: list[str]) -> tuple[list[str] | None, list[str]]:
    """Entrypoint and command of `vllm serve`."""
    serve = ["vllm", "serve"]
    # Older vllm/vllm-openai images start api_server, which takes no model by position: name the entrypoint.
    entrypoint = serve if _is_openai_image(draft.image) else None
    flags = arguments(draft, vllm_versions(draft.image).refuses)
    named = ["--served-model-name", draft.definition.slug]
    return entrypoint, [*([] if entrypoint else serve), draft.definition.model_id, *named, *own, *flags]


def _quiet(draft: Draft) -> list[str]:
    """Keep SparkWeb's own questions out of the log, where the image's vLLM surely knows the flag."""
    setting = VLLM_SETTINGS["disable_access_log_for_endpoints"]
    oldest = vllm_versions(draft.image).oldest
    if setting.name in draft.settings or oldest is None or setting.since is None or oldest < setting.since:
        return []
    return [QUIET_FLAG, QUIET_PATHS]


def _is_openai_image(image: str) -> bool:
    repository = image.partition("@")[0]
    head, _, last = repository.rpartition("/")
    return f"{head}/{last.partition(':')[0]}".endswith("vllm/vllm-openai")
