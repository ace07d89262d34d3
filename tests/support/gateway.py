"""The gateway on a loopback port, in a thread of its own, before an application that answers 404."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from chat_app.gateway.app import Gateway
from sparkweb.web_server import server_make


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """Stands where Django's handler stands."""
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{word}.complete"})
        return
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"not the gateway"})


class RunningGateway:
    """`url` is where /v1 begins; `gateway` the application itself."""

    def __init__(self) -> None:
        self.gateway = Gateway(nothing)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"
        self.server = server_make(self)
        self.thread = threading.Thread(target=self._run, daemon=True)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.gateway(scope, receive, send)
        else:
            await nothing(scope, receive, send)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            # Signals are the main thread's.
            self.server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
            runner.run(self.server.serve([self.socket]))
            runner.run(self.gateway.close())


@contextlib.contextmanager
def gateway_run() -> Iterator[RunningGateway]:
    """A gateway that serves until the end of the block."""
    one = RunningGateway()
    one.thread.start()
    try:
        yield one
    finally:
        one.server.should_exit = True
        one.thread.join(30)
