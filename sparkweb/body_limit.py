"""A bound on request bodies, before Django spools them to disk: also for those who are not logged in."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from sparkweb.request_threads import App, Receive, Scope, Send

LIMIT_BYTES = 10 * 1024 * 1024


class BodyLimit:
    """Answers 413 to a body over `limit` bytes, announced or streamed."""

    def __init__(self, app: App, limit: int = LIMIT_BYTES) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _announced(scope) > self._limit:
            await _refuse(send)
            return
        read, begun = 0, False

        async def counted() -> MutableMapping[str, Any]:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            return {"type": "http.disconnect"} if read > self._limit else message

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(message)

        await self._app(scope, counted, noted)
        if read > self._limit and not begun:
            await _refuse(send)


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


async def _refuse(send: Send) -> None:
    body = b'{"error": "The request is larger than 10 MB.", "code": "too_large"}'
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
