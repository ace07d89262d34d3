"""ASGI lifespan: what starts and stops with the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sparkweb.request_threads import Receive, Scope, Send


class Lifespan:
    """Runs `start` before the first request and `stop` after the last."""

    def __init__(self, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]) -> None:
        self._start, self._stop = start, stop

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._stop()
                await send({"type": "lifespan.shutdown.complete"})
                return
