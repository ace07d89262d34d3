"""From one report to the figures that older clients expect. Pure.

Memory of GPUs in MiB, of the system in GiB; None where the hardware does not say.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

MIB, GIB = 2**20, 2**30


def metrics(report: dict[str, Any], received_at: float) -> dict[str, Any]:
    """Return the answer of `GET /api/metrics`; `timestamp` is ISO 8601, by control's clock."""
    host = report.get("host") or {}
    return {
        "gpus": [_gpu(gpu) for gpu in report.get("gpus") or []],
        "memoryUsed": _in(GIB, host.get("memory_used_bytes")),
        "memoryTotal": _in(GIB, host.get("memory_total_bytes")),
        "cpuUsage": host.get("cpu_percent"),
        "timestamp": datetime.fromtimestamp(received_at, UTC).isoformat(),
    }


def memory(report: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of `GET /api/system/memory`."""
    host, gpu, gpus = report.get("host") or {}, report.get("gpu") or {}, report.get("gpus") or []
    is_unified = gpu.get("unified_memory") if gpus else False
    held = _total(gpus, "memory_held_bytes") if is_unified else _total(gpus, "memory_used_bytes")
    return {
        "unified": {
            "total_gb": _in(GIB, host.get("memory_total_bytes")),
            "available_gb": _in(GIB, host.get("memory_available_bytes")),
            "used_gb": _in(GIB, host.get("memory_used_bytes")),
            "gpu_used_gb": _in(GIB, held),
        },
        "gpu_processes": [
            {
                "pid": process["pid"],
                "name": process.get("name") or "",
                "memory_mb": _in(MIB, process.get("memory_bytes")),
                "gpu": row["index"],
            }
            for row in gpus
            for process in row.get("processes") or []
        ],
        "discrete_gpu": _discrete(gpus) if gpus and is_unified is False else None,
        "is_unified": is_unified,
    }


def containers(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the answer of `GET /api/containers`."""
    return [
        {
            "name": row["name"],
            "status": row.get("status") or row.get("state") or "",
            "ports": ", ".join(row.get("ports") or []),
        }
        for row in report.get("containers") or []
    ]


def _gpu(gpu: dict[str, Any]) -> dict[str, Any]:
    used = gpu.get("memory_used_bytes")
    return {
        "index": gpu["index"],
        "name": gpu.get("name") or "",
        "temperature": gpu.get("temperature_celsius"),
        "powerDraw": gpu.get("power_watts"),
        "powerLimit": gpu.get("power_limit_watts"),
        "memoryUsed": _in(MIB, gpu.get("memory_held_bytes") if used is None else used),
        "memoryTotal": _in(MIB, gpu.get("memory_total_bytes")),
        "utilizationGpu": gpu.get("utilization_percent"),
    }


def _discrete(gpus: list[dict[str, Any]]) -> dict[str, float | None]:
    total, used = _total(gpus, "memory_total_bytes"), _total(gpus, "memory_used_bytes")
    free = total - used if total is not None and used is not None else None
    return {"total_gb": _in(GIB, total), "used_gb": _in(GIB, used), "free_gb": _in(GIB, free)}


def _total(rows: list[dict[str, Any]], name: str) -> int | None:
    known = [row[name] for row in rows if row.get(name) is not None]
    return sum(known) if known else None


def _in(unit: int, value: float | None) -> float | None:
    return None if value is None else round(value / unit, 2)
