"""Refusals in OpenAI's shape, so that its clients understand them. No Django here.

Source: openai-python, src/openai/_base_client.py: 408, 409, 429 and 500 and above are tried again, after
`Retry-After` if there is one; `error` inside a stream is raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
    404: "invalid_request_error", 405: "invalid_request_error", 413: "invalid_request_error",
    429: "rate_limit_error",
}  # fmt: skip


@dataclass
class GatewayError(Exception):
    """An answer that is none. `retry_after` in seconds."""

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after: int | None = None

    def body(self) -> bytes:
        """As JSON, as OpenAI's API tells errors."""
        return orjson.dumps({"error": self.inner()})

    def inner(self) -> dict[str, Any]:
        """What stands below `error`."""
        kind = TYPES.get(self.status, "server_error")
        return {"message": self.message, "type": kind, "param": self.param, "code": self.code}

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of an answer that consists of this error alone."""
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        if self.retry_after is not None:
            headers.append((b"retry-after", str(self.retry_after).encode()))
        if self.status == 401:
            headers.append((b"www-authenticate", b'Bearer realm="SparkWeb"'))
        return headers

    def event(self) -> bytes:
        """As an event of a stream that has begun."""
        return b"\n\ndata: " + self.body() + b"\n\n"


def key_invalid(message: str) -> GatewayError:
    """401: no key, or one that opens nothing."""
    return GatewayError(401, "invalid_api_key", message)


CONTEXT_WORDS = ("maximum context length", "context length", "max_model_len", "context window")


def upstream_error(status: int, body: bytes) -> bytes:
    """Give an engine's own error our codes; what is not in OpenAI's shape is put into it.

    vLLM's `code` is the status as a number (vllm#4667), some servers answer plain text or HTML.
    """
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    error = told.get("error") if isinstance(told, dict) else None
    if isinstance(told, dict) and error is None and "message" in told:
        error = told
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict):
        words = body[:300].decode(errors="replace").strip()
        error = {
            "message": f"The engine answered {status}: {words}" if words else f"The engine answered {status}."
        }
    message = str(error.get("message", ""))
    code = error.get("code")
    if not isinstance(code, str):
        code = _code(status, message)
    known = {"message": message, "type": error.get("type") or TYPES.get(status, "server_error")}
    return orjson.dumps({"error": {**error, **known, "param": error.get("param"), "code": code}})


def _code(status: int, message: str) -> str | None:
    if status == 400 and any(words in message.lower() for words in CONTEXT_WORDS):
        return "context_length_exceeded"
    return {404: "model_not_found", 429: "rate_limit_exceeded"}.get(status)
