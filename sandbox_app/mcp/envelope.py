"""From the body and headers of one POST to one message of the Model Context Protocol. Pure.

Revision 2026-07-28 has no handshake: each request carries its version and the client's
capabilities in `params._meta`, and headers that say the same as its body. Clients of
2025-11-25 and 2025-06-18 begin with `initialize` and name the version in a header
afterwards. Source: modelcontextprotocol.io/specification/2026-07-28/basic/transports.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MODERN = ("2026-07-28",)
HANDSHAKE = ("2025-11-25", "2025-06-18")

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
HEADER_MISMATCH = -32020
VERSION_UNSUPPORTED = -32022
STATUS = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    VERSION_UNSUPPORTED: 400,
    METHOD_NOT_FOUND: 404,
}

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_BASE64 = re.compile(r"=\?base64\?(.*)\?=")


class Rejected(Exception):
    """A message that is answered with a JSON-RPC error; `id` is that of the request, where it has one."""

    def __init__(self, code: int, message: str, request_id: Any = None, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.request_id, self.data = code, message, request_id, data

    @property
    def status(self) -> int:
        """The HTTP status of the answer; 200 where the protocol names none."""
        return STATUS.get(self.code, 200)

    def to_json(self) -> dict[str, Any]:
        """As it travels."""
        error = {"code": self.code, "message": self.message}
        return {
            "jsonrpc": "2.0",
            "id": self.request_id,
            "error": error | ({"data": self.data} if self.data else {}),
        }


@dataclass(frozen=True)
class Message:
    """One request (`id` is set) or notification (`is_notification`), in its client's version."""

    method: str
    params: Mapping[str, Any]
    version: str
    id: str | int | None = None
    is_notification: bool = False

    @property
    def is_modern(self) -> bool:
        return self.version in MODERN

    @property
    def meta(self) -> Mapping[str, Any]:
        found = self.params.get("_meta")
        return found if isinstance(found, Mapping) else {}


def message_read(body: Any, headers: Mapping[str, str]) -> Message:
    """The message of a decoded body; `headers` by lower-case name. Raises Rejected."""
    if not isinstance(body, dict):
        raise Rejected(INVALID_REQUEST, "The body must be one JSON-RPC request or notification; no batch.")
    request_id, method, params = body.get("id"), body.get("method"), body.get("params", {})
    known_id = request_id if isinstance(request_id, (str, int)) and not isinstance(request_id, bool) else None
    if body.get("jsonrpc") != "2.0" or not isinstance(method, str) or ("id" in body and known_id is None):
        raise Rejected(INVALID_REQUEST, "This is no JSON-RPC 2.0 request.", known_id)
    if not isinstance(params, dict):
        raise Rejected(INVALID_PARAMS, "params must be an object.", known_id)
    meta = params.get("_meta")
    is_modern = headers.get("mcp-protocol-version") in MODERN or (
        isinstance(meta, dict) and VERSION_KEY in meta
    )
    if "id" not in body:
        return Message(method, params, _version_told(headers), is_notification=True)
    if is_modern or method == "server/discover":
        return _modern(method, params, known_id, headers)
    if method == "initialize":
        return Message(method, params, _version_agreed(params), known_id)
    return Message(method, params, _version_told(headers, known_id), known_id)


def _modern(method: str, params: dict[str, Any], request_id: Any, headers: Mapping[str, str]) -> Message:
    """Check a request of 2026-07-28: what it says in `_meta`, and that its headers say the same."""
    meta = params.get("_meta")
    missing = [
        key for key in (VERSION_KEY, CAPABILITIES_KEY) if not isinstance(meta, dict) or key not in meta
    ]
    if missing:
        raise Rejected(INVALID_PARAMS, f"params._meta lacks {', '.join(missing)}.", request_id)
    assert isinstance(meta, dict)
    version = meta[VERSION_KEY]
    expected = {"mcp-protocol-version": version, "mcp-method": method}
    if method in NAMED and params.get(NAMED[method]) is not None:
        expected["mcp-name"] = params[NAMED[method]]
    for name, value in expected.items():
        if header_value(headers.get(name)) != value:
            raise Rejected(HEADER_MISMATCH, f"The header {name} does not say what the body says.", request_id)
    if version not in MODERN:
        raise _unsupported(version, request_id)
    return Message(method, params, version, request_id)


def header_value(text: str | None) -> str | None:
    """A header's value, decoded where it carries base64; None for none, and for broken base64."""
    found = _BASE64.fullmatch(text or "")
    if found is None:
        return text
    try:
        return base64.b64decode(found[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _version_told(headers: Mapping[str, str], request_id: Any = None) -> str:
    """The version that a client names after its handshake; 2025-06-18 for one that names none."""
    told = headers.get("mcp-protocol-version", HANDSHAKE[-1])
    if told not in HANDSHAKE + MODERN:
        raise _unsupported(told, request_id)
    return told


def _version_agreed(params: dict[str, Any]) -> str:
    """What the handshake agrees on: the client's version where it is known, else our newest of its kind."""
    wanted = params.get("protocolVersion")
    return wanted if isinstance(wanted, str) and wanted in HANDSHAKE else HANDSHAKE[0]


def _unsupported(version: Any, request_id: Any) -> Rejected:
    data = {"supported": [*MODERN, *HANDSHAKE], "requested": str(version)[:40]}
    return Rejected(VERSION_UNSUPPORTED, "Unsupported protocol version", request_id, data)
