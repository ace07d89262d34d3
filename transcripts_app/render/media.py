"""Pictures and documents inside of a record: which, and are they what they say? No Django here.

A picture is shown only if its first bytes are those of a PNG, JPEG, GIF or WebP: never SVG, which is a
document. Pages load them one by one, by `place`; an export may carry them inside.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from transcripts_app.format.record import uid_of
from transcripts_app.render.values import items, mapping, short, text

BYTES_MOST = 20 * 2**20
INLINE_BYTES_MOST = 5 * 2**20  # of a picture that an export carries
PLACES_MOST = 100
HEAD_MOST = 64 * 1024  # of base64, decoded to know type and size


@dataclass(slots=True, frozen=True)
class Media:
    """A picture or a document. `type` is what its first bytes say; empty: it is not shown."""

    data: str  # base64
    said: str  # the media type that the record gives it
    type: str
    size: int
    width: int = 0
    height: int = 0
    name: str = ""

    @property
    def is_image(self) -> bool:
        return self.type.startswith("image/")

    def bytes(self) -> bytes:
        """Decode it. Raises ValueError for what is no base64 or too large."""
        if self.size > BYTES_MOST:
            raise ValueError(f"has {self.size} bytes, more than {BYTES_MOST}")
        try:
            return base64.b64decode(self.data, validate=True)
        except binascii.Error as error:
            raise ValueError(f"is no base64: {error}") from None


def media_of(block: dict[str, Any]) -> Media | None:
    """Read an image or document block with base64 inside; None for any other."""
    source = mapping(block, "source")
    data = text(source, "data")
    if block.get("type") not in ("image", "document") or source.get("type") != "base64" or not data:
        return None
    return media_read(data, text(source, "media_type"), text(block, "title"))


def media_read(data: str, said: str, name: str = "") -> Media:
    """Look at the first bytes of base64: what is it, and how large is the picture?"""
    if "\n" in data or "\r" in data:
        data = data.replace("\n", "").replace("\r", "")
    size = len(data) * 3 // 4 - data[-2:].count("=")
    try:
        head = base64.b64decode(data[:HEAD_MOST] + "=" * (-len(data[:HEAD_MOST]) % 4), validate=True)
    except (binascii.Error, ValueError):
        return Media(data, short(said, 60), "", size, name=short(name))
    kind, width, height = _kind(head)
    return Media(data, short(said, 60), kind, size, width, height, short(name))


def _kind(head: bytes) -> tuple[str, int, int]:
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return "image/png", *struct.unpack(">II", head[16:24])
    if head.startswith((b"GIF87a", b"GIF89a")) and len(head) >= 10:
        return "image/gif", *struct.unpack("<HH", head[6:10])
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg", *_jpeg_size(head)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp", *_webp_size(head)
    return ("application/pdf", 0, 0) if head.startswith(b"%PDF-") else ("", 0, 0)


def _jpeg_size(head: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 < len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 + max(length, 2)
    return 0, 0


def _webp_size(head: bytes) -> tuple[int, int]:
    kind = head[12:16]
    if kind == b"VP8X" and len(head) >= 30:
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8 " and len(head) >= 30:
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and len(head) >= 25:
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return 0, 0


def blocks_with_media(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the image and document blocks of a record, in its order: their places are 0, 1, 2…"""
    holders: list[Any] = [mapping(record, "message").get("content")]
    attachment = record.get("attachment")
    if isinstance(attachment, dict):
        holders += [attachment.get("prompt"), attachment.get("content")]
    for holder in holders:
        for block in holder if isinstance(holder, list) else []:
            if not isinstance(block, dict):
                continue
            if block.get("type") in ("image", "document"):
                yield block
            for inner in items(block, "content"):
                if isinstance(inner, dict) and inner.get("type") in ("image", "document"):
                    yield inner


def media_at(record: dict[str, Any], place: int) -> Media | None:
    """Return the picture or document at a place of a record; None if there is none."""
    for number, block in enumerate(blocks_with_media(record)):
        if number == place:
            return media_of(block)
        if number == PLACES_MOST:
            break
    return None


def places(record: dict[str, Any]) -> dict[int, str]:
    """Return where a record's pictures are asked for (`<uid>/<place>`), by the id of their block."""
    uid = uid_of(record.get("uuid"))
    if uid is None:
        return {}
    found = {}
    for number, block in enumerate(blocks_with_media(record)):
        if number == PLACES_MOST:
            break
        found[id(block)] = f"{uid.hex()}/{number}"
    return found


def data_url(media: Media) -> str:
    """Return a picture as a data: URL of its real type; empty if it is none, damaged or too large."""
    if not media.is_image or media.size > INLINE_BYTES_MOST:
        return ""
    try:
        data = media.bytes()
    except ValueError:
        return ""
    return f"data:{media.type};base64,{base64.b64encode(data).decode()}"
