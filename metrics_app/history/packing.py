"""One chunk as bytes: columns of 32-bit floats, compressed each by itself. Pure.

    head length (4 bytes, little endian) · head (JSON: slots, folds, series {key: [offset, length]}) · columns

A column holds the means of all slots, and where the tier folds their minima and maxima after them; a slot
without a reading is NaN. Figures are rounded to 13 bits of mantissa (1 in 8,192, finer than any
sensor here), and the four bytes of all figures are put apart, so that zstd finds what is alike. A chart
of one series unpacks that series alone.
"""

from __future__ import annotations

import array
import math
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
import zstandard

NAN = float("nan")
_LEVEL = 6
_DROPPED_BITS = 11
_HEAD = struct.Struct("<I")
COLUMN_LIMIT_BYTES = 1 << 20


class ChunkDamaged(ValueError):
    """Bytes that are no chunk."""


@dataclass
class Column:
    """The figures of one series in one chunk, by slot; `low` and `high` are `mean` where nothing folds."""

    mean: array.array[float]
    low: array.array[float]
    high: array.array[float]


@dataclass
class Chunk:
    """The columns of one period."""

    slots: int
    folds: bool
    columns: dict[str, Column] = field(default_factory=dict)


def column_empty(slots: int, folds: bool) -> Column:
    """A column without a reading."""
    mean = array.array("f", [NAN]) * slots
    return Column(mean, mean[:] if folds else mean, mean[:] if folds else mean)


def chunk_pack(chunk: Chunk) -> bytes:
    """Return a chunk as bytes."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    places: dict[str, list[int]] = {}
    parts: list[bytes] = []
    offset = 0
    for key, column in chunk.columns.items():
        planes = [column.mean, column.low, column.high] if chunk.folds else [column.mean]
        packed = compressor.compress(b"".join(_plane(plane) for plane in planes))
        places[key] = [offset, len(packed)]
        parts.append(packed)
        offset += len(packed)
    head = zstandard.compress(
        orjson.dumps({"slots": chunk.slots, "folds": chunk.folds, "series": places}), _LEVEL
    )
    return _HEAD.pack(len(head)) + head + b"".join(parts)


def chunk_keys(data: bytes) -> list[str]:
    """The series of a packed chunk. Raises ChunkDamaged."""
    return list(_head(data)[0]["series"])


def chunk_unpack(data: bytes, keys: Iterable[str] | None = None) -> Chunk:
    """Return a chunk with the series of `keys`, None for all. Raises ChunkDamaged."""
    head, body = _head(data)
    slots, folds, places = head["slots"], head["folds"], head["series"]
    chunk = Chunk(slots, folds)
    decompressor = zstandard.ZstdDecompressor()
    for key in places if keys is None else [key for key in keys if key in places]:
        start, length = places[key]
        try:
            planes = decompressor.decompress(data[body + start : body + start + length], COLUMN_LIMIT_BYTES)
        except zstandard.ZstdError as error:
            raise ChunkDamaged(f"column {key}: {error}") from error
        chunk.columns[key] = _column(planes, slots, folds)
    return chunk


def _head(data: bytes) -> tuple[dict[str, Any], int]:
    try:
        (length,) = _HEAD.unpack_from(data)
        head = orjson.loads(
            zstandard.ZstdDecompressor().decompress(data[_HEAD.size : _HEAD.size + length], 8 << 20)
        )
        if not isinstance(head["slots"], int) or not isinstance(head["series"], dict):
            raise ChunkDamaged("the head of the chunk is none")
        return head, _HEAD.size + length
    except (struct.error, zstandard.ZstdError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ChunkDamaged(f"no chunk: {error}") from error


def _plane(values: array.array[float]) -> bytes:
    """Rounded figures with their first, second, third and fourth bytes put together."""
    words = array.array("I", values.tobytes())
    half, mask = 1 << (_DROPPED_BITS - 1), ~((1 << _DROPPED_BITS) - 1) & 0xFFFFFFFF
    nan = 0x7FC00000
    rounded = array.array(
        "I",
        [nan if (word & 0x7F800000) == 0x7F800000 else (word + half) & mask for word in words],
    )
    if sys.byteorder == "big":
        rounded.byteswap()
    raw = rounded.tobytes()
    return raw[3::4] + raw[2::4] + raw[1::4] + raw[0::4]


def _column(planes: bytes, slots: int, folds: bool) -> Column:
    if len(planes) != 4 * slots * (3 if folds else 1):
        raise ChunkDamaged(f"a column of {len(planes)} bytes for {slots} slots")
    mean = _unplane(planes[: 4 * slots], slots)
    if not folds:
        return Column(mean, mean, mean)
    return Column(mean, _unplane(planes[4 * slots : 8 * slots], slots), _unplane(planes[8 * slots :], slots))


def _unplane(plane: bytes, slots: int) -> array.array[float]:
    raw = bytearray(4 * slots)
    for place, byte in enumerate((3, 2, 1, 0)):
        raw[byte::4] = plane[place * slots : (place + 1) * slots]
    values = array.array("f", bytes(raw))
    if sys.byteorder == "big":
        values.byteswap()
    return values


def known(value: float) -> float | None:
    """A stored figure as pages get it: None where there was no reading."""
    return None if math.isnan(value) else value
