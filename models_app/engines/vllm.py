"""vLLM: from a definition and a node to the container that serves it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.settings_schema import (
    Setting,
    SettingsInvalid,
    as_boolean,
    settings_problems,
    size_bytes,
)
from models_app.engines.spec import ContainerSpec, MountSpec, PortSpec, ProbeSpec
from models_app.engines.vllm_settings import VLLM_SETTINGS, VersionSpan, vllm_versions

ENGINE_PORT = 8000
HF_CACHE_TARGET = "/root/.cache/huggingface"
DEFAULT_IMAGE = "nvcr.io/nvidia/vllm:25.11-py3"
BUILT_IN: dict[str, Any] = {
    "restart_policy": "unless-stopped",
    "gpus": "all",
    "ipc": "host",
    "ulimit_memlock": -1,
    "ulimit_stack": 67108864,
}
# Options that SparkWeb sets itself, and why a setting of that name has no effect.
OWN = {
    "host": "SparkWeb sets it",
    "port": "SparkWeb sets it; the definition's port is the one on the node",
    "served_model_name": "the model is served under the definition's name",
    "model": "the definition's model id is used",
    "api_key": "secrets do not belong in settings",
}


def vllm_settings(definition: DefinitionData, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that count: built in, overlaid by `defaults`, then by the definition's own.

    `defaults` is what the catalogue says for all of vLLM. An empty value takes
    the setting back.
    """
    merged = {**BUILT_IN, **defaults, **definition.settings}
    return {name: value for name, value in merged.items() if value is not None and name != "image"}


def vllm_image(definition: DefinitionData, defaults: Mapping[str, Any]) -> str:
    """The image: the definition's, else the catalogue's default, else NVIDIA's of 25.11."""
    return definition.image or defaults.get("image") or DEFAULT_IMAGE


def vllm_spec(
    definition: DefinitionData, defaults: Mapping[str, Any], node: NodeData, launch: LaunchIds
) -> tuple[ContainerSpec, list[str]]:
    """The container that serves a definition on a node, and notes for its owner.

    Notes say what was left out and why: settings that SparkWeb does not know,
    flags that the image's vLLM refuses or may refuse, ports open without a key.
    Raises SettingsInvalid if a known setting has a value that cannot be used.
    """
    settings = vllm_settings(definition, defaults)
    problems = settings_problems(VLLM_SETTINGS, settings)
    if problems:
        raise SettingsInvalid([f"{definition.slug}: {name}: {problem}" for name, problem in problems])
    image = vllm_image(definition, defaults)
    arguments, notes = _arguments(settings, vllm_versions(image))
    serve = ["vllm", "serve"]
    # Older vllm/vllm-openai images start api_server, which takes no model by position: name the entrypoint.
    entrypoint = serve if _is_openai_image(image) else None
    ports, port_notes = _ports(definition, node)
    spec = ContainerSpec(
        launch=launch.launch,
        member=launch.member,
        generation=launch.generation,
        installation=launch.installation,
        node=node.name,
        slug=definition.slug,
        name=launch.container_name(definition.slug),
        image=image,
        entrypoint=entrypoint,
        command=[
            *([] if entrypoint else serve),
            definition.model_id,
            *_own_arguments(definition),
            *arguments,
        ],
        probe=ProbeSpec(kind="openai", port=definition.port, model=definition.slug),
        env=_environment(settings),
        secret_env={"HF_TOKEN": "hf_token"} if "hf_token" in node.secrets else {},
        ports=ports,
        mounts=_mounts(definition, node),
        gpus="all" if settings.get("gpus") == "all" else None,
        ipc="host" if settings.get("ipc") == "host" else None,
        shm_bytes=size_bytes(settings.get("shm_size")),
        ulimits=_ulimits(settings),
    )
    return spec, [*notes, *port_notes, *_container_notes(definition, settings, node)]


def _is_openai_image(image: str) -> bool:
    repository = image.partition("@")[0]
    head, _, last = repository.rpartition("/")
    return f"{head}/{last.partition(':')[0]}".endswith("vllm/vllm-openai")


def _own_arguments(definition: DefinitionData) -> list[str]:
    return ["--served-model-name", definition.slug, "--host", "0.0.0.0", "--port", str(ENGINE_PORT)]  # noqa: S104


def _arguments(settings: Mapping[str, Any], versions: VersionSpan) -> tuple[list[str], list[str]]:
    """Flags in the table's order, and notes on what has none or must be left out."""
    arguments: list[str] = []
    notes = [_ignored(name) for name in settings if name not in VLLM_SETTINGS]
    for name, setting in VLLM_SETTINGS.items():
        if setting.flag is None or name not in settings:
            continue
        words = _flag(setting, settings[name])
        reason = versions.refuses(setting) if words else None
        if reason:
            notes.append(f"{name} is left out: {setting.flag} {reason}")
        else:
            arguments += words
    return arguments, notes


def _ignored(name: str) -> str:
    return f"{name} is ignored: {OWN.get(name, 'SparkWeb knows no vLLM setting of this name')}"


def _flag(setting: Setting, value: Any) -> list[str]:
    if setting.kind == "boolean":
        word = setting.flag if as_boolean(value) else setting.off_flag
        return [word] if word else []
    text = json.dumps(value, separators=(",", ":")) if isinstance(value, dict | list) else str(value)
    return [str(setting.flag), text]


def _ports(definition: DefinitionData, node: NodeData) -> tuple[list[PortSpec], list[str]]:
    ports = [PortSpec(ENGINE_PORT, definition.port)]
    if definition.publish == "local":
        return ports, []
    word, address = {
        "lan": ("LAN", node.lan_address),
        "fabric": ("fabric", node.fabric_address),
    }[definition.publish]
    if not address:
        note = f"{node.name} has no {word} address, so the port is published on 127.0.0.1 only"
        return ports, [f"{note}; enter the address on the node's page"]
    ports.append(PortSpec(ENGINE_PORT, definition.port, address))
    return ports, [f"{address}:{definition.port} answers everyone on the {word}, without a key"]


def _mounts(definition: DefinitionData, node: NodeData) -> list[MountSpec]:
    """The Hugging Face cache, unless the model is a path inside the image."""
    if node.hf_cache is None or definition.model_id.startswith("/"):
        return []
    return [MountSpec(node.hf_cache, HF_CACHE_TARGET)]


def _environment(settings: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in settings.get("env", {}).items()
    }


def _ulimits(settings: Mapping[str, Any]) -> dict[str, int]:
    limits = {"memlock": settings.get("ulimit_memlock"), "stack": settings.get("ulimit_stack")}
    return {name: value for name, value in limits.items() if value is not None}


def _container_notes(definition: DefinitionData, settings: Mapping[str, Any], node: NodeData) -> list[str]:
    notes = []
    if "shm_size" in settings and settings.get("ipc") == "host":
        notes.append("shm_size has no effect with ipc: host; set ipc: private to use it")
    if settings.get("gpus") == "all" and node.gpu_runtime is False:
        notes.append(f"Docker on {node.name} offers no GPUs; set gpus: none to run without")
    if node.hf_cache is None and not definition.model_id.startswith("/"):
        notes.append(f"{node.name} names no Hugging Face cache, so each start downloads the model again")
    return notes
