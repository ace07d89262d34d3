"""Is a file a picture that a browser may show? By its first bytes, never by what it says of itself. Pure.

Only raster formats, and only of a size that decodes to something that a phone can hold.
"""

from __future__ import annotations

import struct

PIXELS_MOST = 40_000_000


def raster_type(head: bytes) -> str | None:
    """The media type of a PNG, JPEG, GIF or WebP of at most 40 million pixels; else None.

    `head` is at least the first 64 kB of the file. Source: the formats' specifications (PNG 11.2.1, GIF89a
    18, JPEG ITU T.81 B.2.2, WebP container).
    """
    for media_type, sizes in (
        ("image/png", _png),
        ("image/gif", _gif),
        ("image/webp", _webp),
        ("image/jpeg", _jpeg),
    ):
        try:
            found = sizes(head)
        except (struct.error, IndexError):
            found = None
        if found is not None:
            width, height = found
            return media_type if 0 < width * height <= PIXELS_MOST else None
    return None


def _png(head: bytes) -> tuple[int, int] | None:
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or head[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def _gif(head: bytes) -> tuple[int, int] | None:
    if head[:6] not in (b"GIF87a", b"GIF89a"):
        return None
    width, height = struct.unpack("<HH", head[6:10])
    return width, height


def _webp(head: bytes) -> tuple[int, int] | None:
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return None
    kind = head[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    if head[:3] != b"\xff\xd8\xff":
        return None
    at = 2
    while at < len(head) - 9:
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None
