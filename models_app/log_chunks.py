"""The form in which a piece of a container's log travels and is kept. Pure.

    {"version": 1, "member": uid, "number": 3, "first_line": 20000, "lines": 5000,
     "from_at": "2026-…Z", "to_at": "2026-…Z", "ends": {"1": "2026-…Z"}, "last": false}\\n
    <gzip of the lines, joined by newlines>

A line is its time and text (docs/architecture.md, `log:` entries). A line that begins
with U+001E is a mark: as many lines as it says are missing (0: nobody knows how many).
No line of a container can look like one, for control characters are replaced on the node.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

VERSION = 1
MARK = "\x1e"
LINES_LIMIT = 20_000
TEXT_LIMIT_BYTES = 4 * 1024 * 1024
BODY_LIMIT_BYTES = 2 * 1024 * 1024
HEADER_LIMIT_BYTES = 2000
_GZIP = 31  # zlib's wbits for the gzip format
_STAMP = re.compile(r"[0-9T:.Z-]{0,40}")


class ChunkInvalid(ValueError):
    """The bytes are no chunk; the sentence says why."""


@dataclass(frozen=True)
class ChunkHeader:
    """What a chunk holds: `lines` lines from `first_line` on, counted from the start of the member's log.

    `ends` are the times of the last lines by stream, from where a reader goes on;
    `last` says that the container has ended and nothing comes after.
    """

    member: str
    number: int
    first_line: int
    lines: int
    from_at: str
    to_at: str
    ends: dict[str, str] = field(default_factory=dict)
    last: bool = False
    version: int = VERSION


def chunk_pack(header: ChunkHeader, lines: list[str]) -> bytes:
    """The bytes of a chunk."""
    squeeze = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    text = "\n".join(lines).encode("utf-8", "replace")
    return json.dumps(asdict(header)).encode() + b"\n" + squeeze.compress(text) + squeeze.flush()


def chunk_header(body: bytes) -> tuple[ChunkHeader, bytes]:
    """The header and the packed lines. Raises ChunkInvalid; trusts nothing."""
    end = body.find(b"\n", 0, HEADER_LIMIT_BYTES)
    if end < 0:
        raise ChunkInvalid("there is no header line")
    try:
        header = ChunkHeader(**json.loads(body[:end]))
    except (ValueError, TypeError) as error:
        raise ChunkInvalid(f"the header cannot be read: {error}") from None
    if problem := _problem(header):
        raise ChunkInvalid(problem)
    return header, body[end + 1 :]


def lines_unpack(packed: bytes) -> list[str]:
    """The lines of a chunk. Raises ChunkInvalid for what is damaged or grows beyond the limit."""
    expand = zlib.decompressobj(_GZIP)
    try:
        text = expand.decompress(packed, TEXT_LIMIT_BYTES + 1)
        if len(text) > TEXT_LIMIT_BYTES or expand.unconsumed_tail or not expand.eof:
            raise ChunkInvalid(f"the lines are damaged, or more than {TEXT_LIMIT_BYTES} bytes")
        return text.decode().split("\n") if text else []
    except (zlib.error, UnicodeDecodeError) as error:
        raise ChunkInvalid(f"the lines cannot be read: {error}") from None


def skipped_mark(count: int) -> str:
    """The line that stands for lines that are missing; 0: nobody knows how many."""
    return f"{MARK}{count}"


def skipped_count(line: str) -> int | None:
    """How many lines a mark stands for; None for a line that is no mark."""
    words = line[len(MARK) :]
    return int(words) if line.startswith(MARK) and words.isdecimal() else None


def _problem(header: ChunkHeader) -> str:
    checks: list[tuple[str, Any, bool]] = [
        ("version", header.version, header.version == VERSION),
        ("member", header.member, bool(re.fullmatch(r"[0-9a-f]{16}", str(header.member)))),
        ("number", header.number, _is_count(header.number)),
        ("first_line", header.first_line, _is_count(header.first_line)),
        ("lines", header.lines, _is_count(header.lines) and header.lines <= LINES_LIMIT),
        ("from_at", header.from_at, _is_stamp(header.from_at)),
        ("to_at", header.to_at, _is_stamp(header.to_at)),
        ("last", header.last, isinstance(header.last, bool)),
    ]
    wrong = [f"{name}={value!r}" for name, value, holds in checks if not holds]
    return f"the header is wrong: {', '.join(wrong)[:200]}" if wrong else ""


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _is_stamp(value: Any) -> bool:
    return isinstance(value, str) and _STAMP.fullmatch(value) is not None
