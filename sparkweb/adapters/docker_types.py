"""What the Docker adapter takes and gives: plain dataclasses, and how its JSON becomes them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class EngineStatus:
    """Whether the engine can be used. status: ok, missing, denied or down; message says what to do.

    `gpu_runtime`: whether NVIDIA's runtime or hook is installed, None when unknown.
    """

    status: str
    version: str | None
    message: str | None
    gpu_runtime: bool | None


@dataclass(frozen=True)
class ListedContainer:
    """One line of the list.

    state is Docker's: created, running, paused, restarting, removing, exited or dead.
    """

    id: str
    name: str
    image: str
    state: str
    status: str
    ports: list[str]
    host_ports: list[int]
    labels: dict[str, str]


@dataclass(frozen=True)
class Inspection:
    """One container in full. Times are seconds since 1970, None when it has not happened."""

    id: str
    name: str
    image: str
    state: str
    pid: int | None
    exit_code: int
    oom_killed: bool
    error: str
    started_at: float | None
    finished_at: float | None
    labels: dict[str, str]


@dataclass(frozen=True)
class PublishedPort:
    """Port `container` inside appears as `host` on `address` of the node."""

    container: int
    host: int
    address: str


@dataclass(frozen=True)
class BindMount:
    """A path of the node, where it appears inside, and whether it is read only."""

    source: str
    target: str
    read_only: bool


@dataclass(frozen=True)
class ContainerOrder:
    """Everything about a container that anybody may decide; all else is fixed by the adapter.

    `user` as Docker takes it, None as the image says; `gpus`: "all" or None;
    `ipc`: "host" or None; `shm_bytes` None means Docker's 64 MB; `ulimits` soft
    and hard alike, -1 for unlimited; `network`: "host" or None, Docker's bridge (in
    the host's network `ports` are checked and not published); `devices`: paths of
    the node, a folder stands for all devices in it. `service`: no model, but a service
    that Docker itself starts again unless it was stopped, with few rights and bounds.
    """

    name: str
    image: str
    command: list[str]
    entrypoint: list[str] | None = None
    user: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    ports: list[PublishedPort] = field(default_factory=list)
    mounts: list[BindMount] = field(default_factory=list)
    gpus: str | None = None
    ipc: str | None = None
    shm_bytes: int | None = None
    ulimits: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    network: str | None = None
    devices: list[str] = field(default_factory=list)
    service: ServiceBounds | None = None


@dataclass(frozen=True)
class ServiceBounds:
    """What bounds a service: memory without swap, processes, and the few capabilities that it keeps."""

    memory_bytes: int
    pids: int
    capabilities: tuple[str, ...] = ()


def docker_time(text: str | None) -> float | None:
    """Docker's RFC 3339 time with nanoseconds as seconds since 1970; None for none and for year 1."""
    if not text or text.startswith("0001-"):
        return None
    microseconds = re.sub(r"(\.\d{6})\d+", r"\1", text).replace("Z", "+00:00")
    return datetime.fromisoformat(microseconds).timestamp()


def unix_time(at: str) -> str:
    """Docker's RFC 3339 time as its "seconds.nanoseconds", which alone its filters take; exact."""
    seconds, _, fraction = at.rstrip("Z").partition(".")
    whole = int(datetime.fromisoformat(f"{seconds}+00:00").timestamp())
    return f"{whole}.{fraction.ljust(9, '0')}"


def listed_container(entry: dict[str, Any]) -> ListedContainer:
    """From an entry of GET /containers/json."""
    ports = entry.get("Ports") or []
    return ListedContainer(
        id=entry["Id"],
        name=(entry.get("Names") or [entry["Id"][:12]])[0].lstrip("/"),
        image=entry.get("Image") or "",
        state=entry.get("State") or "",
        status=entry.get("Status") or "",
        ports=sorted({_port_text(port) for port in ports}),
        host_ports=sorted({port["PublicPort"] for port in ports if port.get("PublicPort")}),
        labels=entry.get("Labels") or {},
    )


def _port_text(port: dict[str, Any]) -> str:
    inside = f"{port['PrivatePort']}/{port.get('Type', 'tcp')}"
    if not port.get("PublicPort"):
        return inside
    address = port.get("IP") or ""
    return f"{f'[{address}]' if ':' in address else address}:{port['PublicPort']}->{inside}"


def inspection(facts: dict[str, Any]) -> Inspection:
    """From GET /containers/{id}/json."""
    state = facts["State"]
    return Inspection(
        id=facts["Id"],
        name=facts["Name"].lstrip("/"),
        image=facts.get("Image") or "",
        state=state["Status"],
        pid=state.get("Pid") or None,
        exit_code=state.get("ExitCode") or 0,
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error") or "",
        started_at=docker_time(state.get("StartedAt")),
        finished_at=docker_time(state.get("FinishedAt")),
        labels=facts["Config"].get("Labels") or {},
    )
