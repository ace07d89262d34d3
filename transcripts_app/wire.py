"""What a node and web say to each other of transcripts. No Django here: both sides use it.

POST /node/transcripts/sources/  {"sources": [{"path", "problem"}]} → {"sources": {path: wanted}}
POST /node/transcripts/present/  {"source", "files": [path]}        → {"files": {path: bytes held}}
POST /node/transcripts/piece/    a line of JSON (Piece), then bytes → {"held"}; 409: {"held"} is expected
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PIECE_BYTES = 4 * 2**20
HEADER_BYTES = 4096
PRINT_BYTES = 4096
SOURCES, PRESENT, PIECE = (f"/node/transcripts/{word}/" for word in ("sources", "present", "piece"))


class PieceInvalid(ValueError):
    """The header of a piece says nothing that can be used."""


@dataclass(frozen=True)
class Piece:
    """Bytes of a file from `offset` on. `before`: `print_of` what lies before; `anew`: forget the rest."""

    source: str
    path: str
    offset: int
    mtime_ns: int
    before: str
    anew: bool = False

    def pack(self, data: bytes) -> bytes:
        """As it is sent."""
        return json.dumps(asdict(self)).encode() + b"\n" + data

    @classmethod
    def read(cls, body: bytes) -> tuple[Piece, bytes]:
        """As it came. Raises PieceInvalid."""
        line, newline, data = body.partition(b"\n")
        if not newline or len(line) > HEADER_BYTES or len(data) > PIECE_BYTES:
            raise PieceInvalid("a header line and at most 4 MiB are expected")
        try:
            told = json.loads(line)
            piece = cls(
                str(told["source"]), str(told["path"]), told["offset"], told["mtime_ns"],
                str(told["before"]), told["anew"] is True,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise PieceInvalid(f"the header cannot be read: {error}") from None
        if not all(type(one) is int and 0 <= one < 2**62 for one in (piece.offset, piece.mtime_ns)):
            raise PieceInvalid("offset and mtime_ns must be whole numbers")
        return piece, data


def print_of(path: Path, offset: int) -> str:
    """Tell a file that grew from one that was rewritten: by 4 KiB at its beginning, and before `offset`."""
    digest = hashlib.sha256(str(offset).encode())
    with path.open("rb") as file:
        digest.update(file.read(min(PRINT_BYTES, offset)))
        file.seek(max(0, offset - PRINT_BYTES))
        digest.update(file.read(min(PRINT_BYTES, offset)))
    return digest.hexdigest()[:32]


def told_of(text: str | bytes) -> dict[str, Any]:
    """The object of an answer; empty for what is none."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
