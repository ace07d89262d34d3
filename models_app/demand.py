"""How much memory a start would take, as a sum that explains itself. Pure.

Weights come from what the node read in its cache, else from the definition's
estimate, else from the peak of earlier launches. vLLM and SGLang take a share
of the whole memory, whatever the model; the sum then says what lies within it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models_app.engines.vllm_settings import vllm_versions
from models_app.kv_cache import KvShape, kv_shape, value_bytes_of
from models_app.room import GIB, Room

# vLLM on GB10, measured over weights and KV cache: 5.4 to 6.7 GiB (llamastash/llamastash PR 81).
# The others are set near it, not measured.
OVERHEAD_GIB = {"vllm": 6.7, "sglang": 6.7, "trtllm": 6.7, "llamacpp": 2.0, "ollama": 2.0}
OVERHEAD_CPU_GIB = 1.5
# vLLM's own look at free memory ran 2.6 to 2.7 GiB below MemAvailable: its container and the CUDA
# context are there already (the same PR).
OUTSIDE_SHARE_GIB = 3.0
VLLM_UTILIZATION = 0.92
SGLANG_FRACTION = 0.88
TRTLLM_FRACTION = 0.9
# Two models with a vision part went 29 and 30 GiB over their share while vLLM started, with weights of
# 48 and about 60 GiB (vllm#46307, #56824).
VISION_START_SHARE = 0.65
# Ollama's context without a setting, by the memory of the GPU (docs.ollama.com, Context length).
OLLAMA_CONTEXTS = ((48, 262_144), (24, 32_768), (0, 4096))
PARALLEL = {"vllm": ("tensor_parallel_size", "pipeline_parallel_size"), "sglang": ("tp_size", "pp_size"),
            "trtllm": ("tp_size", "pp_size")}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line of the sum. `within`: it lies inside the line above and is not added."""

    label: str
    bytes: int
    source: str
    within: bool = False


@dataclass(frozen=True)
class Demand:
    """What a start takes. `basis` is weights, estimate, peak or unknown.

    `cards` is on how many discrete GPUs it lies, each of which needs all of it; 0: it
    spreads over all there are. `problem` is why it cannot start whatever is free.
    """

    lines: tuple[Line, ...]
    basis: str
    cards: int = 0
    problem: str = ""
    advice: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int | None:
        return sum(line.bytes for line in self.lines if not line.within) if self.lines else None


@dataclass(frozen=True)
class Asked:
    """A definition on a node, as far as its memory goes.

    `weights` is what the node read (models_app/node/weights_look.py); `peak_bytes` the
    highest of earlier launches there, `peak_same` whether those ran the same command.
    The estimate is for this node where the model lies on `node_count` of them.
    """

    engine: str
    settings: Mapping[str, Any]
    image: str = ""
    weights: Mapping[str, Any] = field(default_factory=dict)
    estimate_bytes: int | None = None
    peak_bytes: int | None = None
    peak_same: bool = False
    node_count: int = 1


def demand_of(asked: Asked, room: Room) -> Demand:
    """Make the sum for a start on a node that has this room."""
    plan = _Plan(asked, room)
    made = ENGINES.get(asked.engine, _whole)(plan)
    if asked.peak_bytes and asked.peak_same and made.lines:
        more = asked.peak_bytes - (made.total_bytes or 0)
        if more > 0:
            line = Line(
                "More than the sum, once", more, "the peak of an earlier launch with the same command"
            )
            return Demand((*made.lines, line), made.basis, made.cards, made.problem, made.advice)
    return made


class _Plan:
    """What the engines' sums share, worked out once. Amounts are for one GPU."""

    def __init__(self, asked: Asked, room: Room) -> None:
        self.asked, self.room = asked, room
        tensor, pipeline = PARALLEL.get(asked.engine, ("", ""))
        self.tensor = self.number(tensor) or 1
        self.ranks = max(self.tensor * (self.number(pipeline) or 1), asked.node_count)
        whole = asked.weights.get("weights_bytes")
        self.weights = round(whole / self.ranks) if whole else None
        self.config: Mapping[str, Any] = asked.weights.get("config") or {}
        self.shape: KvShape | None = kv_shape(self.config)
        overhead = OVERHEAD_GIB.get(asked.engine, 0.0) if room.has_gpu else OVERHEAD_CPU_GIB
        self.overhead = round(overhead * GIB)

    def number(self, name: str) -> int:
        value = self.asked.settings.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else 0

    def fraction(self, name: str, default: float) -> float:
        value = self.asked.settings.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default

    def gpu_total(self) -> int | None:
        """The memory that a share is a share of: of the smallest card in use, or all of a unified one."""
        if self.room.cards:
            return min(card.total_bytes for card in self.room.cards_used(self.ranks))
        return self.room.total_bytes if self.room.unified else None

    def context(self, name: str) -> int:
        own = self.shape.context_most if self.shape else None
        return self.number(name) or own or 0

    def kv_bytes(self, context: int, sequences: int, words: str | None = None) -> int | None:
        if self.shape is None or not context:
            return None
        one = value_bytes_of(words or self.asked.settings.get("kv_cache_dtype"), self.config)
        return round(self.shape.bytes(context, sequences, one, self.tensor) * self.tensor / self.ranks)

    def weights_line(self, within: bool = False) -> Line:
        files, kind = self.asked.weights.get("files") or 0, self.asked.weights.get("kind") or "weights"
        source = f"{files} {kind} file{'' if files == 1 else 's'} on the node"
        if self.asked.weights.get("status") == "partial":
            source = "the index of its files; they are not all there yet"
        if self.ranks > 1:
            source += f", split over {self.ranks} GPUs"
        return Line("Weights", self.weights or 0, source, within)

    def overhead_line(self, within: bool = False) -> Line:
        return Line("Overhead", self.overhead, "CUDA context, graphs, work space" if self.room.has_gpu
                    else "the engine's process", within)  # fmt: skip


def _whole(plan: _Plan) -> Demand:
    """Nothing is known of the parts: the owner's estimate, else what earlier launches took."""
    asked = plan.asked
    if asked.estimate_bytes is not None:
        return Demand((Line("Estimate", asked.estimate_bytes, "the definition"),), "estimate")
    if asked.peak_bytes:
        return Demand((Line("Peak", asked.peak_bytes, "earlier launches of this definition"),), "peak")
    return Demand((), "unknown")


def _added(plan: _Plan, kv: int | None, words: str) -> Demand:
    """Weights, KV cache and overhead, one after the other."""
    if plan.weights is None:
        return _whole(plan)
    lines = [plan.weights_line()]
    if kv is not None:
        lines.append(Line("KV cache", kv, words))
    lines.append(plan.overhead_line())
    return Demand(tuple(lines), "weights")


def _tokens(context: int, sequences: int) -> str:
    return f"{sequences} sequence{'' if sequences == 1 else 's'} of {context:,} tokens"


def _llamacpp(plan: _Plan) -> Demand:
    context = plan.context("ctx_size")
    kinds = [plan.asked.settings.get(name) or "f16" for name in ("cache_type_k", "cache_type_v")]
    halves = [plan.kv_bytes(context, 1, kind) for kind in kinds]
    kv = sum(half or 0 for half in halves) // 2 if None not in halves else None
    return _added(plan, kv, f"{context:,} tokens in all slots, {' and '.join(dict.fromkeys(kinds))}")


def _ollama(plan: _Plan) -> Demand:
    total = (plan.room.cards[0].total_bytes if plan.room.cards else plan.room.total_bytes) or 0
    usual = next(tokens for least, tokens in OLLAMA_CONTEXTS if total >= least * GIB)
    most = plan.shape.context_most if plan.shape else None
    context = plan.number("context_length") or min(usual, most or usual)
    sequences = plan.number("num_parallel") or 1
    kv = plan.kv_bytes(context, sequences, plan.asked.settings.get("kv_cache_type") or "f16")
    return _added(plan, kv, _tokens(context, sequences))


def _trtllm(plan: _Plan) -> Demand:
    """Its KV cache is a share of what the weights leave free."""
    fraction = plan.fraction("kv_cache_free_gpu_memory_fraction", TRTLLM_FRACTION)
    cards = plan.room.cards_used(plan.ranks)
    free = min((card.free_bytes for card in cards), default=plan.room.available_bytes or 0)
    left = max(0, free - (plan.weights or 0) - plan.overhead)
    made = _added(plan, round(fraction * left), f"{fraction:g} of what the weights leave free")
    return Demand(made.lines, made.basis, len(cards))


def _sglang(plan: _Plan) -> Demand:
    total = plan.gpu_total()
    if total is None:
        return _sequence(plan, "context_length")
    fraction = plan.fraction("mem_fraction_static", SGLANG_FRACTION)
    said = "mem_fraction_static" if "mem_fraction_static" in plan.asked.settings else "SGLang's default"
    lines = [Line(f"SGLang's share, {fraction:g} of {total / GIB:.1f} GiB", round(fraction * total), said)]
    lines += [plan.weights_line(within=True)] if plan.weights is not None else []
    lines.append(plan.overhead_line())
    return _at_least_estimate(plan, lines, plan.weights is not None)


def _sequence(plan: _Plan, context_name: str) -> Demand:
    """On the CPU: a KV cache for one full sequence at least."""
    context = plan.context(context_name)
    return _added(plan, plan.kv_bytes(context, 1), _tokens(context, 1))


def _at_least_estimate(plan: _Plan, lines: list[Line], weights_known: bool, **more: Any) -> Demand:
    """A share, but not less than the owner's estimate while the weights are not known."""
    total = sum(line.bytes for line in lines if not line.within)
    missing = (plan.asked.estimate_bytes or 0) - total
    if not weights_known and missing > 0:
        lines.append(Line("Up to the estimate", missing, "the definition"))
    cards = len(plan.room.cards_used(plan.ranks))
    return Demand(tuple(lines), "weights" if weights_known else "share", cards, **more)


def _vllm(plan: _Plan) -> Demand:
    total = plan.gpu_total()
    if total is None:
        return _sequence(plan, "max_model_len")
    utilization = plan.fraction("gpu_memory_utilization", VLLM_UTILIZATION)
    share = round(utilization * total)
    set_kv = plan.number("kv_cache_memory_bytes")
    if plan.weights is not None and set_kv:
        lines = _vllm_set_lines(plan, share, set_kv)
    else:
        said = (
            "gpu_memory_utilization" if "gpu_memory_utilization" in plan.asked.settings else "vLLM's default"
        )
        lines = [Line(f"vLLM's share, {utilization:g} of {total / GIB:.1f} GiB", share, said)]
        lines += _vllm_within(plan, share)
    if plan.room.unified:
        lines.append(Line("Outside the share", round(OUTSIDE_SHARE_GIB * GIB), "vLLM's processes"))
        lines += _vision_line(plan)
    problem = "" if set_kv else _vllm_problem(plan, share, total)
    advice = (
        *_advice_utilization(plan, utilization, total),
        *_advice_flush(plan, share),
        *_advice_load(plan),
    )
    return _at_least_estimate(plan, lines, plan.weights is not None, problem=problem, advice=advice)


def _vllm_set_lines(plan: _Plan, share: int, set_kv: int) -> list[Line]:
    """With `kv_cache_memory_bytes`: weights and that, but the share must be free before vLLM begins."""
    lines = [plan.weights_line(), Line("KV cache", set_kv, "kv_cache_memory_bytes"), plan.overhead_line()]
    asked_free = share - sum(line.bytes for line in lines)
    if asked_free > 0:
        lines.append(
            Line("Asked to be free", asked_free, "vLLM checks gpu_memory_utilization before it loads")
        )
    return lines


def _vllm_within(plan: _Plan, share: int) -> list[Line]:
    if plan.weights is None:
        return []
    left = max(0, share - plan.weights - plan.overhead)
    context = plan.context("max_model_len")
    one = plan.kv_bytes(context, 1)
    words = (
        f"room for {left / one:.1f} sequences of {context:,} tokens" if one else "what is left of the share"
    )
    kv = Line("KV cache", left, words, within=True)
    return [plan.weights_line(within=True), kv, plan.overhead_line(within=True)]


def _vision_line(plan: _Plan) -> list[Line]:
    if not plan.config.get("multimodal") or plan.weights is None or plan.asked.peak_same:
        return []
    words = "models with a vision part were seen to take this beyond their share while vLLM starts"
    return [Line("Start of a vision model", round(VISION_START_SHARE * plan.weights), words)]


def _vllm_problem(plan: _Plan, share: int, total: int) -> str:
    """Why vLLM would refuse by itself: its share does not hold the weights and one full sequence."""
    if plan.weights is None:
        return ""
    context = plan.context("max_model_len")
    one = plan.kv_bytes(context, 1) or 0
    inside = plan.overhead - round(OUTSIDE_SHARE_GIB * GIB)
    if plan.weights + one + inside <= share:
        return ""
    needed = (plan.weights + one + plan.overhead) / total
    remedy = (
        f"raise gpu_memory_utilization to {needed + 0.005:.2f}"
        if needed < 0.95
        else "the model is too large for it"
    )
    return (
        f"its share of {share / GIB:.1f} GiB does not hold the weights ({plan.weights / GIB:.1f} GiB) and "
        f"one sequence of {context:,} tokens ({one / GIB:.1f} GiB); {remedy}, or lower max_model_len"
    )


def utilization_rule(demand: int, available: int, total: int) -> float:
    """The share to ask for: floor to two digits of min(demand, MemAvailable - 3 GiB) / total.

    Source: measured on GB10, llamastash/llamastash PR 81; to be passed together
    with `kv_cache_memory_bytes`, for vLLM checks its share before that counts.
    """
    visible = available - round(OUTSIDE_SHARE_GIB * GIB)
    return max(0.01, min(0.99, int(100 * min(demand, visible) / total) / 100))


def _advice_utilization(plan: _Plan, utilization: float, total: int) -> tuple[str, ...]:
    sequences = plan.number("max_num_seqs")
    context = plan.context("max_model_len")
    kv = plan.kv_bytes(context, sequences) if sequences else None
    available = plan.room.available_bytes
    if not plan.room.unified or plan.weights is None or kv is None or available is None:
        return ()
    fixed = plan.weights + plan.overhead
    wanted = utilization_rule(fixed + kv, available, total)
    cap = min(kv, int(wanted * total) - fixed)
    if cap <= 0 or (abs(wanted - utilization) < 0.015 and plan.number("kv_cache_memory_bytes")):
        return ()
    need = f"{(fixed + cap) / GIB:.1f} GiB"
    what = f"{_tokens(context, sequences)} need {need}" if cap == kv else f"What fits now is {need}"
    return (f"{what}: gpu_memory_utilization: {wanted:.2f} with kv_cache_memory_bytes: {cap}.",)


def _advice_flush(plan: _Plan, share: int) -> tuple[str, ...]:
    room = plan.room
    newest = vllm_versions(plan.asked.image)
    reads_available = newest.oldest is not None and newest.oldest >= (0, 24)
    if not room.unified or reads_available or room.free_bytes is None or room.available_bytes is None:
        return ()
    if not room.free_bytes < share <= room.available_bytes:
        return ()
    return (
        f"vLLM before 0.24 may look at free memory alone ({room.free_bytes / GIB:.0f} GiB) and refuse, for "
        f"page cache holds {(room.reclaimable_bytes or 0) / GIB:.0f} GiB. Empty it on the node first: "
        "sync; echo 3 | sudo tee /proc/sys/vm/drop_caches",
    )


def _advice_load(plan: _Plan) -> tuple[str, ...]:
    total = plan.room.total_bytes
    quick = plan.asked.settings.get("load_format") == "fastsafetensors"
    if not quick or not plan.room.unified or not total or (plan.weights or 0) < 0.8 * total:
        return ()
    return ("load_format: fastsafetensors is not for weights above 0.8 of the memory; leave it out.",)


ENGINES = {"vllm": _vllm, "sglang": _sglang, "trtllm": _trtllm, "llamacpp": _llamacpp, "ollama": _ollama}
