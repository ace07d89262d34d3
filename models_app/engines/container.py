"""What all engines that run in a container share: from settings to the container's parts. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models_app.engines.images import image_problem
from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.settings_schema import (
    Setting,
    SettingsInvalid,
    as_boolean,
    settings_problems,
    size_bytes,
)
from models_app.engines.spec import WEIGHTS_LABEL, ContainerSpec, MountSpec, PortSpec, ProbeSpec

HF_CACHE_TARGET = "/root/.cache/huggingface"
_HF_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
ANY_ADDRESS = "0.0.0.0"  # noqa: S104  inside the container; Docker publishes where the definition says
_RESTART = ("no", "always", "unless-stopped", "on-failure")

CONTAINER_SETTINGS = (
    Setting(
        "restart_policy", "text", "unless-stopped: SparkWeb starts it again after a reboot.", choices=_RESTART
    ),
    Setting(
        "restart_on_hang",
        "boolean",
        "Start it again when it hangs (docs/failures.md); else it is shown as degraded.",
    ),
    Setting("gpus", "text", "all, or none on a machine without a GPU.", choices=("all", "none")),
    Setting("ipc", "text", "host shares /dev/shm with the host.", choices=("host", "private")),
    Setting("shm_size", "size", "Size of /dev/shm; needs ipc: private."),
    Setting("ulimit_memlock", "integer", "Locked memory in bytes; -1 is no limit.", low=-1),
    Setting("ulimit_stack", "integer", "Stack in bytes; -1 is no limit.", low=-1),
    Setting("env", "environment", "Environment variables of the container."),
)
CONTAINER_DEFAULTS: dict[str, Any] = {"restart_policy": "unless-stopped", "gpus": "all"}
# What NVIDIA's containers ask for: shared memory of the host, no limit of locked memory, a larger stack.
SHARED_MEMORY_DEFAULTS: dict[str, Any] = {
    **CONTAINER_DEFAULTS,
    "ipc": "host",
    "ulimit_memlock": -1,
    "ulimit_stack": 67108864,
}


@dataclass(frozen=True)
class EngineKind:
    """One engine as pages and checks see it.

    `settings` are those that SparkWeb knows, `built_in` the values that hold
    without any, `own` the names that SparkWeb sets itself, each with the reason
    why a setting of that name has no effect. `common` stand first in the form
    (empty: all that a form can show). `context` names the setting that holds the
    context length, `tools` those that mean that the model may call tools.
    """

    name: str
    label: str
    settings: Mapping[str, Setting]
    built_in: Mapping[str, Any] = field(default_factory=dict)
    default_image: str = ""
    own: Mapping[str, str] = field(default_factory=dict)
    common: tuple[str, ...] = ()
    context: str = ""
    tools: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draft:
    """A start whose settings were merged and checked; `notes` is what its owner should know so far."""

    kind: EngineKind
    definition: DefinitionData
    node: NodeData
    launch: LaunchIds
    settings: Mapping[str, Any]
    image: str
    notes: list[str]


def settings_merged(
    kind: EngineKind, definition: DefinitionData, defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings that count: built in, overlaid by `defaults`, then by the definition's own.

    `defaults` is what the catalogue says for all of the engine. An empty value
    takes the setting back.
    """
    merged = {**kind.built_in, **defaults, **definition.settings}
    return {name: value for name, value in merged.items() if value is not None and name != "image"}


def image_chosen(kind: EngineKind, definition: DefinitionData, defaults: Mapping[str, Any]) -> str:
    """The image: the definition's, else the catalogue's default, else the engine's."""
    return definition.image or defaults.get("image") or kind.default_image


def draft_begin(
    kind: EngineKind,
    definition: DefinitionData,
    defaults: Mapping[str, Any],
    node: NodeData,
    launch: LaunchIds,
) -> Draft:
    """Merge and check. Raises SettingsInvalid for values that cannot be used, and for a missing image.

    Settings that the engine does not know are noted as ignored, and kept.
    """
    settings = settings_merged(kind, definition, defaults)
    image = image_chosen(kind, definition, defaults)
    problems = settings_problems(kind.settings, settings)
    if not image:
        problems.insert(0, ("image", f"expected the image to run: {kind.label} has no default, found none"))
    elif problem := image_problem(image):
        problems.insert(0, ("image", problem))
    if problems:
        raise SettingsInvalid([f"{definition.slug}: {name}: {problem}" for name, problem in problems])
    notes = [_ignored(kind, name) for name in settings if name not in kind.settings]
    return Draft(kind, definition, node, launch, settings, image, notes)


def _ignored(kind: EngineKind, name: str) -> str:
    return f"{name} is ignored: {kind.own.get(name, f'SparkWeb knows no {kind.label} setting of this name')}"


def arguments(draft: Draft, refuses: Callable[[Setting], str | None] = lambda setting: None) -> list[str]:
    """Flags in the table's order. What `refuses` gives a reason for is left out, and noted."""
    words: list[str] = []
    for name, setting in draft.kind.settings.items():
        if setting.flag is None or name not in draft.settings:
            continue
        found = _flag(setting, draft.settings[name])
        reason = refuses(setting) if found else None
        if reason:
            draft.notes.append(f"{name} is left out: {setting.flag} {reason}")
        else:
            words += found
    return words


def _flag(setting: Setting, value: Any) -> list[str]:
    if setting.kind == "boolean":
        word = setting.flag if as_boolean(value) else setting.off_flag
        return [word] if word else []
    return [str(setting.flag), _value_text(setting, value)]


def _value_text(setting: Setting, value: Any) -> str:
    if setting.kind == "boolean":
        return "1" if as_boolean(value) else "0"
    if isinstance(value, dict | list):
        return json.dumps(value, separators=(",", ":"))
    return str(value)


def container_finish(
    draft: Draft,
    *,
    engine_port: int,
    command: list[str],
    probe: ProbeSpec,
    entrypoint: list[str] | None = None,
    env: Mapping[str, str] | None = None,
    secret_env: Mapping[str, str] | None = None,
    secret_exports: Mapping[str, str] | None = None,
    user: str | None = None,
    mounts: list[MountSpec] | None = None,
    host_ports: list[PortSpec] | None = None,
    devices: list[str] | None = None,
) -> tuple[ContainerSpec, list[str]]:
    """The container of a draft, and all notes on it. `env` is overlaid by the settings' own.

    With `host_ports` it runs in the host's network, where it takes those itself.
    """
    settings, definition, launch = draft.settings, draft.definition, draft.launch
    ports, port_notes = _ports(draft, engine_port) if host_ports is None else (host_ports, [])
    spec = ContainerSpec(
        launch=launch.launch,
        member=launch.member,
        generation=launch.generation,
        installation=launch.installation,
        node=draft.node.name,
        slug=definition.slug,
        name=launch.container_name(definition.slug),
        image=draft.image,
        entrypoint=entrypoint,
        command=command,
        probe=probe,
        env={**(env or {}), **_environment(draft)},
        secret_env=dict(secret_env or {}),
        secret_exports=dict(secret_exports or {}),
        user=user,
        ports=ports,
        mounts=mounts or [],
        gpus="all" if settings.get("gpus") == "all" else None,
        ipc="host" if settings.get("ipc") == "host" else None,
        shm_bytes=size_bytes(settings.get("shm_size")),
        ulimits=_ulimits(settings),
        labels=_weights_label(draft, mounts or []),
        network=None if host_ports is None else "host",
        devices=devices or [],
    )
    return spec, [*draft.notes, *port_notes, *_container_notes(draft)]


def _ports(draft: Draft, engine_port: int) -> tuple[list[PortSpec], list[str]]:
    definition, node = draft.definition, draft.node
    ports = [PortSpec(engine_port, definition.port)]
    if definition.publish == "local":
        return ports, []
    word, address = {
        "lan": ("LAN", node.lan_address),
        "fabric": ("fabric", node.fabric_address),
    }[definition.publish]
    if not address:
        note = f"{node.name} has no {word} address, so the port is published on 127.0.0.1 only"
        return ports, [f"{note}; enter the address on the node's page"]
    ports.append(PortSpec(engine_port, definition.port, address))
    return ports, [f"{address}:{definition.port} answers everyone on the {word}, without a key"]


def _environment(draft: Draft) -> dict[str, str]:
    by_setting = {
        setting.variable: _value_text(setting, draft.settings[name])
        for name, setting in draft.kind.settings.items()
        if setting.variable is not None and name in draft.settings
    }
    own = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in draft.settings.get("env", {}).items()
    }
    return by_setting | own


def _ulimits(settings: Mapping[str, Any]) -> dict[str, int]:
    limits = {"memlock": settings.get("ulimit_memlock"), "stack": settings.get("ulimit_stack")}
    return {name: value for name, value in limits.items() if value is not None}


def _container_notes(draft: Draft) -> list[str]:
    notes = []
    if "shm_size" in draft.settings and draft.settings.get("ipc") == "host":
        notes.append("shm_size has no effect with ipc: host; set ipc: private to use it")
    if draft.settings.get("gpus") == "all" and draft.node.gpu_runtime is False:
        notes.append(f"Docker on {draft.node.name} offers no GPUs; set gpus: none to run without")
    return notes


# The Hugging Face cache ---------------------------------------------------------


def hf_mounts(draft: Draft) -> list[MountSpec]:
    """The node's Hugging Face cache, unless the model is a path inside the image."""
    if draft.node.hf_cache is None or _is_inside_image(draft.definition.model_id):
        return []
    return [MountSpec(draft.node.hf_cache, HF_CACHE_TARGET)]


def _weights_label(draft: Draft, mounts: list[MountSpec]) -> dict[str, str]:
    """What the engine may download into the node's cache, so that the agent can tell how far it is."""
    repository = draft.definition.model_id
    from_hub = _HF_REPOSITORY.fullmatch(repository) and any(m.target == HF_CACHE_TARGET for m in mounts)
    if not from_hub or draft.kind.name == "llamacpp":  # which keeps single files, in a folder of its own
        return {}
    revision = draft.settings.get("revision")
    return {WEIGHTS_LABEL: f"{repository}@{revision}" if revision else repository}


def hf_notes(draft: Draft) -> list[str]:
    """That nothing is kept, where the node names no cache."""
    if draft.node.hf_cache is not None or _is_inside_image(draft.definition.model_id):
        return []
    return [
        f"{draft.node.name} names no Hugging Face cache, so each start downloads the model again",
    ]


def hf_secret(draft: Draft) -> dict[str, str]:
    """The Hugging Face token, by name, where the node has one."""
    return {"HF_TOKEN": "hf_token"} if "hf_token" in draft.node.secrets else {}


def _is_inside_image(model_id: str) -> bool:
    return model_id.startswith("/") and not model_id.startswith(f"{HF_CACHE_TARGET}/")
