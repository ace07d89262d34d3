"""A message as the bytes that travel on a WebSocket, made once for all sockets that get it."""

from __future__ import annotations

import struct

_WHOLE_TEXT = 0x81
_SHORT, _MEDIUM = 125, 0xFFFF


def framed(text: str) -> bytes:
    """Return a text message as one frame from a server: whole, not masked, not compressed.

    Source: RFC 6455, section 5.2.
    """
    data = text.encode()
    size = len(data)
    if size <= _SHORT:
        head = struct.pack("!BB", _WHOLE_TEXT, size)
    elif size <= _MEDIUM:
        head = struct.pack("!BBH", _WHOLE_TEXT, 126, size)
    else:
        head = struct.pack("!BBQ", _WHOLE_TEXT, 127, size)
    return head + data
