"""The index by which a static export searches itself: words by hash, in pieces that a page loads as scripts.

A text is cut into chunks of about 200 kB. For each word the first 3, 4, 5 and 6 letters are hashed into
2^20 buckets, and a bucket lists the chunks that hold it. A search loads the buckets of its words, then
only the chunks that hold them all, and looks there for the words themselves: nothing is found that is
not there, and nothing that is there is missed. Memory does not grow with the archive. No Django here.
"""

from __future__ import annotations

import json
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

BUCKET_BITS = 20
CHUNK_CHARACTERS = 200_000
SHARD_POSTINGS = 40_000
SHARD_BITS_MOST = 10
SPILL = 4096
WORD_MOST = 64
_WORD = re.compile(r"[^\W_]+")
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


def words_of(text: str) -> Iterator[str]:
    """Every word in small letters, and the parts of those written likeThis or like2this."""
    for word in _WORD.findall(text):
        word = word[:WORD_MOST]
        yield word.lower()
        if (not word.islower() and not word.isdigit()) or any(one.isdigit() for one in word):
            parts = _PARTS.findall(word)
            if len(parts) > 1:
                yield from (part.lower() for part in parts)


def buckets_of(text: str) -> set[int]:
    """The buckets of a text's words."""
    keys: set[str] = set()
    for word in set(words_of(text)):
        keys.update(word[:length] for length in range(3, 7) if len(word) >= length)
        if len(word) < 3:
            keys.add(word)
    return {bucket(key) for key in keys}


def bucket(key: str) -> int:
    """FNV-1a of the UTF-8 bytes, folded to 20 bits; archive.js does the same."""
    value = 0x811C9DC5
    for byte in key.encode(errors="replace"):
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return (value ^ (value >> BUCKET_BITS)) & ((1 << BUCKET_BITS) - 1)


def packed(chunks: list[set[int]]) -> bytes:
    """The buckets of one session's chunks, as kept beside it for the next run."""
    numbers = array("I")
    for one in chunks:
        numbers.append(len(one))
        numbers.extend(sorted(one))
    return zlib.compress(numbers.tobytes(), 6)


def unpacked(data: bytes) -> Iterator[array[int]]:
    """Yield the buckets of each chunk."""
    numbers = array("I")
    numbers.frombytes(zlib.decompress(data))
    at = 0
    while at < len(numbers):
        count = numbers[at]
        yield numbers[at + 1 : at + 1 + count]
        at += 1 + count


class Shards:
    """Postings sorted into shards through files in a scratch folder."""

    def __init__(self, scratch: Path, postings: int) -> None:
        self.bits = 0
        while self.bits < SHARD_BITS_MOST and postings >> self.bits > SHARD_POSTINGS:
            self.bits += 1
        self._scratch = scratch
        self._waiting: list[array[int]] = [array("I") for _ in range(1 << self.bits)]

    def add(self, chunk: int, buckets: Iterable[int]) -> None:
        """Note that a chunk holds these buckets; chunks come in order."""
        shift = BUCKET_BITS - self.bits
        for one in buckets:
            waiting = self._waiting[one >> shift]
            waiting.append(one)
            waiting.append(chunk)
            if len(waiting) >= SPILL:
                self._spill(one >> shift)

    def scripts(self) -> Iterator[tuple[int, str]]:
        """Yield each shard as a script: buckets with the distances between their chunks."""
        for shard in range(1 << self.bits):
            self._spill(shard)
            numbers, path = array("I"), self._path(shard)
            if path.exists():
                numbers.frombytes(path.read_bytes())
                path.unlink()
            lists: dict[int, list[int]] = {}
            for at in range(0, len(numbers), 2):
                lists.setdefault(numbers[at], []).append(numbers[at + 1])
            told = {f"{one:x}": _steps(lists[one]) for one in sorted(lists)}
            yield shard, f"sparkArchive.shard({shard},{json.dumps(told, separators=(',', ':'))});\n"

    def _spill(self, shard: int) -> None:
        if self._waiting[shard]:
            with self._path(shard).open("ab") as file:
                self._waiting[shard].tofile(file)
            self._waiting[shard] = array("I")

    def _path(self, shard: int) -> Path:
        return self._scratch / f"shard-{shard}"


def _steps(chunks: list[int]) -> list[int]:
    before, steps = 0, []
    for chunk in chunks:
        steps.append(chunk - before)
        before = chunk
    return steps
