"""Where a node's memory is: the ledger. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metrics_app.verdicts.reading import Reading

ROWS_MOST = 8


def ledger(reading: Reading, models: Mapping[str, str]) -> dict[str, Any]:
    """Who holds how much memory, bytes; `models` names the model of a container by the container's id.

    Rows: one for each model and each other container, the largest eight, the host's processes on
    the GPU, and, where the machine's own memory is told, the rest of it. `gpu_bytes` is what
    processes hold by the driver's count, `memory_bytes` what the control group counts; on unified
    memory both are of the same RAM and the group may not count the GPU's pages, so they are added.
    """
    rows = _rows(reading, models)
    used = None
    if reading.memory_total is not None and reading.memory_available is not None:
        used = max(0.0, reading.memory_total - reading.memory_available)
        counted = sum(row["memory_bytes"] + (row["gpu_bytes"] if reading.unified else 0.0) for row in rows)
        rest = max(0.0, used - counted)
        rows.append(_row("rest", "Everything else on the machine", 0.0, rest))
    return {
        "rows": [_whole(row) for row in rows],
        "unified": reading.unified,
        "total_bytes": _int(reading.memory_total),
        "used_bytes": _int(used),
        "reclaimable_bytes": _int(reading.memory_reclaimable),
        "headroom_bytes": _int(reading.memory_available),
    }


def _rows(reading: Reading, models: Mapping[str, str]) -> list[dict[str, Any]]:
    gpu_held = _gpu_held(reading)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    named = {one.id: one.name for one in reading.containers or ()}
    memory = {one.id: one.memory_bytes for one in reading.containers or () if one.runs}
    for container_id in dict.fromkeys([*memory, *(key for key in gpu_held if key is not None)]):
        slug = models.get(container_id)
        kind, name = ("model", slug) if slug else ("container", named.get(container_id, container_id[:12]))
        row = found.setdefault((kind, name), _row(kind, name, 0.0, 0.0))
        row["gpu_bytes"] += gpu_held.get(container_id, 0.0)
        row["memory_bytes"] += memory.get(container_id, 0.0)
    rows = sorted(found.values(), key=_size, reverse=True)
    shown, more = rows[:ROWS_MOST], rows[ROWS_MOST:]
    if more:
        gpu, held = (sum(row[name] for row in more) for name in ("gpu_bytes", "memory_bytes"))
        shown.append(_row("container", f"{len(more)} more containers", gpu, held))
    if gpu_held.get(None):
        shown.append(_row("host", "Processes of the host, on the GPU", gpu_held[None], 0.0))
    return shown


def _gpu_held(reading: Reading) -> dict[str | None, float]:
    held: dict[str | None, float] = {}
    for process in (process for gpu in reading.gpus for process in gpu.processes):
        held[process.container_id] = held.get(process.container_id, 0.0) + process.memory_bytes
    return held


def _row(kind: str, name: str, gpu: float, memory: float) -> dict[str, Any]:
    return {"kind": kind, "name": name, "gpu_bytes": gpu, "memory_bytes": memory}


def _size(row: dict[str, Any]) -> float:
    return float(row["gpu_bytes"] + row["memory_bytes"])


def _whole(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "gpu_bytes": int(row["gpu_bytes"]), "memory_bytes": int(row["memory_bytes"])}


def _int(value: float | None) -> int | None:
    return None if value is None else int(value)
