"""Frames as a browser gets them, made up: one GB10, two discrete GPUs, no GPU."""

from __future__ import annotations

import math
from typing import Any

GIB = 2**30
VLLM_CONTAINER = "a" * 64
SEARCH_CONTAINER = "b" * 64
GB10_WHY = dict.fromkeys(
    (
        "memory_total_bytes",
        "memory_used_bytes",
        "power_limit_watts",
        "clock_memory_mhz",
        "fan_percent",
        "memory_utilization_percent",
        "ecc_corrected_total",
        "ecc_uncorrected_total",
        "mig_enabled",
    ),
    "unsupported",
)


def gpu(index: int = 0, **changes: Any) -> dict[str, Any]:
    """One GPU that reports everything."""
    return {
        "index": index,
        "uuid": f"GPU-{index:04d}",
        "name": "NVIDIA RTX 6000 Ada Generation",
        "state": "ok",
        "utilization_percent": 62 - 30 * index,
        "memory_utilization_percent": 41,
        "memory_used_bytes": (37 - 20 * index) * GIB,
        "memory_total_bytes": 48 * GIB,
        "memory_held_bytes": 36 * GIB,
        "power_watts": 212.4 - 90 * index,
        "power_limit_watts": 300.0,
        "temperature_celsius": 66 - 14 * index,
        "clock_sm_mhz": 2505 - 300 * index,
        "clock_sm_max_mhz": 3105,
        "clock_memory_mhz": 10001,
        "fan_percent": 44,
        "energy_joules": 12345.6,
        "throttle_reasons": [],
        "performance_state": 0,
        "ecc_corrected_total": 0,
        "ecc_uncorrected_total": 0,
        "mig_enabled": False,
        "processes": [],
        "why": {},
        **changes,
    }


GUARDIAN_ACT = {
    "act": "00000000000000ac",
    "action": "kill",
    "name": "qwen3-coder-30b",
    "member": "0" * 16,
    "sentence": "stopped by the memory guardian: 2.1 GiB of memory were available, less than the floor of "
    "3.0 GiB. It was the newest start",
}


def guardian(**changes: Any) -> dict[str, Any]:
    """A memory guardian that watches and has not had to act."""
    return {
        "status": "armed",
        "message": None,
        "floor_bytes": 3 * GIB,
        "lower_floor_bytes": 3 * GIB // 2,
        "warning_bytes": 6 * GIB,
        "horizon_seconds": 3,
        "protect_ready": False,
        "victims": [],
        "last_act": None,
        "why": {},
        **changes,
    }


def gb10(**changes: Any) -> dict[str, Any]:
    """The GPU of a DGX Spark: no memory totals, no limit, no fan."""
    held = int(46.2 * GIB)
    processes = [
        {"pid": 4711, "name": "VLLM::EngineCore", "memory_bytes": held - GIB, "container_id": VLLM_CONTAINER},
        {"pid": 2211, "name": "/usr/lib/xorg/Xorg", "memory_bytes": GIB, "container_id": None},
    ]
    return gpu(
        name="NVIDIA GB10",
        utilization_percent=71,
        memory_utilization_percent=None,
        memory_used_bytes=None,
        memory_total_bytes=None,
        memory_held_bytes=held,
        power_watts=41.8,
        power_limit_watts=None,
        temperature_celsius=63,
        clock_sm_mhz=2418,
        clock_sm_max_mhz=3003,
        clock_memory_mhz=None,
        fan_percent=None,
        ecc_corrected_total=None,
        ecc_uncorrected_total=None,
        mig_enabled=None,
        processes=processes,
        why=GB10_WHY,
        **changes,
    )


def host(total_gib: float = 121.7, cores: int = 20, **changes: Any) -> dict[str, Any]:
    """The machine around the GPU."""
    total = int(total_gib * GIB)
    used = int(total * 0.48)
    return {
        "cpu_percent": 14.2,
        "cpu_count": cores,
        "cpu_per_core_percent": [abs(math.sin(core * 1.7)) * 60 for core in range(cores)],
        "load": [2.41, 1.87, 1.2],
        "memory_total_bytes": total,
        "memory_available_bytes": total - used,
        "memory_used_bytes": used,
        "memory_reclaimable_bytes": int(total * 0.31),
        "memory_free_bytes": int(total * 0.2),
        "swap_total_bytes": 16 * GIB,
        "swap_used_bytes": GIB // 2,
        "pressure": {
            "cpu": {"some_percent": 2.1, "full_percent": None},
            "memory": {"some_percent": 0.0, "full_percent": 0.0},
            "io": {"some_percent": 0.4, "full_percent": 0.1},
        },
        "swap_in_bytes_per_second": 0,
        "swap_out_bytes_per_second": 0,
        "temperature_celsius": 51.0,
        "sensors": [{"name": "acpitz temp1", "celsius": 51.0}, {"name": "nvme Composite", "celsius": 38.9}],
        "uptime_seconds": 273_600,
        "disks": [
            {
                "mount": "/",
                "device": "/dev/nvme0n1p2",
                "total_bytes": 3600 * GIB,
                "used_bytes": 2210 * GIB,
                "free_bytes": 1390 * GIB,
                "read_bytes_per_second": 182_000_000.0,
                "write_bytes_per_second": 2_100_000.0,
            },
        ],
        "networks": [
            {
                "name": "enP7s7",
                "up": True,
                "speed_mbps": 10000,
                "receive_bytes_per_second": 1_240_000.0,
                "transmit_bytes_per_second": 310_000.0,
            },
            {
                "name": "enp1s0f1np1",
                "up": True,
                "speed_mbps": 200000,
                "receive_bytes_per_second": 88_000.0,
                "transmit_bytes_per_second": 91_000.0,
            },
        ],
        "hostname": "spark-1",
        "kernel": "6.11.0-1016-nvidia",
        "architecture": "aarch64",
        "why": {},
        **changes,
    }


def counters() -> dict[str, Any]:
    """What two cores, a disk and a link have counted since boot."""
    disk = {"reads_completed": 900, "read_bytes": 7_000_000, "read_time_seconds": 1.5, "writes_completed": 40}
    disk |= {"written_bytes": 8_192, "write_time_seconds": 0.25, "io_time_seconds": 1.75}
    link = {f"{way}_{what}": 10 for way in ("receive", "transmit") for what in ("packets", "errs", "drop")}
    return {
        "cpu_seconds": [[100.25, 0.0, 50.5, 9000.0, 3.0, 0.0, 1.0, 0.5]] * 2,
        "booted_at": 1_795_172_000,
        "context_switches": 123_456,
        "disks": {"nvme0n1": disk},
        "networks": {"enP7s7": {**link, "receive_bytes": 5_000, "transmit_bytes": 6_000}},
    }


def containers(member: str | None = None, now: float = 0.0) -> list[dict[str, Any]]:
    """A model of ours, a search engine, and one that has ended."""
    return [
        {
            "id": VLLM_CONTAINER,
            "name": "sparkweb-qwen3-coder-30b-awq-1a2b3c4d-1",
            "image": "nvcr.io/nvidia/vllm:25.11-py3",
            "state": "running",
            "status": "Up 3 hours",
            "ports": ["127.0.0.1:8104->8000/tcp"],
            "started_at": now - 11_000,
            "cpu_percent": 88.4,
            "memory_bytes": int(6.4 * GIB),
            "ours": True,
            "member": member,
            "foreign": False,
            "why": {},
        },
        {
            "id": SEARCH_CONTAINER,
            "name": "searxng",
            "image": "searxng/searxng:2026.10.1",
            "state": "running",
            "status": "Up 3 days",
            "ports": ["0.0.0.0:8080->8080/tcp"],
            "started_at": now - 260_000,
            "cpu_percent": 0.4,
            "memory_bytes": 231_000_000,
            "ours": False,
            "member": None,
            "foreign": False,
            "why": {},
        },
        {
            "id": "c" * 64,
            "name": "old-experiment",
            "image": "ghcr.io/someone/a-very-long-image-name-indeed:2026.11.01-rc2",
            "state": "exited",
            "status": "Exited (137) 2 days ago",
            "ports": [],
            "started_at": None,
            "cpu_percent": None,
            "memory_bytes": None,
            "ours": False,
            "member": None,
            "foreign": False,
            "why": {},
        },
    ]


def report(
    kind: str = "gb10", *, member: str | None = None, now: float = 0.0, **changes: Any
) -> dict[str, Any]:
    """One report: kind gb10, wedged, two, none, or nodocker."""
    made: dict[str, Any] = {
        "version": 1,
        "agent": {
            "version": "0.1.0",
            "pid": 1,
            "boot": "b",
            "host_boot": "h",
            "unacknowledged": 0,
            "docker": {"status": "ok", "version": "28.1.1", "message": None, "gpu_runtime": True},
        },
        "sampled_at": now,
        "gpu": {
            "status": "ok",
            "message": None,
            "driver": "580.95.05",
            "cuda": "13.0",
            "unified_memory": kind in ("gb10", "wedged"),
        },
        "gpus": [gb10()],
        "host": host(),
        "counters": counters(),
        "containers": containers(member, now),
        "guardian": guardian(),
        "sampler": {"cost_cpu_percent": 0.8, "rss_bytes": 31_000_000, "late_seconds": 0.001},
    }
    if kind == "wedged":
        stuck = {"utilization_percent": 96, "clock_sm_mhz": 507, "power_watts": 15.2}
        made["gpus"] = [gb10() | stuck | {"throttle_reasons": ["power_cap"]}]
        made["host"] = host(swap_out_bytes_per_second=41_000_000)
    if kind == "two":
        held = [
            {"pid": 911, "name": "VLLM::EngineCore", "memory_bytes": 36 * GIB, "container_id": VLLM_CONTAINER}
        ]
        made["gpus"] = [gpu(0, processes=held), gpu(1)]
        made["guardian"] = guardian(last_act=GUARDIAN_ACT | {"at": now - 600})
        made["host"] = host(
            251.6, 64, hostname="workstation", architecture="x86_64", kernel="6.8.0-88-generic"
        )
    if kind in ("none", "nodocker"):
        made["gpu"] = {
            "status": "none",
            "message": "No NVIDIA driver on this machine",
            "driver": None,
            "cuda": None,
            "unified_memory": False,
        }
        made["gpus"] = []
        made["host"] = host(
            23.4,
            2,
            hostname="small",
            architecture="x86_64",
            temperature_celsius=None,
            why={"temperature_celsius": "unsupported"},
        )
        made["containers"] = made["containers"][1:2]
    if kind == "nodocker":
        made["containers"] = []
        made["agent"]["docker"] = {
            "status": "denied",
            "version": None,
            "gpu_runtime": None,
            "message": "This user may not use the Docker socket unix:///var/run/docker.sock. Add it to the "
            "docker group (sudo usermod -aG docker $USER), log in again and restart SparkWeb.",
        }
    return {**made, **changes}


def snapshot(
    node: str,
    made: dict[str, Any],
    seq: int = 1,
    received_at: float = 0.0,
    verdicts: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The frame that carries a report, and what it means."""
    return {
        "type": "snapshot",
        "node": node,
        "status": "online",
        "received_at": received_at,
        "seq": seq,
        "report": made,
        "verdicts": verdicts,
    }


def history(node: str, kind: str, now: float, points: int = 900, gap: bool = True) -> dict[str, Any]:
    """A quarter of an hour that looks like work; with a gap of unknown GPU figures in it."""
    columns: dict[str, list[float | None]] = {}
    times = [now - points + index for index in range(points)]

    def wave(base: float, swing: float, period: float, phase: float = 0.0) -> list[float | None]:
        values = []
        for index in range(points):
            rough = (
                math.sin(index / period + phase)
                + 0.35 * math.sin(index / 3.1 + phase)
                + 0.2 * math.sin(index * 1.3)
            )
            values.append(max(0.0, base + swing * rough))
        return values  # type: ignore[return-value]

    columns["cpu"] = wave(16, 7, 60)
    columns["memory_used"] = wave(58 * GIB, 1.4 * GIB, 140)
    columns["memory_available"] = wave(63 * GIB, 1.4 * GIB, 140, 3)
    columns["load"] = wave(2.2, 0.5, 90)
    columns["net_rx"] = wave(1.1e6, 9e5, 35)
    columns["net_tx"] = wave(4e5, 2e5, 50, 1)
    columns["disk_read"] = wave(1.1e8, 1.2e8, 80)
    columns["disk_write"] = wave(4e6, 3e6, 45, 2)
    for index in range({"gb10": 1, "two": 2}.get(kind, 0)):
        columns[f"gpu{index}_util"] = [min(100, value or 0) for value in wave(66 - 30 * index, 22, 70, index)]
        columns[f"gpu{index}_memory"] = wave(
            (46 if kind == "gb10" else 37 - 20 * index) * GIB, GIB, 200, index
        )
        columns[f"gpu{index}_power"] = wave(42 if kind == "gb10" else 210 - 90 * index, 12, 70, index)
        columns[f"gpu{index}_temperature"] = wave(62 - 12 * index, 4, 160, index)
        columns[f"gpu{index}_clock"] = wave(2400, 60, 50, index)
        if gap:
            for name in ("util", "memory", "power", "temperature"):
                columns[f"gpu{index}_{name}"][500:540] = [None] * 40
    return {"type": "history", "node": node, "t": times, "columns": columns}
