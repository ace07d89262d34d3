"""Will it fit: the estimate against what a node has left. Pure.

On unified memory (GB10) and on nodes without a GPU the measure is the host's
MemAvailable less a reserve; on discrete cards it is the free memory of all
GPUs together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

GIB = 2**30


@dataclass(frozen=True)
class MemoryCheck:
    """The answer in GiB (the catalogue's `_gb` names are kept for clients), with its sentence."""

    can_start: bool
    available_gb: float | None
    required_gb: float | None
    remaining_gb: float | None
    warning: str | None = None
    error: str | None = None


def available_bytes(report: dict[str, Any]) -> int | None:
    """Return the bytes that a model could take on the node of this report, or None if unknown."""
    host, gpu = report.get("host") or {}, report.get("gpu") or {}
    if gpu.get("status") == "ok" and gpu.get("unified_memory") is False:
        free = [
            row["memory_total_bytes"] - row["memory_used_bytes"]
            for row in report.get("gpus") or []
            if row.get("memory_total_bytes") is not None and row.get("memory_used_bytes") is not None
        ]
        if free:
            return sum(free)
    return host.get("memory_available_bytes")


def memory_check(
    *, node: str, required_gb: float | None, report: dict[str, Any] | None, reserve_gb: float
) -> MemoryCheck:
    """Compare an estimate (GiB) with the newest report of a node."""
    available = available_bytes(report) if report else None
    if available is None:
        return MemoryCheck(
            True,
            None,
            required_gb,
            None,
            warning=f"{node} has not reported its memory; the start is not checked",
        )
    available_gb = round(available / GIB, 1)
    if required_gb is None:
        return MemoryCheck(True, available_gb, None, None, warning="no estimate of the memory it needs")
    remaining = round(available_gb - required_gb, 1)
    if remaining < reserve_gb:
        sentence = f"needs {required_gb:g} GiB; {node} has {available_gb:g} GiB available"
        if remaining >= 0:
            sentence += f", and {reserve_gb:g} GiB stay reserved for the host"
        return MemoryCheck(False, available_gb, required_gb, remaining, error=sentence)
    tight = remaining < 2 * reserve_gb
    return MemoryCheck(
        True,
        available_gb,
        required_gb,
        remaining,
        warning=f"tight: {remaining:g} GiB remain on {node}" if tight else None,
    )
