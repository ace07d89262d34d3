"""Frames to browsers: `publish` from any thread of any Django process.

One background thread with an event loop of its own hands frames to the channel
layer. Frames are droppable: with Redis gone or slow, the newest by key wins and
nothing waits.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import orjson
import structlog
from channels.layers import channel_layers

log = structlog.get_logger(__name__)

GROUP = "live"
SEND_SECONDS = 1.0


class _Publisher:
    """The loop thread and the newest unsent frame of each key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._down = False

    def publish(self, key: str, text: str) -> None:
        with self._lock:
            self._waiting[key] = text
            if self._thread is None or not self._thread.is_alive():
                ready = threading.Event()
                self._thread = threading.Thread(target=self._run, args=(ready,), name="live", daemon=True)
                self._thread.start()
                ready.wait()
            assert self._loop and self._wake
            self._loop.call_soon_threadsafe(self._wake.set)

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        layer = channel_layers.make_backend("default")  # of this loop alone; its connections stay here
        while True:
            await self._wake.wait()
            self._wake.clear()
            with self._lock:
                frames, self._waiting = self._waiting, {}
            for key, text in frames.items():
                await self._send(layer, key, text)

    async def _send(self, layer: Any, key: str, text: str) -> None:
        message = {"type": "live.frame", "key": key, "frame": text}
        try:
            await asyncio.wait_for(layer.group_send(GROUP, message), SEND_SECONDS)
            self._down = False
        except Exception as error:  # noqa: BLE001 — whatever Redis is up to, a lost frame is only a lost frame
            if not self._down:
                log.warning("live frames cannot be sent", error=str(error))
            self._down = True


_publisher = _Publisher()


def publish(key: str, frame: dict[str, Any]) -> None:
    """Send one frame to every browser; a newer one of the same key replaces it while it waits."""
    _publisher.publish(key, orjson.dumps(frame).decode())


def close() -> None:
    """Nothing to do: the thread is a daemon and frames are droppable."""
