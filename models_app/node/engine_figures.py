"""What an engine says of its own work, in the same words for every engine. Pure.

Names of series, by engine and version:
vLLM, vllm/v1/metrics/loggers.py (`gpu_cache_usage_perc` until 0.10, `kv_cache_usage_perc` since);
SGLang, "Production Metrics" (needs --enable-metrics); llama.cpp, tools/server/README.md (needs
--metrics); NIM, "Observability" (vLLM's names without prefix, at /v1/metrics); TensorRT-LLM,
trtllm-serve's /metrics, a JSON list of iterations; Ollama, docs/api.md, "List Running Models".
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from models_app.node.ollama import is_listed
from models_app.node.prometheus import Sample, samples_parse

FIGURES = (
    "requests_running",
    "requests_waiting",
    "prompt_tokens_total",
    "generation_tokens_total",
    "kv_cache_percent",
    "prompt_tokens_per_second",
    "generation_tokens_per_second",
    "loaded",
)
RATES = {
    "prompt_tokens_per_second": "prompt_tokens_total",
    "generation_tokens_per_second": "generation_tokens_total",
}
# The names that a figure has had; the first that the engine offers counts.
SERIES: dict[str, tuple[str, ...]] = {
    "requests_running": (
        "vllm:num_requests_running",
        "sglang:num_running_reqs",
        "llamacpp:requests_processing",
        "num_requests_running",
    ),
    "requests_waiting": (
        "vllm:num_requests_waiting",
        "sglang:num_queue_reqs",
        "llamacpp:requests_deferred",
        "num_requests_waiting",
    ),
    "prompt_tokens_total": (
        "vllm:prompt_tokens_total",
        "sglang:prompt_tokens_total",
        "llamacpp:prompt_tokens_total",
        "prompt_tokens_total",
    ),
    "generation_tokens_total": (
        "vllm:generation_tokens_total",
        "sglang:generation_tokens_total",
        "llamacpp:tokens_predicted_total",
        "generation_tokens_total",
    ),
    "kv_cache_percent": (
        "vllm:kv_cache_usage_perc",
        "vllm:gpu_cache_usage_perc",
        "sglang:token_usage",
        "llamacpp:kv_cache_usage_ratio",
        "gpu_cache_usage_perc",
    ),
}
# Series that move while an engine works although no token was counted yet: a long prompt is read in
# pieces, and SGLang and llama.cpp count tokens only when a request ends.
PROGRESS = (
    "vllm:iteration_tokens_total_sum",
    "vllm:num_preemptions_total",
    "sglang:num_used_tokens",
    "sglang:realtime_tokens_total",
    "sglang:gen_throughput",
    "llamacpp:n_decode_total",
    "llamacpp:n_tokens_max",
)
_NAMES = frozenset(name for names in SERIES.values() for name in names) | frozenset(PROGRESS)


@dataclass(frozen=True)
class Reading:
    """One answer: the figures it gave, and all that moves while the engine works."""

    figures: dict[str, Any] = field(default_factory=dict)
    progress: tuple[float, ...] = ()

    @property
    def is_busy(self) -> bool:
        """Whether requests run or wait."""
        return bool(self.figures.get("requests_running") or self.figures.get("requests_waiting"))

    @property
    def counts_tokens(self) -> bool:
        """Whether the engine says enough to see it stand still."""
        return "requests_running" in self.figures and "generation_tokens_total" in self.figures


def reading_prometheus(body: bytes) -> Reading:
    """Read a Prometheus text; figures that it does not give are left out."""
    samples = [one for one in samples_parse(body, _NAMES) if one.labels.get("tp_rank", "0") == "0"]
    by_name: dict[str, list[float]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample.value)
    figures: dict[str, Any] = {}
    for figure, names in SERIES.items():
        values = next((by_name[name] for name in names if name in by_name), None)
        if values is not None and figure == "kv_cache_percent":
            figures[figure] = round(100 * max(values), 1)
        elif values is not None:
            figures[figure] = round(sum(values))
    return Reading(figures, _progress(samples))


def _progress(samples: list[Sample]) -> tuple[float, ...]:
    waiting = SERIES["requests_waiting"]  # a queue that grows is no work done
    return tuple(sample.value for sample in samples if sample.name not in waiting)


def reading_trtllm(body: bytes) -> Reading | None:
    """Read TensorRT-LLM's list of iterations since the last question; None if it is something else.

    The list is empty while the engine idles or keeps no statistics.
    """
    try:
        last = json.loads(body)[-1]
        figures: dict[str, Any] = {
            "requests_running": int(last["numActiveRequests"]),
            "requests_waiting": int(last["numQueuedRequests"]),
        }
        cache = last.get("kvCacheStats") or {}
        if cache.get("maxNumBlocks"):
            figures["kv_cache_percent"] = round(100 * cache["usedNumBlocks"] / cache["maxNumBlocks"], 1)
        return Reading(figures, (float(last.get("iter") or 0),))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def reading_ollama(body: bytes, model: str) -> Reading | None:
    """Read /api/ps: whether the model is in memory. None if it is something else."""
    try:
        names = [str(row["name"]) for row in json.loads(body)["models"]]
    except (ValueError, LookupError, TypeError):
        return None
    return Reading({"loaded": is_listed(model, names)})


def reading_of(kind: str, model: str, body: bytes) -> Reading | None:
    """Read an answer of an engine whose probe is of `kind`; None for one that tells nothing."""
    if kind == "ollama":
        return reading_ollama(body, model)
    if body.lstrip()[:1] in (b"[", b"{"):
        return reading_trtllm(body)
    reading = reading_prometheus(body)
    return reading if reading.figures else None


def engine_json(reading: Reading | None, rates: dict[str, float | None], stale: bool) -> dict[str, Any]:
    """The report's `engine`: every figure, null with the reason where there is none."""
    known = {} if reading is None or stale else {**reading.figures, **rates}
    why = "stale" if stale else "unsupported"
    values = {name: known.get(name) for name in FIGURES}
    return {**values, "why": {name: why for name, value in values.items() if value is None}}


def rates_between(before: Reading, after: Reading, seconds: float) -> dict[str, float | None]:
    """Tokens a second between two readings; none where a counter began anew."""
    return {rate: _rate(before, after, counter, seconds) for rate, counter in RATES.items()}


def _rate(before: Reading, after: Reading, counter: str, seconds: float) -> float | None:
    old, new = before.figures.get(counter), after.figures.get(counter)
    if old is None or new is None or new < old or seconds <= 0:
        return None
    return round(float(new - old) / seconds, 1)
