"""The browser's end of a live socket, as cheap as it can be: it measures, and understands nothing.

Eight thousand frames a second through a WebSocket library would cost more than what is measured.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import time
from dataclasses import dataclass, field
from typing import cast

MARK = b'"bench":'
PING, PONG = 0x89, 0x8A
SMALL_BUFFER_BYTES = 4_096


@dataclass
class Count:
    """What the readers have seen since the last `clear`."""

    milliseconds: list[float] = field(default_factory=list)

    def clear(self) -> None:
        self.milliseconds.clear()


class Reader(asyncio.Protocol):
    """Takes whole frames off the wire; one with a mark tells when it was sent (time.monotonic)."""

    def __init__(self, request: bytes, count: Count) -> None:
        self._request, self._count = request, count
        self._buffer = bytearray()
        self._upgraded = False
        self.greeted = asyncio.Event()
        self.closed = asyncio.Event()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def connection_lost(self, _error: Exception | None) -> None:
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        arrived = time.monotonic()
        self._buffer += data
        if not self._upgraded:
            head, end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                raise RuntimeError(head.split(b"\r\n")[0].decode())
            self._upgraded, self._buffer = True, bytearray(rest)
        place = 0
        while (found := self._frame(place)) is not None:
            kind, start, place = found
            self._take(kind, bytes(self._buffer[start:place]), arrived)
        del self._buffer[:place]

    def _frame(self, place: int) -> tuple[int, int, int] | None:
        """First byte, start and end of the payload of the frame at `place`; None while it is not whole."""
        buffer = self._buffer
        if len(buffer) < place + 2:
            return None
        wide = {126: 2, 127: 8}.get(buffer[place + 1], 0)
        start = place + 2 + wide
        if len(buffer) < start:
            return None
        size = int.from_bytes(buffer[place + 2 : start], "big") if wide else buffer[place + 1]
        return (buffer[place], start, start + size) if len(buffer) >= start + size else None

    def _take(self, kind: int, payload: bytes, arrived: float) -> None:
        if kind == PING:
            assert self.transport
            # A client masks; four zeros leave the payload as it is.
            self.transport.write(bytes((PONG, 0x80 | len(payload), 0, 0, 0, 0)) + payload)
            return
        mark = payload.find(MARK, 0, 64)
        if mark >= 0:
            sent = float(payload[mark + len(MARK) : payload.index(b",", mark)])
            self._count.milliseconds.append(1000 * (arrived - sent))
        elif payload.startswith(b'{"type":"history"'):
            self.greeted.set()


async def reader_open(host: str, port: int, cookie: str, count: Count, *, small: bool = False) -> Reader:
    """Connect and wait for the greeting. `small`: with so little room that a stall shows at once."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET /ws/live/ HTTP/1.1", f"Host: {host}:{port}", f"Origin: http://{host}:{port}",
        "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}", f"Cookie: {cookie}", "", "",
    ]  # fmt: skip
    request = "\r\n".join(lines).encode()
    plug = socket.socket()
    if small:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    plug.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plug, (host, port))
    _, reader = await loop.create_connection(lambda: Reader(request, count), sock=plug)
    async with asyncio.timeout(120):
        await reader.greeted.wait()
    return reader
