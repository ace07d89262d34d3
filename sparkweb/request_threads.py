"""Threads that run Django's views: a fixed number that stay, each with its database connection.

Django's ASGI handler starts a thread for each request, so each request would
open the database anew. Here a request borrows one of a few threads instead.
An answer that is told over minutes gives its thread back as it begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from asgiref.sync import ThreadSensitiveContext
from django.http import HttpRequest

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

THREADS = 8
LOAN = "sparkweb.request_thread"


@dataclass
class Loan:
    """A thread while a request has it; `early`: it goes back when the answer begins.

    `abandoned` is called where the client has left before that, so that nothing tells the answer.
    """

    executor: ThreadPoolExecutor
    early: bool = False
    returned: bool = False
    begun: bool = False
    ended: bool = False
    abandoned: Callable[[], object] | None = None


def thread_return_early(request: HttpRequest, abandoned: Callable[[], object] | None = None) -> None:
    """Have the thread of this request go back as its answer begins, for that is a stream that takes long.

    What tells the stream must not use the thread any more: it is somebody else's by then. `abandoned`
    is called once or twice, on a request's thread, where the client left before the answer began.
    """
    loan: Loan | None = getattr(request, "scope", {}).get(LOAN)
    if loan is not None:
        loan.early, loan.abandoned = True, abandoned
        if loan.ended and abandoned is not None:
            abandoned()


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
        await self._limit.acquire()
        # The most recently used one first: threads that are not needed stay cold and small.
        loan = Loan(self._idle.pop())

        async def noted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                loan.begun = True
                if loan.early:
                    self._take_back(loan)
            await send(message)

        try:
            async with ThreadSensitiveContext(executor=loan.executor):
                # Django closes its answer on this thread even if it went back: calls wait their turn there.
                await self._app({**scope, LOAN: loan}, receive, noted)
        finally:
            loan.ended = True
            if loan.abandoned is not None and not loan.begun:
                loan.executor.submit(loan.abandoned)
            self._take_back(loan)

    def _take_back(self, loan: Loan) -> None:
        if not loan.returned:
            loan.returned = True
            self._idle.append(loan.executor)
            self._limit.release()
