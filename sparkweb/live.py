"""Frames to browsers: `publish` from any thread of any Django process.

One background thread with an event loop of its own hands frames to the channel
layer. Frames are droppable: with Redis gone or slow, the newest of each key waits
for its return, older ones are forgotten, and no caller ever waits.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from typing import Any

import orjson
import structlog
from channels.layers import channel_layers

log = structlog.get_logger(__name__)

Audience = tuple[int, str]
"""The id of a user (0 for nobody), and the least role that sees it besides."""

GROUP = "live"
SEND_SECONDS = 1.0
RETRY_SECONDS = 0.5
KEYS_WAITING = 1_000


class _Publisher:
    """The loop thread and the newest unsent frame of each key, oldest key first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, tuple[str, Audience | None]] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._down = False

    def publish(self, key: str, text: str, only: Audience | None) -> None:
        with self._lock:
            self._waiting[key] = (text, only)
            if len(self._waiting) > KEYS_WAITING:
                self._waiting.popitem(last=False)
            self._thread_ensure()
            assert self._loop and self._wake
            self._loop.call_soon_threadsafe(self._wake.set)

    def close(self) -> None:
        """End the thread; frames that wait are dropped."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._waiting.clear()
            if thread is None or not thread.is_alive():
                return
            assert self._loop and self._wake and self._stop
            # In one call: between two, a thread that is busy may end and close its loop.
            self._loop.call_soon_threadsafe(_set_both, self._stop, self._wake)
        thread.join(2 * SEND_SECONDS)

    def _thread_ensure(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="live", daemon=True)
        self._thread.start()
        ready.wait()

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        wake, stop = asyncio.Event(), asyncio.Event()
        self._loop, self._wake, self._stop = asyncio.get_running_loop(), wake, stop
        ready.set()
        layer = channel_layers.make_backend("default")  # of this loop alone; its connections stay here
        while not stop.is_set():
            await wake.wait()
            wake.clear()
            while not stop.is_set() and (frame := self._pop()):
                if not await self._send(layer, *frame):
                    self._put_back(*frame)
                    await asyncio.sleep(RETRY_SECONDS)
        if hasattr(layer, "close_pools"):
            await layer.close_pools()

    def _pop(self) -> tuple[str, tuple[str, Audience | None]] | None:
        with self._lock:
            return self._waiting.popitem(last=False) if self._waiting else None

    def _put_back(self, key: str, frame: tuple[str, Audience | None]) -> None:
        with self._lock:
            if key not in self._waiting:
                self._waiting[key] = frame
                self._waiting.move_to_end(key, last=False)

    async def _send(self, layer: Any, key: str, frame: tuple[str, Audience | None]) -> bool:
        text, only = frame
        message = {"type": "live.frame", "key": key, "frame": text, "only": only and list(only)}
        try:
            await asyncio.wait_for(layer.group_send(GROUP, message), SEND_SECONDS)
        except Exception as error:  # noqa: BLE001 — whatever Redis is up to, it must not end this thread
            if not self._down:
                log.warning("live frames wait", error=str(error) or type(error).__name__)
            self._down = True
            return False
        self._down = False
        return True


def _set_both(one: asyncio.Event, other: asyncio.Event) -> None:
    one.set()
    other.set()


_publisher = _Publisher()


def publish(key: str, frame: dict[str, Any], only: Audience | None = None) -> None:
    """Send one frame to every browser; a newer one of the same key replaces it while it waits.

    With `only` it goes to one user, and to whoever has the role named there or a higher one.
    Returns at once and never raises for Redis. `frame` must be JSON-able (TypeError else).
    """
    _publisher.publish(key, orjson.dumps(frame).decode(), only)


def close() -> None:
    """End the background thread. The next `publish` starts it again."""
    _publisher.close()
