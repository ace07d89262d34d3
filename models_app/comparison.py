"""What differs between a run and the last good one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GIB = 2**30
# Free memory is never the same twice; less than this is no difference.
MEMORY_NOTABLE_BYTES = GIB

CONDITIONS = {
    "driver": "NVIDIA driver",
    "cuda": "CUDA of the driver",
    "docker": "Docker",
    "agent_version": "Agent",
}
SPEC_PARTS = {
    "entrypoint": "Entrypoint",
    "gpus": "GPUs",
    "ipc": "IPC",
    "shm_bytes": "/dev/shm",  # noqa: S108  a label
    "user": "User",
    "ulimits": "Limits",
    "mounts": "Mounts",
    "ports": "Ports",
}
# Settings that the parts of the container show.
SHOWN_BY_SPEC = ("env", "ipc", "gpus", "shm_size", "ulimit_memlock", "ulimit_stack")


@dataclass(frozen=True)
class Run:
    """One container as it was started: image and its digest, spec (docs/architecture.md), conditions."""

    image: str = ""
    digest: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """One thing that was not the same; `good` and `now` as text, "" for not there."""

    name: str
    good: str
    now: str


def differences(good: Run, now: Run) -> list[Difference]:
    """Return what differs, the likeliest causes first: image, flags, environment, container, machine."""
    rows = [
        Difference("Image", good.image, now.image),
        Difference("Image digest", good.digest, now.digest if now.digest else good.digest),
        *_of_maps(flags(good.spec.get("command") or []), flags(now.spec.get("command") or [])),
        *_of_maps(_named("env ", good.spec.get("env")), _named("env ", now.spec.get("env"))),
        *_of_keys(SPEC_PARTS, good.spec, now.spec),
        *_ignored_settings(good, now),
        *_of_keys(CONDITIONS, good.conditions, now.conditions),
        *_memory(good, now),
    ]
    return [row for row in rows if row.good != row.now]


def flags(command: list[str]) -> dict[str, str]:
    """An argument vector by flag; words that belong to none are one entry, in their order."""
    found: dict[str, str] = {}
    words: list[str] = []
    last = ""
    for word in command:
        if word.startswith("--"):
            last, _, value = word.partition("=")
            found[last] = value
        elif last:
            found[last], last = word, ""
        else:
            words.append(word)
    return {"Command": " ".join(words), **found} if words else found


def _of_maps(good: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    return [Difference(name, _flag(good, name), _flag(now, name)) for name in dict.fromkeys([*good, *now])]


def _of_keys(labels: Mapping[str, str], good: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    return [Difference(label, _text(good.get(key)), _text(now.get(key))) for key, label in labels.items()]


def _flag(found: Mapping[str, str], name: str) -> str:
    """A flag's value; `set` for one that takes none."""
    return (found[name] or "set") if name in found else ""


def _named(prefix: str, found: Mapping[str, Any] | None) -> dict[str, str]:
    return {prefix + name: str(value) for name, value in (found or {}).items()}


def _ignored_settings(good: Run, now: Run) -> list[Difference]:
    """Settings that changed and reached no flag: left out, or of the container."""
    before, after = (dict(run.conditions.get("settings") or {}) for run in (good, now))
    commands = [flags(run.spec.get("command") or []) for run in (good, now)]
    shown = {flag.lstrip("-").replace("-", "_") for command in commands for flag in command}
    names = [name for name in [*before, *after] if name not in shown and name not in SHOWN_BY_SPEC]
    return [
        Difference(f"Setting {name}", _text(before.get(name)), _text(after.get(name)))
        for name in dict.fromkeys(names)
    ]


def _memory(good: Run, now: Run) -> list[Difference]:
    before, after = (run.conditions.get("memory_available_bytes") for run in (good, now))
    if before is None or after is None or abs(before - after) < MEMORY_NOTABLE_BYTES:
        return []
    return [Difference("Free memory at start", f"{before / GIB:.1f} GiB", f"{after / GIB:.1f} GiB")]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in sorted(value.items()))
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    return str(value)
