"""A container's log, from its stream to one socket, at the pace at which the socket takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson

from metrics_app.hub import Socket
from sparkweb.shared_streams import shared_streams
from sparkweb.streams import BEGINNING, Entry, Gap, Streams, StreamsDown

BATCH_ENTRIES = 50
BLOCK_SECONDS = 5.0
RETRY_SECONDS = 1.0


async def log_follow(socket: Socket, member: str, after: str, node_names: list[str]) -> None:
    """Send a member's log from offset `after` on, until cancelled.

    The member's node is whichever has a stream of it; a log that has not begun
    yet is waited for. Redis may go and come back meanwhile.
    """
    task = asyncio.current_task()
    assert task is not None
    streams = shared_streams()
    names = [f"log:{node}:{member}" for node in node_names]
    places: dict[str, str] = {}
    # redis-py now and then swallows a cancellation (redis-py issue 2551), so it is asked for as well.
    while not task.cancelling():
        try:
            places = places or await _places(streams, names, after)
            items = await streams.aread(places, block_seconds=BLOCK_SECONDS, count=BATCH_ENTRIES)
        except StreamsDown:
            await asyncio.sleep(RETRY_SECONDS)
            continue
        for item in items:
            if isinstance(item, Entry):
                places = {item.stream: item.offset}
        for frame in [] if task.cancelling() else frames(member, items):
            await socket.write(orjson.dumps(frame).decode())


async def _places(streams: Streams, names: list[str], after: str) -> dict[str, str]:
    for name in names:
        if await streams.alast(name) != BEGINNING:
            return {name: after}
    return dict.fromkeys(names, "0")


def frames(member: str, items: list[Entry | Gap]) -> Iterator[dict[str, Any]]:
    """Turn stream entries into frames; lines that follow each other travel together."""
    lines: list[str] = []
    offset = ""
    for item in items:
        if isinstance(item, Entry) and "lines" in item.data:
            lines += item.data["lines"]
            offset = item.offset
            continue
        if lines:
            yield {"type": "log", "member": member, "offset": offset, "lines": lines}
            lines = []
        if frame := _mark(member, item):
            yield frame
    if lines:
        yield {"type": "log", "member": member, "offset": offset, "lines": lines}


def _mark(member: str, item: Entry | Gap) -> dict[str, Any] | None:
    if isinstance(item, Gap):
        return {"type": "log_gap", "member": member, "offset": item.first, "skipped": True}
    for key, kind in (("reset", "log_reset"), ("end", "log_end"), ("skipped", "log_gap")):
        if key in item.data:
            return {"type": kind, "member": member, "offset": item.offset, key: item.data[key]}
    return None
