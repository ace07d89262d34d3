"""Threads that run Django's views: a fixed number that stay, each with its database connection.

Django's ASGI handler starts a thread for each request, so each request would
open the database anew. Here a request borrows one of a few threads instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

THREADS = 8


class RequestThreads:
    """Wraps an ASGI application so that each request's synchronous code runs on one borrowed thread."""

    def __init__(self, app: App, threads: int = THREADS) -> None:
        self._app = app
        self._idle: list[ThreadPoolExecutor] = [
            ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"request-{number}")
            for number in range(threads)
        ]
        self._limit = asyncio.Semaphore(threads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._limit:
            # The most recently used one first: threads that are not needed stay cold and small.
            executor = self._idle.pop()
            try:
                async with ThreadSensitiveContext(executor=executor):
                    await self._app(scope, receive, send)
            finally:
                self._idle.append(executor)
