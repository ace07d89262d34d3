"""Bodies of answers, unpacked up to a limit: what unpacks to more is a bomb or too large. Pure."""

from __future__ import annotations

import io
import zlib
from typing import Any

import brotli
import zstandard

ACCEPTED = "gzip, deflate, br, zstd"
GZIP_MEMBERS_MOST = 256
# Source: RFC 9659, a browser takes windows up to this size.
_ZSTD_WINDOW_BYTES = 8 * 2**20


class BodyTooLarge(ValueError):
    """More bytes than the limit, packed or unpacked."""


class BodyBroken(ValueError):
    """It does not unpack, or is packed in a way that was not asked for."""


def body_unpack(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """The body as Content-Encoding says, at most `limit_bytes`. Raises BodyTooLarge, BodyBroken."""
    name = encoding.strip().lower().removeprefix("x-")
    unpack = _UNPACKERS.get(name)
    if unpack is None:
        raise BodyBroken(f"it is packed as {name[:40]!r}")
    try:
        unpacked: bytes = unpack(body, limit_bytes + 1) if body else b""
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        raise BodyBroken(f"it does not unpack as {name}: {error}") from None
    if len(unpacked) > limit_bytes:
        raise BodyTooLarge
    return unpacked


def _plain(body: bytes, most: int) -> bytes:
    return body[:most]


def _gzip(body: bytes, most: int) -> bytes:
    """One or more members one after the other (RFC 1952), unpacked to at most `most` bytes."""
    unpacked = b""
    for _ in range(GZIP_MEMBERS_MOST):
        one = zlib.decompressobj(wbits=31)
        unpacked += one.decompress(body, most - len(unpacked))
        if len(unpacked) >= most:
            return unpacked
        if not one.eof:
            raise zlib.error("it breaks off")
        body = one.unused_data.lstrip(b"\0")
        if not body:
            return unpacked
    raise zlib.error("too many parts")


def _deflate(body: bytes, most: int) -> bytes:
    # Servers send it with zlib's header, as the standard says, and without.
    wrapped = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    one = zlib.decompressobj(wbits=15 if wrapped else -15)
    return one.decompress(body, most)


def _brotli(body: bytes, most: int) -> bytes:
    one = brotli.Decompressor()
    parts = [one.process(body, output_buffer_limit=most)]
    size = len(parts[0])
    while size < most and not one.is_finished():
        more: bytes = one.process(b"", output_buffer_limit=most - size)
        if not more:
            raise brotli.error("it breaks off")
        parts.append(more)
        size += len(more)
    return b"".join(parts)


def _zstd(body: bytes, most: int) -> bytes:
    unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    with unpacker.stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
        parts: list[bytes] = []
        size = 0
        while size < most and (part := reader.read(min(most - size, 2**18))):
            parts.append(part)
            size += len(part)
    return b"".join(parts)


_UNPACKERS: dict[str, Any] = {
    "": _plain,
    "identity": _plain,
    "gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
