"""What of a config.json matters for memory: numbers and short words under known names. Pure."""

from __future__ import annotations

from typing import Any

_NUMBERS = (
    "num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim",
    "v_head_dim", "max_position_embeddings", "sliding_window", "sliding_window_pattern",
    "kv_lora_rank", "qk_rope_head_dim", "full_attention_interval", "attn_layer_period", "attn_layer_offset",
    "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim",
    "mamba_num_heads", "mamba_head_dim", "ssm_state_size", "num_nextn_predict_layers",
)  # fmt: skip
_WORDS = ("model_type", "torch_dtype", "dtype", "hybrid_override_pattern")
_LISTS = ("layer_types", "num_key_value_heads")
LAYERS_LIMIT = 1024
WORD_LIMIT = 1024


def config_kept(data: Any) -> dict[str, Any]:
    """Return the part of a config.json that the KV cache depends on, small and of known types.

    Models with a vision or audio part keep the language model's shape in
    `text_config`; `multimodal` says that there is such a part. What was kept once
    is kept again unchanged.
    """
    if not isinstance(data, dict):
        return {}
    text = data.get("text_config") or data.get("llm_config") or data.get("thinker_config")
    inner = text if isinstance(text, dict) else {}
    kept: dict[str, Any] = {}
    for source in (data, inner):
        kept |= {name: source[name] for name in _NUMBERS if _is_number(source.get(name))}
        kept |= {
            name: source[name][:WORD_LIMIT].replace("\0", "")
            for name in _WORDS
            if isinstance(source.get(name), str)
        }
        kept |= {name: source[name] for name in _LISTS if _is_short_list(source.get(name))}
        if isinstance(source.get("use_sliding_window"), bool):
            kept["use_sliding_window"] = source["use_sliding_window"]
    parts = ("vision_config", "audio_config", "visual")
    if data.get("multimodal") is True or any(isinstance(data.get(name), dict) for name in parts):
        kept["multimodal"] = True
    return kept


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _is_short_list(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= LAYERS_LIMIT
        and all(_is_number(item) or (isinstance(item, str) and len(item) < 64) for item in value)
    )
