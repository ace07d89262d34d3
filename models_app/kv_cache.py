"""How many bytes the KV cache of a model takes, from its config.json or GGUF metadata. Pure.

Full attention keeps a key and a value of every token in each layer, for each
KV head (grouped heads share one). A sliding layer keeps its window alone. Latent
attention (MLA) keeps one compressed vector. Mamba and linear attention keep a
state of fixed size for each sequence. Source: vLLM, v1/kv_cache_interface.py
(FullAttentionSpec, SlidingWindowSpec, MLAAttentionSpec, MambaSpec).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Bytes of one value. The quantized types of llama.cpp hold blocks of 32 values with a scale.
VALUE_BYTES: dict[str, float] = {
    "float32": 4, "f32": 4, "float": 4, "float16": 2, "half": 2, "f16": 2, "bfloat16": 2, "bf16": 2,
    "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32, "q4_1": 20 / 32, "q4_0": 18 / 32, "iq4_nl": 18 / 32,
}  # fmt: skip
STATE_VALUE_BYTES = 4
# vLLM keeps whole blocks, and one more than the window needs.
WINDOW_EXTRA_TOKENS = 512
_LINEAR = ("linear_attention", "mamba", "conv", "recurrent")
# Every layer of these slides when a window is named; of any other the kinds must be named too.
_ALL_SLIDING = ("mistral", "mixtral", "phi3", "starcoder2")


@dataclass(frozen=True)
class KvShape:
    """Layers by kind, and what one token takes in each. `latent` is MLA's vector in values, else 0."""

    full_layers: int
    sliding_layers: int
    state_layers: int
    window: int
    key_values: float
    state_values: int
    latent: int
    kv_heads: float
    context_most: int | None

    def bytes(self, context: int, sequences: int, value_bytes: float, tensor_parallel: int = 1) -> int:
        """Bytes on one GPU for `sequences` full contexts of `context` tokens."""
        # Fewer heads than GPUs are copied; a latent vector is on each.
        share = 1.0 if self.latent else max(1.0 / tensor_parallel, 1.0 / max(1.0, self.kv_heads))
        kept = min(context, self.window + WINDOW_EXTRA_TOKENS) if self.window else context
        tokens = self.full_layers * context + self.sliding_layers * kept
        cache = tokens * self.key_values * value_bytes * share
        state = self.state_layers * self.state_values * STATE_VALUE_BYTES / tensor_parallel
        return round(sequences * (cache + state))


def kv_shape(config: Mapping[str, Any]) -> KvShape | None:
    """Read a model's shape; None where the config does not tell it."""
    layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
    heads_all = max(heads) if isinstance(heads, list) and heads else heads
    hidden = config.get("hidden_size")
    head_dim = config.get("head_dim") or (hidden // heads_all if hidden and heads_all else None)
    latent = (config.get("kv_lora_rank") or 0) + (config.get("qk_rope_head_dim") or 0)
    latent = latent if config.get("kv_lora_rank") else 0
    if not layers or not (latent or (heads_all and head_dim)):
        return None
    # Multi-token prediction adds layers that have a cache of their own.
    layers += config.get("num_nextn_predict_layers") or 0
    kv_heads = _kv_heads(config, heads_all or 1)
    key = head_dim or 0
    per_token = latent or kv_heads * (key + (config.get("v_head_dim") or key))
    full, sliding, state = _layer_kinds(config, layers)
    window = config.get("sliding_window") or 0
    if not window or config.get("use_sliding_window") is False:
        full, sliding, window = full + sliding, 0, 0
    most = config.get("max_position_embeddings")
    return KvShape(full, sliding, state, window, per_token, _state_values(config), latent, kv_heads, most)


def value_bytes_of(words: str | None, config: Mapping[str, Any]) -> float:
    """Bytes of one value for a `kv_cache_dtype` or a cache type of llama.cpp; auto: as the model's."""
    text = (words or "auto").lower()
    if text.startswith(("fp8", "int8")):
        return 1
    if text in VALUE_BYTES:
        return VALUE_BYTES[text]
    own = str(config.get("torch_dtype") or config.get("dtype") or "bfloat16").lower()
    return VALUE_BYTES.get(own, 2)


def _kv_heads(config: Mapping[str, Any], heads: int) -> float:
    """KV heads of a layer; the mean where layers differ, every head where none is named."""
    kv_heads = config.get("num_key_value_heads")
    if isinstance(kv_heads, list):
        numbers = [count for count in kv_heads if isinstance(count, int)]
        return sum(numbers) / len(numbers) if numbers else heads
    return kv_heads or heads


def _layer_kinds(config: Mapping[str, Any], layers: int) -> tuple[int, int, int]:
    """Count layers with full attention, with a sliding window, and with a state."""
    types, pattern = config.get("layer_types"), config.get("hybrid_override_pattern")
    if isinstance(types, list) and types:
        state = sum(any(word in str(kind) for word in _LINEAR) for kind in types)
        sliding = sum("sliding" in str(kind) or "chunked" in str(kind) for kind in types)
        return max(0, layers - state - sliding), sliding, state
    if isinstance(pattern, str) and pattern:
        return pattern.count("*"), 0, pattern.count("M")
    if every := config.get("full_attention_interval"):
        return layers // every, 0, layers - layers // every
    if period := config.get("attn_layer_period"):
        attention = len(range(config.get("attn_layer_offset") or 0, layers, period))
        return attention, 0, layers - attention
    if every := config.get("sliding_window_pattern"):
        return layers // every, layers - layers // every, 0
    return (0, layers, 0) if config.get("model_type") in _ALL_SLIDING else (layers, 0, 0)


def _state_values(config: Mapping[str, Any]) -> int:
    linear = ("linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim")
    mamba = ("mamba_num_heads", "mamba_head_dim", "ssm_state_size")
    for names in (linear, mamba):
        sizes = [config.get(name) or 0 for name in names]
        if all(sizes):
            return int(sizes[0] * sizes[1] * sizes[2])
    return 0
