"""Made-up history of a node, straight into the database, one reading for each step of each tier."""

from __future__ import annotations

import math
from collections.abc import Callable

from django.conf import settings

from metrics_app.history.figures import Figures
from metrics_app.history.open_chunks import OpenChunks
from metrics_app.history.packing import chunk_pack
from metrics_app.history.store import chunk_store
from metrics_app.history.tiers import DAY, Tier

GIB = 2**30


def figures_at(at: float) -> Figures:
    """What a busy Spark could tell at a moment: busy by day, idle by night."""
    day = 0.5 + 0.5 * math.sin(2 * math.pi * (at % DAY) / DAY)
    fast = math.sin(at / 97) * math.sin(at / 13)
    busy = min(1.0, max(0.0, day + 0.25 * fast))
    return {
        "cpu_percent": 12 + 40 * busy,
        "load": 1 + 6 * busy,
        "memory_used_bytes": (40 + 50 * busy) * GIB,
        "memory_available_bytes": (80 - 50 * busy) * GIB,
        "gpu_utilization_percent|0": 95 * busy,
        "gpu_memory_bytes|0": (20 + 30 * (busy > 0.5)) * GIB,
        "gpu_power_watts|0": 12 + 70 * busy,
        "gpu_temperature_celsius|0": 41 + 30 * busy,
        "gpu_clock_mhz|0": 2_400 - 300 * busy,
        "network_receive_bytes_per_second|eth0": 2e6 * busy,
        "network_transmit_bytes_per_second|eth0": 6e6 * busy,
        "disk_read_bytes_per_second|/": 8e6 * max(0.0, fast),
        "disk_write_bytes_per_second|/": 2e6 * busy,
        "disk_used_bytes|/": 600 * GIB,
        "model_generation_tokens_per_second|qwen3-coder-30b-awq": 120 * busy,
        "model_requests_running|qwen3-coder-30b-awq": round(6 * busy),
        "model_kv_cache_percent|qwen3-coder-30b-awq": 70 * busy,
        "container_cpu_percent|sparkweb-qwen3": 180 * busy,
        "container_memory_bytes|sparkweb-qwen3": 9 * GIB,
        "sampler_cpu_percent": 0.8,
    }


def history_seed(
    node_name: str,
    *,
    now: float,
    seconds: float,
    figures: Callable[[float], Figures] = figures_at,
    tiers: tuple[Tier, ...] | None = None,
) -> None:
    """Fill all tiers with the last `seconds` before `now` (seconds since the epoch)."""
    for tier in tiers or settings.HISTORY_TIERS:
        chunks = OpenChunks((tier,), lambda node, tier, start: None)
        at = math.floor((now - min(seconds, tier.keep)) / tier.step) * tier.step
        closed = []
        while at < now:
            closed += chunks.take(node_name, at, figures(at))
            at += tier.step
        for one in [*closed, *chunks.all()]:
            chunk_store(node_name, tier, one.start, chunk_pack(one.chunk))
