"""What the server says: who it is, which tools there are, and how a run ended. No HTTP here."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, Protocol

from sandbox_app.job import Ending
from sandbox_app.mcp.envelope import HANDSHAKE, MODERN, Message
from sparkweb import __version__

INSTRUCTIONS = (
    "Tools run in a sandbox on the owner's own machines: without network (but web_fetch and web_search), "
    "with limits on time, memory and output, each call on record."
)
SERVER_KEY = "io.modelcontextprotocol/serverInfo"
TOOLS_TTL_MS = 30_000
IMAGE_MOST_BYTES = 2 * 2**20
TEXT_MOST_BYTES = 64 * 2**10
EMBEDDED_MOST_BYTES = 6 * 2**20


class Left(Protocol):
    """An artifact of a run."""

    name: str
    media_type: str
    size_bytes: int

    @property
    def is_image(self) -> bool: ...


def complete(message: Message, result: dict[str, Any]) -> dict[str, Any]:
    """A result as this client's revision wants it."""
    if not message.is_modern:
        return result
    meta = {SERVER_KEY: _server(), **result.get("_meta", {})}
    return {"resultType": "complete", **result, "_meta": meta}


def server_discover() -> dict[str, Any]:
    """The answer to `server/discover`."""
    return {
        "supportedVersions": [*MODERN, *HANDSHAKE],
        "capabilities": {"tools": {"listChanged": False}},
        "instructions": INSTRUCTIONS,
        "ttlMs": 3_600_000,
        "cacheScope": "public",
    }


def initialized(version: str) -> dict[str, Any]:
    """The answer to `initialize`, for clients of 2025."""
    return {
        "protocolVersion": version,
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": _server(),
        "instructions": INSTRUCTIONS,
    }


def tools_listed(message: Message, tools: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The answer to `tools/list`: by name, for this caller alone."""
    listed: dict[str, Any] = {"tools": sorted(tools, key=lambda tool: str(tool["name"]))}
    return listed | ({"ttlMs": TOOLS_TTL_MS, "cacheScope": "private"} if message.is_modern else {})


def refusal(sentence: str) -> dict[str, Any]:
    """A call that was not begun: the model reads why, and can do better."""
    return {"content": [_text(sentence)], "isError": True}


def call_result(
    message: Message, ending: Ending, artifacts: Iterable[tuple[Left, str, bytes | None]]
) -> dict[str, Any]:
    """The answer to `tools/call`. `artifacts` come with their address, and their bytes where they are small.

    Output is text; raster images are image blocks, short texts embedded, everything else links.
    """
    words = [ending.stdout]
    if ending.outcome != "ok":
        words += [ending.stderr, f"[{ending.outcome}] {ending.reason}".strip()]
    content = [_text("\n".join(part.rstrip("\n") for part in words if part).strip() or "(no output)")]
    content += [_block(artifact, address, data) for artifact, address, data in artifacts]
    result: dict[str, Any] = {"content": content, "isError": ending.outcome != "ok"}
    if isinstance(ending.result, dict) or (ending.result is not None and message.is_modern):
        result["structuredContent"] = ending.result
    result["_meta"] = {
        "sparkweb/run": ending.run,
        "sparkweb/outcome": ending.outcome,
        "sparkweb/truncated": ending.truncated,
    }
    return result


def embeds(artifact: Left) -> bool:
    """Whether an artifact's bytes go into the answer."""
    if artifact.is_image:
        return artifact.size_bytes <= IMAGE_MOST_BYTES
    return artifact.media_type.startswith("text/") and artifact.size_bytes <= TEXT_MOST_BYTES


def _block(artifact: Left, address: str, data: bytes | None) -> dict[str, Any]:
    if data is not None and artifact.is_image:
        return {"type": "image", "data": base64.b64encode(data).decode(), "mimeType": artifact.media_type}
    if data is not None:
        text = data.decode("utf-8", "replace")
        return {
            "type": "resource",
            "resource": {"uri": address, "mimeType": artifact.media_type, "text": text},
        }
    return {
        "type": "resource_link",
        "uri": address,
        "name": artifact.name,
        "mimeType": artifact.media_type,
        "size": artifact.size_bytes,
    }


def _text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def _server() -> dict[str, Any]:
    return {"name": "sparkweb", "title": "SparkWeb", "version": __version__}
