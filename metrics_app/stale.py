"""What a report says of figures that nobody reads any more: nothing, and why."""

from __future__ import annotations

from typing import Any

from sparkweb.adapters.host import host_stale

GPU_IDENTITY = ("index", "uuid", "name", "state")
NO_GPU_SUMMARY = {"driver": None, "cuda": None, "unified_memory": False}


def gpu_stale(row: dict[str, Any]) -> dict[str, Any]:
    """Return a GPU's object with each figure None and `why: stale`; which card it is stays."""
    figures = [name for name in row if name not in (*GPU_IDENTITY, "processes", "why")]
    return {
        **{name: row[name] for name in GPU_IDENTITY},
        **dict.fromkeys(figures),
        "processes": [],
        "why": dict.fromkeys([*figures, "processes"], "stale"),
    }


def figures_stale(line: dict[str, Any] | None, silent_seconds: float) -> dict[str, Any]:
    """Return the sampler's part of a report while the sampler is silent.

    `line` is its last line, None when it never wrote one; `silent_seconds` is how
    long ago that was, or how long the agent has waited for the first.
    """
    last = line or {"gpu": NO_GPU_SUMMARY, "gpus": [], "host": None, "sampled_at": None}
    message = f"The sampler has not answered for {silent_seconds:.0f} s; it is being replaced"
    return {
        "gpu": {**last["gpu"], "status": "error", "message": message},
        "gpus": [gpu_stale(row) for row in last["gpus"]],
        "host": host_stale(last["host"]),
        "sampled_at": last["sampled_at"],
        "sampler": None,
        "counters": None,
    }
