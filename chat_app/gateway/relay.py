"""Passing one request on to an engine, and its answer back, byte by byte. No Django here.

The connection to the engine is closed the moment that the client goes, while it waits, reads the prompt or
streams: engines end a request whose connection closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from yarl import URL

from chat_app.gateway.errors import GatewayError, upstream_error
from chat_app.gateway.requests import Wanted, body_for
from chat_app.gateway.sse import Events, Tokens

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CONNECT_SECONDS = 5.0
HEADERS_SECONDS = 10.0  # a stream's client hears of us after so long, whether the engine has spoken or not
HEARTBEAT_SECONDS = 15.0
BEAT = b": still waiting\n\n"
READ_BYTES = 2**18
ANSWER_MOST = 256 * 2**20  # of one that is not streamed: a batch of embeddings is tens of MiB
EVENT_STREAM = b"text/event-stream"
NOT_OURS = ("User-Agent", "Accept")
PASSED_ON = ("content-type", "x-request-id", "retry-after")
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
LOST = (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError)


class NotReached(Exception):
    """The engine took no connection: nothing was asked of it, another may be."""


@dataclass(slots=True)
class Told:
    """What became of a request, for the ledger."""

    status: int = 0
    error: str = ""
    outcome: str = "error"
    tokens: Tokens = field(default_factory=Tokens)


class Relay:
    """One request to one engine. `begun` is called when the first byte goes to the client."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        wanted: Wanted,
        headers: Mapping[str, str],
        send: Send,
        begun: Callable[[], None],
    ) -> None:
        self._session, self._wanted, self._headers = session, wanted, headers
        self._send, self._begun = send, begun
        self.told = Told()
        self._started = False
        self._sent = 0

    async def run(self, url: URL, model: str) -> None:
        """Ask and answer. Raises NotReached; GatewayError while nothing was sent."""
        data, hide = body_for(self._wanted, model)
        try:
            response = await (self._patiently(url, data) if self._wanted.streamed else self._ask(url, data))
        except aiohttp.ClientConnectorError as error:
            if self._started:
                await self._break(_lost(error))
                return
            raise NotReached(str(error)) from None
        except LOST as error:
            await self._fail(_lost(error))
            return
        try:
            await self._answer(response, hide)
        finally:
            response.close()  # not release: an answer that is not read to its end must end at the engine too

    async def _ask(self, url: URL, data: bytes) -> aiohttp.ClientResponse:
        # Never where an engine sends us: it may be anybody's image, and we stand inside the LAN.
        return await self._session.post(
            url, data=data, headers=self._headers, skip_auto_headers=NOT_OURS, allow_redirects=False
        )

    async def _patiently(self, url: URL, data: bytes) -> aiohttp.ClientResponse:
        """Ask for a stream; its client gets comments while the engine has not begun to answer."""
        asking = asyncio.ensure_future(self._ask(url, data))
        seconds = HEADERS_SECONDS
        try:
            while not (await asyncio.wait([asking], timeout=seconds))[0]:
                await self._start(200, STREAM_HEADERS)
                await self._body(BEAT)
                seconds = HEARTBEAT_SECONDS
            return asking.result()
        finally:
            asking.cancel()  # means nothing to one that is done

    async def _answer(self, response: aiohttp.ClientResponse, hide: bool) -> None:
        if 300 <= response.status < 400:
            await self._fail(
                GatewayError(502, "engine_redirects", "The engine sends elsewhere; that is refused.")
            )
            return
        kind = response.headers.get("content-type", "")
        if response.status < 400 and kind.startswith("text/event-stream"):
            await self._stream(response, hide)
            return
        try:
            body = await _read(response)
        except GatewayError as error:
            await self._fail(error)
            return
        except LOST as error:
            await self._fail(_lost(error))
            return
        if response.status >= 400:
            await self._refused(response, upstream_error(response.status, body))
        else:
            await self._whole(response, body)

    async def _stream(self, response: aiohttp.ClientResponse, hide: bool) -> None:
        told, events = self.told, Events(self.told.tokens, hide_usage=hide)
        told.status = response.status
        await self._start(response.status, STREAM_HEADERS)
        try:
            await self._pieces(response, events)
        except LOST as error:
            await self._break(_lost(error))
        else:
            if rest := events.end():
                await self._body(rest)
            await self._body(b"", more=False)
            told.outcome = "ok"
        finally:
            if told.tokens.output is None and events.deltas:
                told.tokens.output, told.tokens.is_estimated = events.deltas, True

    async def _pieces(self, response: aiohttp.ClientResponse, events: Events) -> None:
        content = response.content
        beats = asyncio.ensure_future(self._beats(events))
        try:
            while data := await content.readany():
                if out := events.feed(data):
                    await self._body(out)
        finally:
            beats.cancel()

    async def _beats(self, events: Events) -> None:
        """Send a comment where nothing was sent for a while, between two events and never inside one."""
        while True:
            sent = self._sent
            await asyncio.sleep(HEARTBEAT_SECONDS)
            if sent == self._sent and events.between:
                await self._body(BEAT)

    async def _whole(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.told.status, self.told.outcome = response.status, "ok"
        self.told.tokens.take(_usage(body))
        if self._started:  # a stream was asked for, and the engine answers whole
            await self._body(b"data: " + body.replace(b"\n", b" ") + b"\n\ndata: [DONE]\n\n", more=False)
            return
        await self._start(response.status, _headers(response, len(body)))
        await self._body(body, more=False)

    async def _refused(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.told.status, self.told.outcome, self.told.error = response.status, "refused", "engine"
        if self._started:
            await self._body(b"\n\ndata: " + body + b"\n\n", more=False)
            return
        headers = [(name, value) for name, value in _headers(response, len(body)) if name != b"content-type"]
        await self._start(response.status, [(b"content-type", b"application/json"), *headers])
        await self._body(body, more=False)

    async def _fail(self, error: GatewayError) -> None:
        """The engine broke off before it answered."""
        self.told.status, self.told.error = error.status, error.code
        if self._started:
            await self._break(error)
            return
        raise error

    async def _break(self, error: GatewayError) -> None:
        """The engine broke off within its answer: the client hears so, and no end is made up."""
        self.told.outcome, self.told.error = "cut", error.code
        await self._body(error.event(), more=False)

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if not self._started:
            self._started = True
            self._begun()
            await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, data: bytes, more: bool = True) -> None:
        self._sent += 1
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Return a whole answer. Raises GatewayError for one that no memory should hold."""
    pieces, size = [], 0
    while data := await response.content.readany():
        size += len(data)
        if size > ANSWER_MOST:
            words = f"The engine's answer is larger than {ANSWER_MOST // 2**20} MiB."
            raise GatewayError(502, "answer_too_large", words)
        pieces.append(data)
    return b"".join(pieces)


def session_make() -> aiohttp.ClientSession:
    """Return the session of one event loop: connections are kept, none waits for another."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=20),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        auto_decompress=False,
        read_bufsize=READ_BYTES,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _headers(response: aiohttp.ClientResponse, length: int) -> list[tuple[bytes, bytes]]:
    kept = [
        (name.encode(), response.headers[name].encode()) for name in PASSED_ON if name in response.headers
    ]
    return [*kept, (b"content-length", str(length).encode())]


def _usage(body: bytes) -> Any:
    if b'"usage"' not in body:
        return None
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return told.get("usage") if isinstance(told, dict) else None


def _lost(error: BaseException) -> GatewayError:
    return GatewayError(
        502, "engine_lost", f"The engine broke off: {type(error).__name__}. It may be restarting."
    )
