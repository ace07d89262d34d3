"""One subscription per web process, fanned out to its sockets.

Frames arrive as ready JSON text and go out unchanged, made bytes of the wire once
for all sockets. What arrives while sockets are written to goes out together, in one
write to each: with many sockets and nodes that is what costs. A socket that cannot
keep up gets the newest frame of each key, never a backlog; one that takes nothing
for 15 s is cut off. The hub itself notices when figures stop, whether Redis, control
or the node fell silent, and says so by `node_status`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
import structlog
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db import DatabaseError
from redis.exceptions import RedisError

from metrics_app.models import NodeStatus
from metrics_app.socket_access import Access, access_lost
from metrics_app.socket_picture import NodeRow, Picture, nodes_read, picture_make
from sparkweb.shared_streams import shared_streams
from sparkweb.socket_frames import framed

log = structlog.get_logger(__name__)

GROUP = "live"
SLOW_SECONDS = 15.0
STALE_SECONDS = 6.0
OFFLINE_SECONDS = 10.0
PICTURE_SECONDS = 1.0
NODES_SECONDS = 10.0
TICK_SECONDS = 1.0
REJOIN_EVERY_TICKS = 5
ACCESS_EVERY_TICKS = 2
PING_EVERY_TICKS = 10
PENDING_KEYS = 256
END_SECONDS = 0.5
ROUND_PAUSE = 2.0  # times the seconds that the round of writes before took
CODE_ACCESS_ENDED = 4401
CODE_SLOW = 4408
_LATE: set[asyncio.Task[Any]] = set()  # asyncio itself holds tasks weakly


class Framed(NamedTuple):
    """One frame as JSON text, and as bytes of the wire."""

    text: str
    wire: bytes


@dataclass(eq=False)
class Socket:
    """One browser: what it may see, and the newest frame of each key that it has not been sent yet.

    `send_framed` takes bytes of the wire, where the server offers that; a frame is then bytes,
    else text. `write_framed` does so at once, or says that the peer has not taken enough yet.
    """

    send: Callable[[dict[str, Any]], Any]
    access: Access
    abort: Callable[[], None] | None = None
    send_framed: Callable[[bytes], Awaitable[None]] | None = None
    write_framed: Callable[[bytes], bool] | None = None
    pending: dict[str, str | bytes] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    code: int | None = None
    writing_since: float | None = None
    greeted: bool = False
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take(self, frames: Mapping[str, Framed], together: bytes) -> None:
        """Send frames by key now, `together` being their bytes, or when those before are gone."""
        idle = self.greeted and not self.pending and not self._turn.locked()
        if idle and self.write_framed is not None and self.write_framed(together):
            return
        for key, frame in frames.items():
            self.offer(key, frame.text if self.send_framed is None else frame.wire)

    def offer(self, key: str, frame: str | bytes) -> None:
        """Have a frame sent; it replaces an unsent one of the same key."""
        if key not in self.pending and len(self.pending) >= PENDING_KEYS:
            del self.pending[next(iter(self.pending))]
        self.pending[key] = frame
        self.wake.set()

    async def write(self, frame: str | bytes) -> None:
        """Send one frame now, text or bytes of the wire, waiting for those before it."""
        async with self._turn:
            self.writing_since = time.monotonic()
            try:
                if isinstance(frame, str):
                    await self.send({"type": "websocket.send", "text": frame})
                else:
                    assert self.send_framed is not None
                    await self.send_framed(frame)
            finally:
                self.writing_since = None

    async def pump(self) -> None:
        """Send what is offered, for ever."""
        self.greeted = True
        while True:
            await self.wake.wait()
            self.wake.clear()
            batch, self.pending = self.pending, {}
            for frame in batch.values():
                await self.write(frame)

    def close(self, code: int) -> None:
        """End this socket with a close code."""
        self.code = self.code or code
        self.ended.set()

    def cut(self) -> None:
        """End a connection whose peer reads nothing: a close frame would wait behind all the rest."""
        if self.abort is not None:
            self.abort()
        self.close(CODE_SLOW)


class Hub:
    """The sockets of this process and what they are told."""

    def __init__(self) -> None:
        self.sockets: set[Socket] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._channel = ""
        self._picture: Picture | None = None
        self._making: asyncio.Task[Picture] | None = None
        self._nodes: list[NodeRow] = []
        self._nodes_read_at = -NODES_SECONDS
        self._heard: dict[str, float] = {}
        self._silent: dict[str, str] = {}
        self._started_at = 0.0
        self._round: dict[str, Framed] = {}
        self._rounds_from = 0.0
        self._round_due: asyncio.Handle | None = None

    async def start(self) -> None:
        """Begin to listen. Redis need not be there yet."""
        layer = get_channel_layer()
        assert layer is not None
        self._channel = await layer.new_channel(GROUP)
        self._started_at = time.monotonic()
        self._heard, self._silent, self._picture = {}, {}, None
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._tick())]

    async def stop(self) -> None:
        """Close every socket and stop listening."""
        for socket in list(self.sockets):
            socket.close(1012)
        await tasks_end(self._tasks)
        self._tasks = []
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(0.5):
                await _layer().group_discard(GROUP, self._channel)
                await shared_streams().aclose()

    def add(self, socket: Socket) -> None:
        self.sockets.add(socket)

    def remove(self, socket: Socket) -> None:
        self.sockets.discard(socket)

    def broadcast(self, key: str, text: str, only: Sequence[Any] | None = None) -> None:
        """Have one frame, already JSON, sent to every socket: at once, or with what else comes meanwhile.

        Or to those of `only` alone (sparkweb.live.Audience), and then at once.
        """
        if key.startswith("node:"):
            self._node_heard(key.removeprefix("node:"))
        if not self.sockets:
            return
        frame = Framed(text, framed(text))
        if only is not None:
            for socket in self.sockets:
                if socket.access.user_id == only[0] or socket.access.reaches(only[1]):
                    socket.take({key: frame}, frame.wire)
            return
        self._round[key] = frame
        self._round_plan()

    def _round_plan(self) -> None:
        if self._round_due is None:
            wait = max(0.0, self._rounds_from - time.monotonic())
            self._round_due = asyncio.get_running_loop().call_later(wait, self._round_send)

    def _round_send(self) -> None:
        """Write what came to every socket."""
        frames, self._round = self._round, {}
        together = b"".join(frame.wire for frame in frames.values())
        began = time.monotonic()
        for socket in self.sockets:
            socket.take(frames, together)
        # uvloop hands everything to the kernel before its next callback.
        self._round_due = asyncio.get_running_loop().call_soon(self._round_end, began)

    def _round_end(self, began: float) -> None:
        """Leave the loop to others for a while, in proportion; then what came meanwhile."""
        now = time.monotonic()
        self._rounds_from = now + ROUND_PAUSE * (now - began)
        self._round_due = None
        if self._round:
            self._round_plan()

    async def picture(self) -> Picture:
        """Return what a new socket is told first, made at most once a second for all of them."""
        if self._picture and time.monotonic() - self._picture.made_at < PICTURE_SECONDS:
            return self._picture
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(picture_make())
        self._picture = await asyncio.shield(self._making)
        self._nodes, self._nodes_read_at = self._picture.nodes, self._picture.made_at
        return self._picture

    async def nodes(self) -> list[NodeRow]:
        """Return the inventory, at most ten seconds old."""
        if time.monotonic() - self._nodes_read_at >= NODES_SECONDS:
            self._nodes = await nodes_read()
            self._nodes_read_at = time.monotonic()
        return self._nodes

    def status_of(self, node: str, stored: str) -> str:
        """Return a node's status: what the hub has noticed, else what control has stored."""
        return self._silent.get(node, stored)

    # Listening -----------------------------------------------------------------

    async def _listen(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while not task.cancelling():
            try:
                await _layer().group_add(GROUP, self._channel)
                while not task.cancelling():
                    message = await _layer().receive(self._channel)
                    self.broadcast(message["key"], message["frame"], message.get("only"))
            except (RedisError, OSError) as error:
                log.warning("Redis does not answer; figures pause", error=str(error))
            except Exception:  # the layer's own faults must not end the figures for good
                log.exception("live frames failed; listening again")
            await asyncio.sleep(TICK_SECONDS)

    async def _tick(self) -> None:
        count = 0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            count += 1
            self._cut_slow()
            try:
                await self._watch_nodes()
                if count % ACCESS_EVERY_TICKS == 0:
                    await self._end_access()
            except DatabaseError as error:
                log.warning("database does not answer; sockets are checked later", error=str(error))
            except Exception:
                log.exception("watching sockets failed; trying again")
            if count % PING_EVERY_TICKS == 0:
                self.broadcast("ping", '{"type":"ping"}')
            if count % REJOIN_EVERY_TICKS == 0:
                await self._rejoin()

    async def _rejoin(self) -> None:
        """Join the group again: a flushed Redis has forgotten us."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(0.5):
                await _layer().group_add(GROUP, self._channel)

    def _cut_slow(self) -> None:
        now = time.monotonic()
        for socket in list(self.sockets):
            if socket.writing_since is not None and now - socket.writing_since > SLOW_SECONDS:
                log.info("socket cut off: it took nothing for 15 s", user=socket.access.username)
                socket.cut()

    async def _end_access(self) -> None:
        sockets = list(self.sockets)
        if not sockets:
            return
        lost = await database_sync_to_async(access_lost)([socket.access for socket in sockets])
        for socket in sockets:
            if socket.access in lost:
                socket.close(CODE_ACCESS_ENDED)

    # Silence -------------------------------------------------------------------

    def _node_heard(self, node: str) -> None:
        self._heard[node] = time.monotonic()
        if self._silent.pop(node, None):
            self._tell_status(node, NodeStatus.ONLINE, time.time())

    async def _watch_nodes(self) -> None:
        if not self.sockets:
            return
        now = time.monotonic()
        for node in await self.nodes():
            expected = node.name in self._heard or node.status in (NodeStatus.ONLINE, NodeStatus.STALE)
            age = now - self._heard.get(node.name, self._started_at)
            if not expected or age < STALE_SECONDS:
                continue
            status = NodeStatus.OFFLINE if age >= OFFLINE_SECONDS else NodeStatus.STALE
            if self._silent.get(node.name) != status:
                self._silent[node.name] = status
                self._tell_status(node.name, status, time.time() - age)

    def _tell_status(self, node: str, status: str, since: float) -> None:
        frame = {"type": "node_status", "node": node, "status": status, "since": since}
        self.broadcast(f"status:{node}", orjson.dumps(frame).decode())


async def tasks_end(tasks: list[asyncio.Task[Any]]) -> list[BaseException]:
    """Cancel tasks, wait half a second for them, and return what they failed with.

    Not longer: redis-py now and then swallows a cancellation (its issue 2551).
    """
    for task in tasks:
        task.cancel()
    if not tasks:
        return []
    done, late = await asyncio.wait(tasks, timeout=END_SECONDS)
    for task in late:
        _LATE.add(task)
        task.add_done_callback(_LATE.discard)
    return [error for task in done if not task.cancelled() and (error := task.exception())]


def _layer() -> Any:
    return get_channel_layer()


HUB = Hub()
