"""`/ws/live/`: figures, states and logs, to whoever is logged in (docs/architecture.md, Live frames)."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from typing import Any

import orjson
import structlog
from channels.db import database_sync_to_async

from metrics_app.hub import CODE_ACCESS_ENDED, Hub, Socket, tasks_end
from metrics_app.log_following import log_follow
from metrics_app.socket_access import Access, access_of, key_access
from metrics_app.socket_picture import snapshot_frame
from sparkweb.request_threads import Receive, Scope, Send

log = structlog.get_logger(__name__)

CODE_BAD_FRAME = 4400
FRAME_LIMIT_BYTES = 4096
LOGS_AT_ONCE = 4
RESYNC_SECONDS = 2.0
SERVER_EXTENSIONS = ("sparkweb.abort", "sparkweb.framed", "sparkweb.write_framed")


class BadFrame(ValueError):
    """A browser sent what is no frame of ours."""


class LiveSocket:
    """The ASGI application of one kind of socket; keeps no state between sockets."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        access = await _access(scope)
        if access is None:
            await send({"type": "websocket.close", "code": CODE_ACCESS_ENDED})
            return
        extensions = scope.get("extensions", {})
        abort, framed, at_once = (extensions.get(name) for name in SERVER_EXTENSIONS)
        socket = Socket(send, access, abort, framed, at_once)
        conversation = Conversation(self.hub, socket)
        self.hub.add(socket)
        try:
            await conversation.run(receive)
        finally:
            self.hub.remove(socket)
        if socket.code is not None:
            await _say_goodbye(send, socket.code)


class Conversation:
    """What one socket says and is told, until either side ends it."""

    def __init__(self, hub: Hub, socket: Socket) -> None:
        self.hub, self.socket = hub, socket
        self.logs: dict[str, asyncio.Task[None]] = {}
        self.greeted_at = 0.0

    async def run(self, receive: Receive) -> None:
        """Return when the socket has ended; `socket.code` is set when it is we who ended it."""
        tasks = [
            asyncio.create_task(self._hear(receive)),
            asyncio.create_task(self._speak()),
            asyncio.create_task(self.socket.ended.wait()),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for error in await tasks_end([*tasks, *self.logs.values()]):
            # OSError: uvicorn's ClientDisconnected, for the browser may go at any time.
            if not isinstance(error, OSError):
                log.error("socket failed", user=self.socket.access.username, exc_info=error)
                self.socket.close(1011)

    async def _speak(self) -> None:
        await self._greet()
        await self.socket.pump()

    async def _greet(self) -> None:
        self.greeted_at = time.monotonic()
        picture = await self.hub.picture()
        nodes = [
            {"name": node.name, "label": node.label, "status": self.hub.status_of(node.name, node.status)}
            for node in picture.nodes
        ]
        hello = {"type": "hello", "server_time": time.time(), "session": str(uuid.uuid4()), "nodes": nodes}
        await self.socket.write(orjson.dumps(hello).decode())
        for node in nodes:
            await self.socket.write(picture.history[node["name"]])
            if stored := picture.snapshots.get(node["name"]):
                await self.socket.write(snapshot_frame(node["name"], node["status"], stored))

    async def _hear(self, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                await self._obey(_parsed(message))
            except BadFrame as error:
                log.info("socket closed", reason=str(error), user=self.socket.access.username)
                self.socket.close(CODE_BAD_FRAME)
                return

    async def _obey(self, frame: dict[str, Any]) -> None:
        kind = frame.get("type")
        if kind == "log_open":
            await self._log_open(_member(frame), _offset(frame))
        elif kind == "log_close":
            if task := self.logs.pop(_member(frame), None):
                task.cancel()
        elif kind == "resync":
            if time.monotonic() - self.greeted_at >= RESYNC_SECONDS:
                await self._greet()
        else:
            raise BadFrame(f"type {str(kind)[:40]!r} is unknown")

    async def _log_open(self, member: str, after: str) -> None:
        if old := self.logs.pop(member, None):
            old.cancel()
        if len(self.logs) >= LOGS_AT_ONCE:
            raise BadFrame(f"more than {LOGS_AT_ONCE} logs at once")
        names = [node.name for node in await self.hub.nodes()]
        self.logs[member] = asyncio.create_task(log_follow(self.socket, member, after, names))


def _parsed(message: Any) -> dict[str, Any]:
    text = message.get("text")
    if text is None or len(text.encode()) > FRAME_LIMIT_BYTES:
        raise BadFrame(f"not text, or over {FRAME_LIMIT_BYTES} bytes")
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadFrame("not JSON") from None
    if not isinstance(frame, dict):
        raise BadFrame("not an object")
    return frame


def _member(frame: dict[str, Any]) -> str:
    member = frame.get("member")
    if not isinstance(member, str) or not re.fullmatch(r"[0-9a-f]{16}", member):
        raise BadFrame("member is no uid")
    return member


def _offset(frame: dict[str, Any]) -> str:
    after = frame.get("after", "0")
    if not isinstance(after, str) or not re.fullmatch(r"\d{1,20}(-\d{1,20})?", after):
        raise BadFrame("after is no offset")
    return after


async def _access(scope: Scope) -> Access | None:
    """The API key of a handshake that names one, else its session; None for neither."""
    words = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization"]
    if words:
        return await database_sync_to_async(key_access)(words[0])
    return access_of(_unwrapped(scope["user"]), scope["session"])


def _unwrapped(user: Any) -> Any:
    return getattr(user, "_wrapped", user)


async def _say_goodbye(send: Send, code: int) -> None:
    try:
        await send({"type": "websocket.close", "code": code})
    except (OSError, RuntimeError):
        return  # it is gone already, or uvicorn has closed it
