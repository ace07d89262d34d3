"""Bytes of the KV cache by the shape of a model: grouped heads, windows, latent attention, hybrids."""

from __future__ import annotations

from typing import Any

import pytest

from models_app.kv_cache import kv_shape, value_bytes_of

BASE: dict[str, Any] = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32}
STATE = {"mamba_num_heads": 8, "mamba_head_dim": 64, "ssm_state_size": 128}


@pytest.mark.parametrize(
    ("config", "context", "expected"),
    [
        # 2 x 32 layers x 32 heads x 128 x 2 bytes x 1,000 tokens
        (BASE, 1000, 2 * 32 * 32 * 128 * 2 * 1000),
        ({**BASE, "num_key_value_heads": 8}, 1000, 2 * 32 * 8 * 128 * 2 * 1000),
        ({**BASE, "num_key_value_heads": 4, "head_dim": 64}, 1000, 2 * 32 * 4 * 64 * 2 * 1000),
        ({**BASE, "num_key_value_heads": [8] * 16 + [0] * 16}, 1000, 2 * 32 * 4 * 128 * 2 * 1000),
        # a window: of all layers where the family slides in all, of none where nothing says which
        ({**BASE, "model_type": "mistral", "sliding_window": 4096}, 100_000, 2 * 32 * 32 * 128 * 2 * 4608),
        ({**BASE, "model_type": "mistral", "sliding_window": 4096}, 1000, 2 * 32 * 32 * 128 * 2 * 1000),
        ({**BASE, "model_type": "other", "sliding_window": 4096}, 9000, 2 * 32 * 32 * 128 * 2 * 9000),
        (
            {**BASE, "model_type": "mistral", "sliding_window": 4096, "use_sliding_window": False},
            9000,
            2 * 32 * 32 * 128 * 2 * 9000,
        ),
        (
            {
                **BASE,
                "sliding_window": 1024,
                "layer_types": ["sliding_attention"] * 28 + ["full_attention"] * 4,
            },
            10_000,
            2 * 32 * 128 * 2 * (28 * 1536 + 4 * 10_000),
        ),
        ({**BASE, "sliding_window": 512, "sliding_window_pattern": 8}, 5000,
         2 * 32 * 128 * 2 * (28 * 1024 + 4 * 5000)),
        # latent attention: one vector of 512 + 64 in each of 61 layers
        (
            {**BASE, "num_hidden_layers": 61, "kv_lora_rank": 512, "qk_rope_head_dim": 64},
            1000,
            61 * 576 * 2 * 1000,
        ),
        # hybrids: a state of fixed size in the other layers
        (
            {**BASE, **STATE, "num_hidden_layers": 5, "hybrid_override_pattern": "M-M*E"},
            1000,
            2 * 32 * 128 * 2 * 1000 + 2 * 8 * 64 * 128 * 4,
        ),
        (
            {**BASE, "full_attention_interval": 4, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
             "linear_value_head_dim": 8},
            1000,
            2 * 8 * 32 * 128 * 2 * 1000 + 24 * 256 * 4,
        ),
        ({**BASE, **STATE, "attn_layer_period": 8, "attn_layer_offset": 4}, 1000,
         2 * 4 * 32 * 128 * 2 * 1000 + 28 * 8 * 64 * 128 * 4),
        ({**BASE, "num_nextn_predict_layers": 1}, 1000, 2 * 33 * 32 * 128 * 2 * 1000),
    ],
)  # fmt: skip
def test_bytes_of_one_sequence(config: dict[str, Any], context: int, expected: int) -> None:
    shape = kv_shape(config)
    assert shape
    assert shape.bytes(context, 1, 2) == expected
    assert shape.bytes(context, 3, 2) == 3 * expected


def test_tensor_parallel_shares_heads_and_copies_what_cannot_be_shared() -> None:
    grouped = kv_shape({**BASE, "num_key_value_heads": 2})
    latent = kv_shape({**BASE, "kv_lora_rank": 512, "qk_rope_head_dim": 64})
    assert grouped
    assert latent
    whole = grouped.bytes(1000, 1, 2)
    assert grouped.bytes(1000, 1, 2, 2) == whole // 2
    assert grouped.bytes(1000, 1, 2, 8) == whole // 2
    assert latent.bytes(1000, 1, 2, 2) == latent.bytes(1000, 1, 2)


@pytest.mark.parametrize(
    "config", [{}, {"num_hidden_layers": 3}, {"hidden_size": 5, "num_attention_heads": 2}]
)
def test_a_config_without_a_shape_says_nothing(config: dict[str, Any]) -> None:
    assert kv_shape(config) is None


@pytest.mark.parametrize(
    ("words", "config", "expected"),
    [
        (None, {"torch_dtype": "bfloat16"}, 2),
        ("auto", {"dtype": "float32"}, 4),
        (None, {"torch_dtype": "float8_e4m3fn"}, 2),
        (None, {}, 2),
        ("fp8_e4m3", {}, 1),
        ("q8_0", {}, 34 / 32),
        ("q4_0", {}, 18 / 32),
        ("f16", {"torch_dtype": "float32"}, 2),
    ],
)
def test_bytes_of_one_value(words: str | None, config: dict[str, Any], expected: float) -> None:
    assert value_bytes_of(words, config) == expected
