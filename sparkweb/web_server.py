"""uvicorn as SparkWeb runs it: one process, quick to stop, no patience for peers that read nothing."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any, cast

import uvicorn
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

STOP_SECONDS = 1
BACKLOG = 512
# Frames from browsers are at most 4 kB; a little more reaches us, so that we can say why we close.
FRAME_LIMIT_BYTES = 16 * 1024
UNSENT_BYTES = 128 * 1024


class PortTaken(Exception):
    """An address cannot be listened on; the sentence says which and what to do."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """Lets the application abort a connection, for closing waits until everything unsent is sent; and
    send what was framed once for all sockets (sparkweb/socket_frames.py)."""

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions: dict[str, Any] = cast("dict[str, Any]", self.scope["extensions"])
            extensions["sparkweb.abort"] = self.cut
            extensions["sparkweb.framed"] = self.send_framed
            extensions["sparkweb.write_framed"] = self.write_framed
            self._hold_little()

    async def send_framed(self, data: bytes) -> None:
        """Send whole frames as they are, once the peer has taken enough of those before.

        Right only without compression. Raises ClientDisconnected.
        """
        await self.writable.wait()
        if self.disconnected or self.conn.state is not State.OPEN:
            raise ClientDisconnected
        self.transport.write(data)

    def write_framed(self, data: bytes) -> bool:
        """Send whole frames at once; False, and nothing sent, while the peer has not taken those before."""
        if self.disconnected or self.conn.state is not State.OPEN or not self.writable.is_set():
            return False
        self.transport.write(data)
        return True

    def _hold_little(self) -> None:
        """Have the kernel keep little that the peer has no room for: megabytes hide for minutes that it reads
        nothing, and are old figures when it reads on."""
        connection = self.transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def cut(self) -> None:
        """End the connection at once, and what the kernel would offer the peer for minutes more."""
        self._forget_unsent()
        self.transport.abort()

    def _forget_unsent(self) -> None:
        connection = self.transport.get_extra_info("socket")
        if connection is not None and not self.transport.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def keepalive_timeout(self) -> None:
        self._forget_unsent()
        super().keepalive_timeout()
        self.transport.abort()


class Server(uvicorn.Server):
    """Stops on SIGINT and SIGTERM without raising the signal again, so that the exit code is ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def serve_and_exit(self, sockets: list[socket.socket]) -> None:
        """Serve until told to stop, then end the process.

        At once: a request's thread may still wait for the database or a
        container, but its client is gone, and leaving in order would wait for it.
        """
        await self.serve(sockets)
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def server_make(app: Any) -> Server:
    """Return a server for an ASGI application that is told its sockets when it runs.

    Proxy headers are off: accounts.middleware decides whom to believe.
    Compression of socket frames is off: it costs 300 kB for each socket.
    """
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws=SocketProtocol,
        ws_max_size=FRAME_LIMIT_BYTES,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        ws_per_message_deflate=False,
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_config=None,
        log_level="warning",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=64 * 1024,
    )
    return Server(config)


def listen(host: str, ports: list[int]) -> list[socket.socket]:
    """Return a listening socket for each port of `host`, or none at all. Raises PortTaken."""
    with contextlib.ExitStack() as undo:
        opened = [undo.enter_context(_listen_one(host, port)) for port in ports]
        undo.pop_all()
    return opened


def _listen_one(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise PortTaken(
            f"SPARKWEB_HOST={host!r}: {error.strerror}; write an address of this machine"
        ) from None
    one = socket.socket(family, kind, proto)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind(address)
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        raise PortTaken(_why(host, port, error)) from None
    one.setblocking(False)
    return one


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is in use by another program; stop it, or set SPARKWEB_PORT "
            f"(or SPARKWEB_COMPAT_PORTS) to another one"
        )
    if error.errno == errno.EACCES:
        return f"Port {port} on {host} needs root's rights; set SPARKWEB_PORT to 1024 or more"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"SPARKWEB_HOST={host!r} is no address of this machine"
    return f"Cannot listen on {host}:{port}: {error.strerror}"
