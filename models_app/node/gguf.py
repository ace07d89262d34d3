"""What a GGUF file says about its model, from the metadata at its beginning. No tensor is read.

Only the few keys that the KV cache depends on are kept; everything else, the
tokenizer above all, is stepped over within limits, for the file may come from
anyone. Source: ggml-org/ggml, docs/gguf.md.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any, BinaryIO

from models_app.node.safetensors import WeightsInvalid

METADATA_LIMIT_BYTES = 64 * 2**20
KEYS_LIMIT = 10_000
ARRAY_LIMIT = 2_000_000
STRING_LIMIT = 16 * 2**20
KEPT_ARRAY = 1024
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
# GGUF's name after the architecture, and the name in a Hugging Face config.json.
_KEYS = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.value_length": "v_head_dim",
    "attention.sliding_window": "sliding_window",
    "attention.kv_lora_rank": "kv_lora_rank",
    "rope.dimension_count": "qk_rope_head_dim",
}


def gguf_config(path: Path) -> dict[str, Any]:
    """The model's shape under the names of a config.json. Raises WeightsInvalid, OSError."""
    with path.open("rb") as file:
        reader = _Reader(path.name, file)
        if reader.take(4) != b"GGUF":
            raise WeightsInvalid(f"{path.name}: it is no GGUF file")
        version = reader.number("I")
        if version not in (2, 3):
            raise WeightsInvalid(f"{path.name}: GGUF version {version} is not known")
        reader.number("Q")  # tensors
        count = reader.number("Q")
        if count > KEYS_LIMIT:
            raise WeightsInvalid(f"{path.name}: {count} keys are too many")
        found = dict(reader.pair() for _ in range(count))
    return _config(found)


def gguf_parts(name: str) -> tuple[str, int]:
    """What all parts of a split file share, and how many there are; 1 for a whole file."""
    match = re.fullmatch(r"(.+)-\d{5}-of-(\d{5})\.gguf", name)
    return (match[1], int(match[2])) if match else (name.removesuffix(".gguf"), 1)


class _Reader:
    """Reads values one after the other and never more than the limit."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self._name, self._file, self._left = name, file, METADATA_LIMIT_BYTES

    def take(self, count: int) -> bytes:
        self._spend(count)
        data = self._file.read(count)
        if len(data) < count:
            raise WeightsInvalid(f"{self._name}: it ends within its metadata")
        return data

    def number(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))[0]

    def pair(self) -> tuple[str, Any]:
        key = self._string()
        return key, self._value(self.number("I"))

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array(self.number("I"), self.number("Q"))
        if kind not in _FORMATS:
            raise WeightsInvalid(f"{self._name}: a value of type {kind} is not known")
        return self.number(_FORMATS[kind])

    def _array(self, kind: int, count: int) -> list[Any] | None:
        """A short list of numbers; None for any other array, which is stepped over."""
        if count > ARRAY_LIMIT or kind == _ARRAY:
            raise WeightsInvalid(f"{self._name}: an array that is too long or nested")
        if kind == _STRING:
            for _ in range(count):
                self._skip(self._length())
            return None
        form = _FORMATS.get(kind)
        if form is None:
            raise WeightsInvalid(f"{self._name}: an array of type {kind} is not known")
        size = count * struct.calcsize(f"<{form}")
        if count > KEPT_ARRAY:
            self._skip(size)
            return None
        return list(struct.unpack(f"<{count}{form}", self.take(size)))

    def _string(self) -> str:
        return self.take(self._length()).decode("utf-8", "replace")

    def _length(self) -> int:
        length = int(self.number("Q"))
        if length > STRING_LIMIT:
            raise WeightsInvalid(f"{self._name}: a text of {length} bytes is too long")
        return length

    def _skip(self, count: int) -> None:
        self._spend(count)
        self._file.seek(count, 1)

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise WeightsInvalid(f"{self._name}: over {METADATA_LIMIT_BYTES} bytes of metadata")


def _config(found: dict[str, Any]) -> dict[str, Any]:
    architecture = found.get("general.architecture")
    if not isinstance(architecture, str):
        return {}
    config: dict[str, Any] = {"model_type": architecture}
    for key, name in _KEYS.items():
        value = found.get(f"{architecture}.{key}")
        if isinstance(value, int | list):
            config[name] = value
    if "kv_lora_rank" not in config:
        config.pop("qk_rope_head_dim", None)  # without latent attention it is no part of the cache
    return config
