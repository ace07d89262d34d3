"""Following a run until its end, without a thread: its stream, and the database where that fails.

The node's stream has the end some milliseconds before the database. Where Redis is away, or the stream
was trimmed or lost, the row is asked instead, so that no end is ever missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections

from sandbox_app.job import OUTCOMES, Ending
from sandbox_app.models import Artifact, ToolRun
from sparkweb.shared_streams import shared_streams
from sparkweb.streams import Entry, Gap, StreamsDown

# How long one question to the stream waits; after a silent one the row is asked.
BLOCK_SECONDS = 1.0
# Between two questions to the row while Redis does not answer.
ROW_EVERY_SECONDS = 0.5
ARTIFACTS_EVERY_SECONDS = 0.05
# What a node may tell before the end; anything else would be a name of an event that it chose.
KINDS = ("out", "state", "skipped")
T = TypeVar("T")
_THREADS = ThreadPoolExecutor(max_workers=4, thread_name_prefix="runs")


async def on_thread(function: Callable[[], T]) -> T:
    """Do something with the database on a thread that belongs to no request."""

    def done() -> T:
        close_old_connections()
        return function()

    return await sync_to_async(done, thread_sensitive=False, executor=_THREADS)()


def stream_name(run: ToolRun) -> str:
    return f"tool:{run.node_name}:{run.uid}"


async def run_follow(run: ToolRun, after: str = "0") -> AsyncGenerator[dict[str, Any], None]:
    """Yield what a run tells after an offset: entries of its stream, each with its `id`, then the end.

    Kinds: out, skipped, state (also queued and approval, from the row), gap (something is missing here),
    and last `end` with the Ending. Entries that come from the row have no `id`.
    """
    state = ""
    while True:
        down = False
        try:
            items: list[Entry | Gap] = await shared_streams().aread({stream_name(run): after}, BLOCK_SECONDS)
        except StreamsDown:
            items, down = [], True
        for item in items:
            if isinstance(item, Gap):
                yield {"kind": "gap"}
                continue
            after = item.offset
            if item.data.get("kind") in KINDS:
                yield {**item.data, "id": item.offset}
            elif item.data.get("kind") == "end" and _is_of(run, item.data.get("ending")):
                yield {**item.data, "id": item.offset}
                return
        if items:
            continue
        run = await _fresh(run)
        if not run.live:
            async for entry in _rest(run, after):
                yield entry
            return
        if run.state != state:
            state = run.state
            yield {"kind": "state", "state": state}
        if down:
            await asyncio.sleep(ROW_EVERY_SECONDS)


async def _rest(run: ToolRun, after: str) -> AsyncIterator[dict[str, Any]]:
    """What the stream still holds of a run that has ended by its row, then the end."""
    while items := await _read_now(stream_name(run), after):
        for item in items:
            if isinstance(item, Gap):
                yield {"kind": "gap"}
                continue
            after = item.offset
            if item.data.get("kind") in KINDS:
                yield {**item.data, "id": item.offset}
    yield {"kind": "end", "ending": ending_of(run).to_json()}


async def _read_now(stream: str, after: str) -> list[Entry | Gap]:
    try:
        return await shared_streams().aread({stream: after})
    except StreamsDown:
        return []


async def artifacts_wait(run: ToolRun, ending: Ending, timeout_seconds: float = 10.0) -> list[Artifact]:
    """The files of a run that has ended, which its node sends after the end: as many as came in time."""

    def read() -> list[Artifact]:
        return list(Artifact.objects.filter(run=run).select_related("run"))

    if not ending.artifacts:
        return []
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while len(rows := await on_thread(read)) < len(ending.artifacts):
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(ARTIFACTS_EVERY_SECONDS)
    return rows


def ending_read(told: dict[str, Any]) -> Ending:
    """An Ending from its JSON; what another version adds is left out."""
    known = {field.name for field in fields(Ending)}
    return Ending(**{name: value for name, value in told.items() if name in known})


def ending_of(run: ToolRun) -> Ending:
    """The end as its row has it."""
    taken = {field.name for field in fields(Ending)} - {"run", "artifacts"}
    told = {name: getattr(run, name) for name in taken}
    return Ending(run=run.uid, **told)


def _is_of(run: ToolRun, ending: Any) -> bool:
    """Whether this is an Ending of the run; whatever else says so waits for the row."""
    return (
        isinstance(ending, dict)
        and (ending.get("run"), ending.get("generation")) == (run.uid, run.generation)
        and ending.get("outcome") in OUTCOMES
        and all(isinstance(ending.get(name, ""), str) for name in ("reason", "stdout", "stderr"))
        and all(isinstance(ending.get(name, []), list) for name in ("artifacts", "egress"))
        and isinstance(ending.get("duration_ms"), int | float | None)
    )


async def _fresh(run: ToolRun) -> ToolRun:
    """The row as it is now; a run that retention removed has ended."""

    def read() -> ToolRun:
        row = ToolRun.objects.filter(pk=run.pk).first()
        if row is None:
            run.live = False
        return row or run

    return await on_thread(read)
