"""Taking a request in: its address, its body, and what the engine is to get of it. No Django here."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import orjson

from chat_app.gateway.errors import GatewayError

BODY_MOST = 64 * 2**20
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

# Our path to the engine's. Source: vLLM's API server; the others serve the first four.
ENDPOINTS = {
    "/v1/chat/completions": "/v1/chat/completions",
    "/v1/completions": "/v1/completions",
    "/v1/embeddings": "/v1/embeddings",
    "/v1/responses": "/v1/responses",
    "/v1/messages": "/v1/messages",
    "/v1/messages/count_tokens": "/v1/messages/count_tokens",
    "/v1/rerank": "/v1/rerank",
    "/v1/score": "/v1/score",
    "/v1/tokenize": "/tokenize",
    "/v1/detokenize": "/detokenize",
}
WITH_USAGE_OPTION = ("/v1/chat/completions", "/v1/completions")


class ClientGone(Exception):
    """The client closed its connection."""


@dataclass(slots=True)
class Wanted:
    """A request: `data` are its bytes as they came, `body` what they say."""

    path: str
    data: bytes
    body: dict[str, Any]
    model: str
    streamed: bool


async def body_read(receive: Receive, headers: dict[bytes, bytes]) -> bytes:
    """Return the body. Raises GatewayError (413), ClientGone."""
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced[:20]) > BODY_MOST:
        raise _too_large()
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        size += len(piece)
        if size > BODY_MOST:
            raise _too_large()
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)


def wanted_read(path: str, data: bytes) -> Wanted:
    """Read what is asked for. Raises GatewayError (400). Fields that we do not know go through."""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        body = _slow(data)
    if not isinstance(body, dict):
        raise GatewayError(400, "invalid_json", f"The body must be a JSON object, not {type(body).__name__}.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise GatewayError(
            400, "missing_model", "`model` must name a model; GET /v1/models lists them.", "model"
        )
    return Wanted(path, data, body, model, body.get("stream") is True)


def body_for(wanted: Wanted, model: str) -> tuple[bytes, bool]:
    """Return the bytes for the engine, and whether we asked for usage on our own.

    They are the client's own but for the engine's name of the model and `stream_options.include_usage`.
    """
    asks = wanted.streamed and wanted.path in WITH_USAGE_OPTION
    options = wanted.body.get("stream_options")
    has_usage = isinstance(options, dict) and options.get("include_usage") is True
    hide = asks and not has_usage and (options is None or isinstance(options, dict))
    if model == wanted.model and not hide:
        return wanted.data, False
    body = {**wanted.body, "model": model}
    if hide:
        body["stream_options"] = {**(options or {}), "include_usage": True}
    try:
        return orjson.dumps(body), hide
    except (TypeError, orjson.JSONEncodeError):
        return json.dumps(body).encode(), hide


def _slow(data: bytes) -> Any:
    """What JSON allows and orjson does not: integers beyond 64 bits, lone surrogates."""
    try:
        return json.loads(data)
    except RecursionError:
        raise GatewayError(400, "invalid_json", "The body is nested too deeply.") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise GatewayError(400, "invalid_json", f"The body is no JSON: {str(error)[:200]}") from None


def _too_large() -> GatewayError:
    return GatewayError(413, "too_large", f"The body is larger than {BODY_MOST // 2**20} MiB.")
