"""Starts that people reported or measured, for the truth table of fit.py and for bench/fit.py.

Amounts in GiB. `fits` is how it ended: True, it ran; False, it was refused by the
engine, ran out of memory or froze the machine. Where `told` says "sum", nobody
reported it: the engine's own rule or the measured parts say how it must end. Sources are issues
in the field's own trackers; where one gives no MemAvailable at the start, that
of an idle Spark (116 GiB, as unsloth PR 10705 has it) is taken, and 2.7 GiB are
added to what vLLM said it saw.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from models_app.demand import Asked, demand_of
from models_app.engines.container import settings_merged
from models_app.engines.inputs import DefinitionData
from models_app.engines.registry import engine_kind
from models_app.fit import Claim, Fit, fit
from models_app.room import room_of

GIB = 2**30
SPARK_GIB = 121.69
RESERVE_GIB = 4


@dataclass(frozen=True)
class Case:
    """One start on one machine. `free` is MemFree, `cards` total and free of each discrete GPU."""

    name: str
    fits: bool
    source: str
    available: float
    engine: str = "vllm"
    settings: dict[str, Any] = field(default_factory=dict)
    image: str = "vllm/vllm-openai:v0.28.0"
    total: float = SPARK_GIB
    free: float | None = None
    weights: float | None = None
    config: dict[str, Any] = field(default_factory=dict)
    estimate: float | None = None
    peak: float | None = None
    loading: float = 0.0
    cards: tuple[tuple[float, float], ...] = ()
    told: str = "report"

    def report(self) -> dict[str, Any]:
        """The node's report at that moment, as far as memory goes."""
        free = self.available if self.free is None else self.free
        return {
            "host": {
                "memory_total_bytes": round(self.total * GIB),
                "memory_available_bytes": round(self.available * GIB),
                "memory_free_bytes": round(free * GIB),
                "memory_reclaimable_bytes": round(max(0.0, self.available - free) * GIB),
            },
            "gpu": {"status": "ok", "unified_memory": not self.cards},
            "gpus": [
                {
                    "index": index,
                    "memory_total_bytes": round(total * GIB),
                    "memory_used_bytes": round((total - left) * GIB),
                }
                for index, (total, left) in enumerate(self.cards)
            ],
        }

    def answer(self) -> dict[str, Any]:
        """What the node read of the weights."""
        if self.weights is None:
            return {}
        size = round(self.weights * GIB)
        return {
            "status": "ok",
            "weights_bytes": size,
            "files": 1,
            "kind": "safetensors",
            "config": self.config,
        }


# Shapes as their config.json gives them.
QWEN3_30B = {
    "model_type": "qwen3_moe", "num_hidden_layers": 48, "hidden_size": 2048, "num_attention_heads": 32,
    "num_key_value_heads": 4, "head_dim": 128, "torch_dtype": "bfloat16", "max_position_embeddings": 262144,
}  # fmt: skip
QWEN3_32B = {
    "model_type": "qwen3", "num_hidden_layers": 64, "hidden_size": 5120, "num_attention_heads": 64,
    "num_key_value_heads": 8, "head_dim": 128, "torch_dtype": "bfloat16", "max_position_embeddings": 40960,
}  # fmt: skip
LLAMA_8B = {
    "model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
    "num_key_value_heads": 8, "torch_dtype": "bfloat16", "max_position_embeddings": 131072,
}  # fmt: skip
NEMOTRON_120B = {
    "model_type": "nemotron_h", "num_hidden_layers": 88, "hidden_size": 4096, "num_attention_heads": 32,
    "num_key_value_heads": 2, "head_dim": 128, "torch_dtype": "bfloat16",
    "hybrid_override_pattern": "MEMEMEM*E" * 8 + "MEMEMEMEMEMEMEME", "max_position_embeddings": 262144,
}  # fmt: skip
VISION = {**LLAMA_8B, "multimodal": True}


def _u(value: float, **more: Any) -> dict[str, Any]:
    return {"gpu_memory_utilization": value, **more}


CASES = (
    # vLLM's share on an idle Spark
    Case("the default of 0.92 on an idle Spark", False, "vllm recipes PR 632", 116.0, weights=75.0,
         config=NEMOTRON_120B),
    Case("0.85 on an idle Spark", True, "vllm recipes PR 632", 116.0, settings=_u(0.85, max_model_len=131072),
         weights=75.0, config=NEMOTRON_120B),
    Case("0.85 with only an estimate", True, "vllm recipes PR 632", 116.0, settings=_u(0.85), estimate=90.0),
    Case("0.92 with only an estimate", False, "vllm recipes PR 632", 116.0, settings=_u(0.92), estimate=90.0),
    Case("0.87 where vLLM saw 110.4 free", True, "GLM-5.3-Flash-EXL3-2x-DGX-Sparks#47", 113.0,
         settings=_u(0.87), estimate=100.0),
    Case("0.87 where vLLM saw 102 free", False, "GLM-5.3-Flash-EXL3-2x-DGX-Sparks#47", 104.7,
         settings=_u(0.87), estimate=100.0),
    Case("0.82 where vLLM saw 102 free", True, "GLM-5.3-Flash-EXL3-2x-DGX-Sparks#47", 104.7,
         settings=_u(0.82), estimate=95.0),
    Case("0.87 with its vision part, weights known", True, "GLM-5.3-Flash-EXL3-2x-DGX-Sparks#47", 113.0,
         settings=_u(0.87, max_model_len=131072), weights=79.0, config=VISION),
    # the share goes beyond itself while it starts
    Case("gemma-4-26B at 0.70 froze the host", False, "vllm#46307", 112.0, total=119.0,
         settings=_u(0.70, max_model_len=8192), weights=48.0, config=VISION),
    Case("a vision model at 0.70 collapsed", False, "vllm#56824", 116.0,
         settings=_u(0.70, max_model_len=16384, max_num_seqs=32), weights=60.0, config=VISION),
    Case("a vision model that ran here before, at 0.70", True, "the learned peak", 116.0, told="sum",
         settings=_u(0.70, max_model_len=16384), weights=20.0, config=VISION, peak=88.0),
    Case("Qwen2-VL-7B at 0.40 on an idle Spark", True, "owners' catalogue", 116.0, told="sum",
         settings=_u(0.40, max_model_len=32768), weights=15.5, config=VISION),
    # beside a tenant
    Case("0.5 beside a tenant, 56.3 available", False, "vllm#48140", 56.3, total=119.56, free=26.5,
         settings=_u(0.5), estimate=40.0),
    Case("0.35 where vLLM saw 38.7 free", False, "rwlove/home-ops PR 13221", 41.4, total=121.63,
         settings=_u(0.35), estimate=30.0),
    Case("0.28 after that", True, "rwlove/home-ops PR 13221", 45.0, total=121.63, settings=_u(0.28),
         estimate=30.0),
    Case("a KV cap without a share beside a tenant", False, "llamastash#80", 52.0, free=2.77,
         settings={"kv_cache_memory_bytes": 8 * GIB, "max_model_len": 32768}, weights=15.0, config=LLAMA_8B),
    Case("the same with the share by the rule", True, "llamastash PR 81", 52.0, free=2.77,
         settings=_u(0.24, kv_cache_memory_bytes=8 * GIB, max_model_len=32768), weights=15.0,
         config=LLAMA_8B),
    Case("0.25 where vLLM saw 29.83 free", False, "llamastash PR 81", 32.4,
         settings=_u(0.25, kv_cache_memory_bytes=8 * GIB, max_model_len=8192), weights=15.0,
         config=LLAMA_8B),
    # page cache is no use of memory
    Case("60 GiB of page cache, 42 free, 116 available", True, "unsloth PR 10705", 116.0, free=42.0,
         settings=_u(0.60), estimate=60.0),
    Case("51 GiB of page cache, 65 free", True, "omlx PR 3526", 108.0, free=60.5, settings=_u(0.70),
         estimate=80.0),
    # what Docker does not see: 12 GiB of CUDA, 409 MB counted; only MemAvailable tells
    Case("CUDA that Docker does not count", False, "model-serving-minefield#57", 40.0, settings=_u(0.35),
         estimate=40.0),
    # one after the other
    Case("a second model while the first still loads", False, "vllm#46307, start one at a time", 110.0,
         settings=_u(0.50), estimate=50.0, loading=48.0, told="sum"),
    Case("a second model while a small one loads", True, "start one at a time", 110.0, settings=_u(0.40),
         estimate=40.0, loading=12.0, told="sum"),
    # owners' estimates that are wrong, by what the node read
    Case("bf16 weights with a 4-bit estimate", False, "weights 57, estimate 20", 60.0, told="sum",
         settings=_u(0.50, max_model_len=32768), weights=57.0, config=QWEN3_30B, estimate=20.0),
    Case("4-bit weights with a bf16 estimate", True, "owners' catalogue: AWQ", 60.0, told="sum",
         settings=_u(0.40, max_model_len=65536), weights=16.9, config=QWEN3_30B, estimate=65.0),
    Case("a share too small for weights and one sequence", False, "vLLM: no memory for the cache", 116.0,
         told="sum", settings=_u(0.50, max_model_len=40960), weights=61.0, config=QWEN3_32B),
    Case("no weights known, a peak of the same command", False, "the learned peak", 60.0, told="sum",
         engine="nim", estimate=40.0, peak=62.0),
    # llama.cpp and Ollama
    Case("GGUF, the whole context at f16", False, "weights 40 + KV 8 x 131,072", 50.0, told="sum",
         engine="llamacpp", settings={"ctx_size": 131072}, weights=40.0, config=LLAMA_8B),
    Case("GGUF, 8,192 tokens", True, "weights 40 + KV 1", 50.0, told="sum", engine="llamacpp",
         settings={"ctx_size": 8192}, weights=40.0, config=LLAMA_8B),
    Case("GGUF, the context at q4", True, "weights 20 + KV 4.5", 34.0, told="sum", engine="llamacpp",
         settings={"ctx_size": 131072, "cache_type_k": "q4_0", "cache_type_v": "q4_0"}, weights=20.0,
         config=LLAMA_8B),
    Case("Ollama with four at once", False, "weights 20 + KV 4 x 8", 48.0, told="sum", engine="ollama",
         settings={"context_length": 65536, "num_parallel": 4}, weights=20.0, config=LLAMA_8B),
    Case("Ollama with one", True, "weights 20 + KV 4", 48.0, told="sum", engine="ollama",
         settings={"context_length": 32768}, weights=20.0, config=LLAMA_8B),
    # SGLang and TensorRT-LLM
    Case("SGLang's default beside a tenant", False, "its share is of the whole", 70.0, told="sum",
         engine="sglang", weights=16.9, config=QWEN3_30B),
    Case("SGLang at 0.4", True, "its share is of the whole", 70.0, told="sum", engine="sglang",
         settings={"mem_fraction_static": 0.4}, weights=16.9, config=QWEN3_30B),
    # discrete cards, each for itself
    Case("two cards of which one is taken", False, "tensor parallel: per card", 100.0, total=128.0,
         told="sum", settings=_u(0.9, tensor_parallel_size=2, max_model_len=32768), weights=30.0,
         config=QWEN3_32B, cards=((48, 47), (48, 20))),
    Case("two free cards", True, "tensor parallel: per card", 100.0, total=128.0, told="sum",
         settings=_u(0.9, tensor_parallel_size=2, max_model_len=32768), weights=30.0, config=QWEN3_32B,
         cards=((48, 47.4), (48, 47.4))),
    Case("40 GiB free on two cards, one model of 30 on one", False, "a card is no pool", 100.0, total=128.0,
         told="sum", settings=_u(0.9, max_model_len=8192), weights=30.0, config=QWEN3_32B,
         cards=((24, 20), (24, 20))),
    Case("llama.cpp over two cards", True, "it spreads layers", 100.0, total=128.0, told="sum",
         engine="llamacpp", settings={"ctx_size": 8192}, weights=30.0, config=LLAMA_8B,
         cards=((24, 23), (24, 23))),
)  # fmt: skip


def judge(case: Case) -> Fit:
    """What fit.py says about a case."""
    room = room_of(case.report())
    data = DefinitionData("m", "org/m", 8000, settings=case.settings)
    asked = Asked(
        engine=case.engine,
        settings=settings_merged(engine_kind(case.engine), data, {}),
        image=case.image,
        weights=case.answer(),
        estimate_bytes=None if case.estimate is None else round(case.estimate * GIB),
        peak_bytes=None if case.peak is None else round(case.peak * GIB),
        peak_same=case.peak is not None,
    )
    claims = [Claim("1", "other", round(case.loading * GIB))] if case.loading else []
    return fit(
        node="spark-1",
        demand=demand_of(asked, room),
        room=room,
        reserve_bytes=RESERVE_GIB * GIB,
        claims=claims,
    )
