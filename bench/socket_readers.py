"""Many ends of sockets in one process, as cheap as they can be: what is measured is the server.

A reader takes frames apart only as far as their lengths, looks for the moment of publishing in the first
bytes of each, and answers pings. It can stop reading for good, as a browser on a machine that sleeps.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, cast

MARK = b'"bench":'
MARK_WITHIN = 40
PING, CLOSE = 0x89, 0x88
ESTABLISHED = 1  # of TCP_INFO's first byte (linux/tcp_states.h)


class Count:
    """What readers have seen since `begin`: milliseconds of each frame, and how many came."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self.bytes = 0

    def begin(self) -> None:
        self.milliseconds.clear()
        self.bytes = 0


class Reader(asyncio.Protocol):
    """One WebSocket, or with `greeted_by` None a bare connection whose frames look the same."""

    def __init__(self, count: Count, greeting: bytes = b"", greeted_by: bytes | None = None) -> None:
        self.count = count
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = False
        self._greeting, self._greeted_by = greeting, greeted_by
        self._buffer = b""
        self._open = greeted_by is None
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._greeting)
        if self._open:
            self.ready.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = True
        if not self.ready.done():
            self.ready.set_exception(error or ConnectionError(f"refused: {self._buffer[:60]!r}"))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self.count.bytes += len(data)
        data = self._buffer + data if self._buffer else data
        at = 0
        if not self._open:
            end = data.find(b"\r\n\r\n")
            self._open = end >= 0 and data.startswith(b"HTTP/1.1 101")
            at = end + 4 if self._open else 0
        while self._open and (frame := _frame(data, at)):
            kind, start, end = frame
            self._heard(kind, data, start, end, now)
            at = end
        self._buffer = data[at:]

    def _heard(self, kind: int, data: bytes, start: int, end: int, now: float) -> None:
        if kind == PING:
            self.transport.write(bytes([0x8A, 0x80 | (end - start), 0, 0, 0, 0]) + data[start:end])
        mark = data.find(MARK, start, min(end, start + MARK_WITHIN))
        if mark >= 0:
            published = float(data[mark + len(MARK) : data.index(b",", mark)])
            self.count.milliseconds.append(1000 * (now - published))
        elif self._greeted_by and self._greeted_by in data[start : start + 64] and not self.ready.done():
            self.ready.set_result(None)

    @property
    def connected(self) -> bool:
        """Whether the server still holds its end, as the kernel knows also without reading."""
        connection: Any = self.transport.get_extra_info("socket")
        if self.ended or connection is None:
            return False
        return bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED)


def _frame(data: bytes, at: int) -> tuple[int, int, int] | None:
    """First byte, start and end of the payload of the frame at `at`; None while it is not whole."""
    if len(data) < at + 2:
        return None
    size, start = data[at + 1], at + 2
    if size >= 126:
        width = 2 if size == 126 else 8
        start += width
        size = int.from_bytes(data[at + 2 : start], "big")
    if len(data) < max(start, start + size):
        return None
    return data[at], start, start + size


async def websocket(
    host: str, cookie: str, count: Count, last_node: str, *, room: int | None = None
) -> Reader:
    """Open /ws/live/ as a page does; ready once the history of the last node has come.

    `room`: bytes that the kernel keeps for it while it does not read.
    """
    name, port = host.split(":")
    greeting = (
        f"GET /ws/live/ HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nCookie: {cookie}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()
    greeted_by = f'"history","node":"{last_node}"'.encode()
    return await _open(name, int(port), count, greeting, greeted_by, room)


async def bare(port: int, count: Count) -> Reader:
    """Connect to the floor."""
    return await _open("127.0.0.1", port, count, b"", None, None)


async def _open(
    host: str, port: int, count: Count, greeting: bytes, greeted_by: bytes | None, room: int | None
) -> Reader:
    loop = asyncio.get_running_loop()
    connection = socket.socket()
    connection.setblocking(False)
    if room is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    await loop.sock_connect(connection, (host, port))
    _, reader = await loop.create_connection(lambda: Reader(count, greeting, greeted_by), sock=connection)
    async with asyncio.timeout(120):
        await reader.ready
    return reader
