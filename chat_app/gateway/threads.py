"""The one thread in which the gateway asks the database, so that its event loop never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog
from django.db import close_old_connections, connections

log = structlog.get_logger(__name__)
Answer = TypeVar("Answer")


class DatabaseThread:
    """Runs functions that use Django's database, one after the other."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gateway-database")
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, function: Callable[[], Answer]) -> Answer:
        """Return what `function` returns."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._guarded, function)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do `work` beside what goes on; its errors are logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("gateway could not read anew", error=str(error))

    def close_connections(self) -> None:
        """Close what the thread holds of the database."""
        self._executor.submit(connections.close_all).result()

    @staticmethod
    def _guarded(function: Callable[[], Answer]) -> Answer:
        close_old_connections()
        try:
            return function()
        finally:
            close_old_connections()


class Shared:
    """Work that several wait for is done once. For one event loop."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    async def result(self, key: str, work: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """Return what the work called `key` gives, begun by whoever asked first; none who leaves ends it."""
        task: asyncio.Task[Answer] | None = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.get_running_loop().create_task(work())
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def _ended(self, key: str, done: asyncio.Task[Any]) -> None:
        self._tasks.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever waited has it; if all have left, nobody needs it


DATABASE = DatabaseThread()
