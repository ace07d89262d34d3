"""How large the weights in safetensors files are, by their headers alone. No tensor is read.

A file begins with eight bytes, the length of the JSON header (little-endian),
then the header: each tensor's type, shape and place. What a stranger published
is not trusted: the header has a limit, and its places must fit the file.
Source: huggingface/safetensors, README, Format.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HEADER_LIMIT_BYTES = 32 * 2**20
INDEX_LIMIT_BYTES = 32 * 2**20
TENSOR_LIMIT = 500_000


class WeightsInvalid(ValueError):
    """A file that is not what its name says; the sentence says what is wrong with it."""


def tensor_bytes(path: Path) -> int:
    """Bytes of all tensors in one file. Raises WeightsInvalid for a header that cannot be, OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or length < 2 or length > min(HEADER_LIMIT_BYTES, size - 8):
            raise WeightsInvalid(f"{path.name}: its header of {length} bytes does not fit the file")
        header = json_object(path.name, file.read(length))
    end = _tensors_end(path.name, header)
    if end > size - 8 - length:
        raise WeightsInvalid(f"{path.name}: it ends before its tensors do; the download is not complete")
    return end


def index_read(path: Path) -> tuple[set[str], int | None]:
    """The files that an index (`model.safetensors.index.json`) names, and their bytes if it says so."""
    if path.stat().st_size > INDEX_LIMIT_BYTES:
        raise WeightsInvalid(f"{path.name}: over {INDEX_LIMIT_BYTES} bytes")
    data = json_object(path.name, path.read_bytes())
    places, metadata = data.get("weight_map"), data.get("metadata")
    names = {name for name in places.values() if isinstance(name, str)} if isinstance(places, dict) else set()
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    return names, int(total) if isinstance(total, int | float) and 0 < total < 2**50 else None


def _tensors_end(name: str, header: dict[str, Any]) -> int:
    if len(header) > TENSOR_LIMIT:
        raise WeightsInvalid(f"{name}: over {TENSOR_LIMIT} tensors")
    end = 0
    for key, tensor in header.items():
        if key == "__metadata__":
            continue
        places = tensor.get("data_offsets") if isinstance(tensor, dict) else None
        if places is None or not _is_span(places):
            raise WeightsInvalid(f"{name}: the place of tensor {key[:60]!r} cannot be")
        end = max(end, places[1])
    return end


def _is_span(places: Any) -> bool:
    if not isinstance(places, list) or len(places) != 2:
        return False
    whole = all(isinstance(place, int) and not isinstance(place, bool) for place in places)
    return whole and 0 <= places[0] <= places[1]


def json_object(name: str, text: bytes) -> dict[str, Any]:
    """A JSON object from bytes that anyone may have written. Raises WeightsInvalid with the file's `name`."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise WeightsInvalid(f"{name}: it holds no JSON") from None
    if not isinstance(data, dict):
        raise WeightsInvalid(f"{name}: it holds no JSON object")
    return data
