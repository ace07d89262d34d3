"""One `tools/call` while it lasts: progress, then its answer; and the end of those whose client gave up.

Clients of 2026-07-28 cancel by closing the answer's stream; those of 2025 may also send
`notifications/cancelled` with the id of the request, which counts within their session alone.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

from sandbox_app.artifact_store import artifact_path
from sandbox_app.following import entries_with_beats, leave
from sandbox_app.job import Ending
from sandbox_app.mcp.envelope import Message
from sandbox_app.mcp.results import call_result, complete, embeds
from sandbox_app.models import Artifact, ArtifactKind, ToolRun
from sandbox_app.serializers_runs import artifact_url
from sandbox_app.waiting import artifacts_wait, ending_read, on_thread
from sparkweb.accounts.actor import Actor

CALLS_REMEMBERED = 5_000
EMBEDDED_MOST_BYTES = 6 * 2**20

CallKey = tuple[int | None, str, str | int]


class Calls:
    """Which run each request of a session of 2025 began; of this web process, the oldest go."""

    def __init__(self) -> None:
        self._runs: OrderedDict[CallKey, str] = OrderedDict()

    def begun(self, key: CallKey, run: ToolRun) -> None:
        self._runs[key] = run.uid
        while len(self._runs) > CALLS_REMEMBERED:
            self._runs.popitem(last=False)

    def take(self, key: CallKey) -> str | None:
        """The run of a request, once."""
        return self._runs.pop(key, None)


CALLS = Calls()


async def call_events(
    run: ToolRun, actor: Actor, message: Message, base: str, key: CallKey | None
) -> AsyncIterator[bytes]:
    """The answer as server-sent events: comments and progress while it lasts, then the result."""
    ended = False
    try:
        yield b": begun\n\n"
        told = 0
        async for entry in entries_with_beats(run):
            if entry is None:
                yield b": still here\n\n"
            elif entry["kind"] == "end":
                ended = True
                yield _event(await _answer(run, ending_read(entry["ending"]), message, base))
            elif words := _words(entry):
                told += 1
                if progress := _progress(message, told, words):
                    yield _event(progress)
    finally:
        if key is not None:
            CALLS.take(key)
        if not ended:
            leave(run, actor)


async def _answer(run: ToolRun, ending: Ending, message: Message, base: str) -> dict[str, Any]:
    rows = await artifacts_wait(run, ending)
    kept = await on_thread(lambda: _artifacts(rows, base)) if rows else []
    result = complete(message, call_result(message, ending, kept))
    return {"jsonrpc": "2.0", "id": message.id, "result": result}


def _artifacts(rows: list[Artifact], base: str) -> list[tuple[Artifact, str, bytes | None]]:
    """What the run left, the pictures before the rest, with bytes as far as they fit."""
    room, found = EMBEDDED_MOST_BYTES, []
    for artifact in sorted(rows, key=lambda row: row.kind != ArtifactKind.IMAGE):
        data = _bytes(artifact) if embeds(artifact) and artifact.size_bytes <= room else None
        room -= len(data or b"")
        found.append((artifact, base + artifact_url(artifact), data))
    return found


def _bytes(artifact: Artifact) -> bytes | None:
    try:
        return artifact_path(artifact).read_bytes()
    except FileNotFoundError:
        return None


def _words(entry: dict[str, Any]) -> str:
    """What a client may show meanwhile; "" for an entry that tells it nothing."""
    return {"approval": "waits for approval", "queued": "waits for its turn", "running": "runs"}.get(
        str(entry.get("state")), ""
    )


def _progress(message: Message, step: int, words: str) -> dict[str, Any] | None:
    """A notification of progress, for a client that asked for it with a token."""
    token = message.meta.get("progressToken")
    if not isinstance(token, (str, int)) or isinstance(token, bool):
        return None
    params = {"progressToken": token, "progress": step, "message": words}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def _event(told: dict[str, Any]) -> bytes:
    # Escaped as ASCII: what a client calls its request comes back to it, whatever it is.
    return b"event: message\ndata: " + json.dumps(told).encode() + b"\n\n"
