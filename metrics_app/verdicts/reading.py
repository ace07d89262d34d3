"""What verdicts need of a report, typed; what is absent or no figure is None. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

GPUS_MOST = 32
PROCESSES_MOST = 400
CONTAINERS_MOST = 500
DISKS_MOST = 64
LAUNCHES_MOST = 200
LARGEST = 2.0**60
"""What lies above is a sentinel (9.2e18), no figure."""


@dataclass(frozen=True)
class Process:
    """A process that holds GPU memory; `container_id` is None on the host."""

    pid: int
    name: str
    memory_bytes: float
    container_id: str | None


@dataclass(frozen=True)
class Gpu:
    """One card. Percent, watts, °C, MHz; `reasons` is None where the driver gives none."""

    index: str
    name: str
    utilization: float | None
    power: float | None
    power_limit: float | None
    temperature: float | None
    clock: float | None
    clock_max: float | None
    held_bytes: float | None
    reasons: tuple[str, ...] | None
    processes: tuple[Process, ...]
    processes_known: bool


@dataclass(frozen=True)
class Container:
    """A container of the node; `member` is the launch member that it is, if it is one."""

    id: str
    name: str
    memory_bytes: float
    runs: bool
    member: str | None


@dataclass(frozen=True)
class Disk:
    """A file system, bytes."""

    mount: str
    total: float
    used: float
    free: float


@dataclass(frozen=True)
class Stalls:
    """Pressure in percent of ten seconds, swap traffic in bytes per second."""

    memory_some: float | None = None
    memory_full: float | None = None
    io_full: float | None = None
    swap_traffic: float | None = None


@dataclass(frozen=True)
class Reading:
    """One report of a node. `containers` is None while Docker does not tell them."""

    memory_total: float | None = None
    memory_available: float | None = None
    memory_reclaimable: float | None = None
    unified: bool = False
    stalls: Stalls = field(default_factory=Stalls)
    gpus: tuple[Gpu, ...] = ()
    disks: tuple[Disk, ...] = ()
    containers: tuple[Container, ...] | None = None
    scripts_run: bool = False
    sampler_cpu: float | None = None
    sampler_rss: float | None = None
    sampler_late: float | None = None

    def container(self, container_id: str) -> Container | None:
        return next((one for one in self.containers or () if one.id == container_id), None)


def number(value: Any) -> float | None:
    """A figure that can be true: finite, not negative, no sentinel; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 <= value <= LARGEST else None


def reading_of(report: dict[str, Any]) -> Reading:
    """Read one report, of whatever version of agent."""
    host, sampler = _dict(report.get("host")), _dict(report.get("sampler"))
    launches = _rows(report.get("launches"), LAUNCHES_MOST)
    return Reading(
        memory_total=number(host.get("memory_total_bytes")),
        memory_available=number(host.get("memory_available_bytes")),
        memory_reclaimable=number(host.get("memory_reclaimable_bytes")),
        unified=_dict(report.get("gpu")).get("unified_memory") is True,
        stalls=_stalls(host),
        gpus=tuple(_gpu(row) for row in _rows(report.get("gpus"), GPUS_MOST) if row.get("state") == "ok"),
        disks=tuple(_disks(host)),
        containers=_containers(report),
        scripts_run=any(row.get("kind") == "script" for row in launches),
        sampler_cpu=number(sampler.get("cost_cpu_percent")),
        sampler_rss=number(sampler.get("rss_bytes")),
        sampler_late=number(sampler.get("late_seconds")),
    )


def _stalls(host: dict[str, Any]) -> Stalls:
    pressure = _dict(host.get("pressure"))
    memory, disks = _dict(pressure.get("memory")), _dict(pressure.get("io"))
    moved = [number(host.get(f"swap_{way}_bytes_per_second")) for way in ("in", "out")]
    return Stalls(
        memory_some=number(memory.get("some_percent")),
        memory_full=number(memory.get("full_percent")),
        io_full=number(disks.get("full_percent")),
        swap_traffic=None if None in moved else sum(value or 0.0 for value in moved),
    )


def _gpu(row: dict[str, Any]) -> Gpu:
    reasons = row.get("throttle_reasons")
    why = _dict(row.get("why"))
    return Gpu(
        index=str(row.get("index"))[:8],
        name=str(row.get("name") or "GPU")[:80],
        utilization=number(row.get("utilization_percent")),
        power=number(row.get("power_watts")),
        power_limit=number(row.get("power_limit_watts")),
        temperature=number(row.get("temperature_celsius")),
        clock=number(row.get("clock_sm_mhz")),
        clock_max=number(row.get("clock_sm_max_mhz")),
        held_bytes=number(row.get("memory_held_bytes")),
        reasons=tuple(str(word) for word in reasons[:16]) if isinstance(reasons, list) else None,
        processes=tuple(_processes(row)),
        processes_known="processes" not in why,
    )


def _processes(row: dict[str, Any]) -> list[Process]:
    found = []
    for one in _rows(row.get("processes"), PROCESSES_MOST):
        pid, held, container = one.get("pid"), number(one.get("memory_bytes")), one.get("container_id")
        if isinstance(pid, int) and held is not None:
            name = str(one.get("name") or f"process {pid}").replace("\0", "")[:60]
            found.append(Process(pid, name, held, container if isinstance(container, str) else None))
    return found


def _containers(report: dict[str, Any]) -> tuple[Container, ...] | None:
    docker = _dict(_dict(report.get("agent")).get("docker"))
    if docker.get("status") != "ok" or not isinstance(report.get("containers"), list):
        return None
    return tuple(
        Container(
            id=str(row.get("id")),
            name=str(row.get("name") or "container").replace("\0", "")[:80],
            memory_bytes=number(row.get("memory_bytes")) or 0.0,
            runs=row.get("state") in ("running", "paused", "restarting"),
            member=row["member"] if isinstance(row.get("member"), str) else None,
        )
        for row in _rows(report.get("containers"), CONTAINERS_MOST)
    )


def _disks(host: dict[str, Any]) -> list[Disk]:
    found = []
    for row in _rows(host.get("disks"), DISKS_MOST):
        total, used, free = (number(row.get(f"{name}_bytes")) for name in ("total", "used", "free"))
        if total is not None and used is not None and free is not None:
            found.append(Disk(str(row.get("mount")).replace("\0", "")[:100], total, used, free))
    return found


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _rows(value: Any, most: int) -> list[dict[str, Any]]:
    return [row for row in value[:most] if isinstance(row, dict)] if isinstance(value, list) else []
