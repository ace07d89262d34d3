"""The least that fanning out can cost: frames from a pipe, written as they are to every connection.

    python -c "from bench.socket_floor import main; main()"

prints its port. Standard input brings each frame with its length (four bytes) before it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop


class Taker(asyncio.Protocol):
    """One connection that is written to."""

    everyone: set[asyncio.Transport] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.everyone.add(self.transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self.everyone.discard(self.transport)


async def main_async() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Taker, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while True:
            frame = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
            for transport in Taker.everyone:
                transport.write(frame)
    except asyncio.IncompleteReadError:
        server.close()


def main() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main_async())
