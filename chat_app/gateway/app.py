"""The ASGI application of `/v1`: who asks, and for what; it ends what nobody waits for any more."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import aiohttp
import structlog

from chat_app.gateway.asked import Asked
from chat_app.gateway.errors import GatewayError, key_invalid
from chat_app.gateway.keys import Caller, Keys
from chat_app.gateway.ledger import LEDGER, Meter
from chat_app.gateway.limits import Limits, Ticket
from chat_app.gateway.listing import model_json, models_json
from chat_app.gateway.relay import Send, session_make
from chat_app.gateway.requests import ENDPOINTS, ClientGone, Receive, body_read, wanted_read
from chat_app.gateway.routes import Routes
from chat_app.gateway.threads import DATABASE
from chat_app.limits import day_read
from sparkweb.request_threads import App, Scope

log = structlog.get_logger(__name__)

ROOT = "/v1"
KEY_CHECK_SECONDS = 4.0


class Gateway:
    """Answers below /v1, and hands all else to `app`. For one event loop."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._keys, self._routes, self._limits = Keys(), Routes(), Limits()
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path != ROOT and not path.startswith(ROOT + "/"):
            await self._app(scope, receive, send)
            return
        meter = Meter()
        try:
            await self._serve(scope, receive, send, meter)
        except GatewayError as error:
            await _refuse(send, error)
        except ClientGone:
            return
        except Exception:
            log.exception("gateway failed", path=path)
            await _refuse(send, GatewayError(500, "internal_error", "SparkWeb failed; its log says why."))

    async def close(self) -> None:
        """Close connections to engines, and store what waits."""
        if self._session is not None:
            await self._session.close()
        await asyncio.to_thread(LEDGER.close)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, meter: Meter) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        caller = await self._keys.caller(key_of(headers))
        path, method = scope["path"].rstrip("/"), scope["method"]
        if path == "/v1/models" or path.startswith("/v1/models/"):
            if method != "GET":
                raise _method(method, "GET")
            await self._models(path, caller, send)
        elif path in ENDPOINTS:
            if method != "POST":
                raise _method(method, "POST")
            wanted = wanted_read(path, await body_read(receive, headers))
            asked = Asked(self.session(), self._routes, wanted, caller, meter, headers, send)
            ticket = await self._admit(asked)
            try:
                await self._ask(asked, headers, receive, send)
            finally:
                ticket.end(asked.tokens)
        else:
            raise GatewayError(
                404, "unknown_url", f"There is no {scope['path'][:100]} here; see the page API."
            )

    async def _admit(self, asked: Asked) -> Ticket:
        """Count a request, or refuse it for its limits; what is refused stands in the ledger too."""
        for limit in asked.caller.limits:
            if not self._limits.knows(limit.subject):
                hours = await DATABASE.run(partial(day_read, limit.subject))
                self._limits.begin(limit.subject, hours)
        try:
            return self._limits.admit(asked.caller.limits, asked.wanted.model)
        except GatewayError as error:
            asked.refused(error)
            raise

    async def _models(self, path: str, caller: Caller, send: Send) -> None:
        table = (await self._routes.table()).only(caller.limits)
        name = path.removeprefix("/v1/models").strip("/")
        body = model_json(table, name) if name else models_json(table)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _ask(self, asked: Asked, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        """Answer, unless the client leaves or its key is revoked before the end: then all work ends."""
        work = asyncio.current_task()
        assert work is not None
        gone = asyncio.ensure_future(_gone(receive))
        watch = asyncio.ensure_future(self._key_watch(headers)) if asked.wanted.streamed else None
        watchers = [gone, *([watch] if watch else [])]
        for one in watchers:
            one.add_done_callback(lambda done: None if done.cancelled() else work.cancel())
        try:
            await asked.run()
        except asyncio.CancelledError:
            if not any(one.done() for one in watchers):
                raise  # the server stops
            work.uncancel()
            cut = watch.result() if watch is not None and watch.done() and not gone.done() else None
            asked.ended_early(cut)
            if cut is not None:
                await send({"type": "http.response.body", "body": cut.event(), "more_body": False})
        finally:
            for one in watchers:
                one.cancel()

    async def _key_watch(self, headers: dict[bytes, bytes]) -> GatewayError:
        """Return, some seconds after a key was revoked, why it opens nothing any more."""
        while True:
            await asyncio.sleep(KEY_CHECK_SECONDS)
            try:
                await self._keys.caller(key_of(headers))
            except GatewayError as error:
                if error.status == 401:
                    return error

    def session(self) -> aiohttp.ClientSession:
        """Return the connections to engines; made on this loop's first request."""
        if self._session is None or self._session.closed:
            self._session = session_make()
        return self._session


def key_of(headers: dict[bytes, bytes]) -> str:
    """Return the key of a request: OpenAI's clients send a bearer, Anthropic's `x-api-key`."""
    given = headers.get(b"authorization", b"").decode("latin-1")
    kind, _, text = given.partition(" ")
    if kind.lower() == "bearer" and text.strip():
        return text.strip()
    if given and kind.lower() != "bearer":
        raise key_invalid("Send the API key as `Authorization: Bearer <key>`.")
    return headers.get(b"x-api-key", b"").decode("latin-1").strip()


async def _gone(receive: Receive) -> None:
    """Return when the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Send, error: GatewayError) -> None:
    body = error.body()
    headers = [*error.headers(), (b"content-length", str(len(body)).encode())]
    with suppress(Exception):  # the client may be gone, or an answer may have begun
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _method(method: str, right: str) -> GatewayError:
    return GatewayError(405, "method_not_allowed", f"{method[:10]} does nothing here; use {right}.")
