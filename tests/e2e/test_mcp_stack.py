"""Tools through the official MCP client: whole stack, real engine, each revision of the protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.sandbox_image import sandbox_image
from tests.support.stack import Stack, wait_for

pytestmark = pytest.mark.docker
PLOT = """
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
plt.plot([1, 2, 3])
plt.savefig("/artifacts/plot.png")
open("/artifacts/notes.txt", "w").write("three points")
print("drawn")
"""


@pytest.fixture(scope="module")
def stack(docker_host: str) -> Iterator[Stack]:
    image = sandbox_image(docker_host)
    folder = Path(tempfile.mkdtemp(prefix="mcp"))
    with Stack(folder / "house", docker_host=docker_host, SPARKWEB_SANDBOX_IMAGE=image) as stack:
        stack.wait_online()
        wait_for(lambda: _image_is_there(stack), "the node reports its image")
        yield stack


def _image_is_there(stack: Stack) -> bool:
    return bool(stack.get("/api/sandbox-image")[0]["status"] == "ok")


@asynccontextmanager
async def client(stack: Stack, mode: str, key: str = "") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key or stack.key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(120)) as http:
        transport = streamable_http_client(f"{stack.url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as connected:
            yield connected


def runs(stack: Stack) -> list[dict[str, Any]]:
    return list(stack.get("/api/runs?via=mcp")["results"])


@pytest.mark.parametrize("mode", ["2026-07-28", "auto", "legacy"])
async def test_tools_are_listed_and_called(stack: Stack, mode: str) -> None:
    async with client(stack, mode) as connected:
        listed = await connected.list_tools()
        assert {"code_execution", "bash_command", "web_fetch"} <= {tool.name for tool in listed.tools}
        answer = await connected.call_tool("code_execution", {"code": "print(6 * 7)"})
        assert answer.content[0].text == "42"  # type: ignore[union-attr]
        assert not answer.is_error


async def test_pictures_and_texts_come_with_the_answer(stack: Stack) -> None:
    async with client(stack, "2026-07-28") as connected:
        answer = await connected.call_tool("code_execution", {"code": PLOT})
    kinds = {block.type: block for block in answer.content}
    assert kinds["text"].text.startswith("drawn")  # type: ignore[union-attr]
    assert base64.b64decode(kinds["image"].data).startswith(b"\x89PNG")  # type: ignore[union-attr]
    assert kinds["resource"].resource.text == "three points"  # type: ignore[union-attr]


async def test_a_failing_tool_is_an_error_that_says_how(stack: Stack) -> None:
    async with client(stack, "2026-07-28") as connected:
        answer = await connected.call_tool("code_execution", {"code": "raise ValueError('no such thing')"})
        assert answer.is_error
        assert "no such thing" in answer.content[0].text  # type: ignore[union-attr]
        wrong = await connected.call_tool("code_execution", {"code": 7, "colour": "red"})
        assert wrong.is_error
        assert "code" in wrong.content[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_a_call_that_its_client_leaves_is_cancelled(stack: Stack, mode: str) -> None:
    async with client(stack, mode) as connected:
        call = asyncio.create_task(
            connected.call_tool("code_execution", {"code": "import time; time.sleep(300)"})
        )
        uid = await asyncio.to_thread(
            lambda: wait_for(lambda: [run["uid"] for run in runs(stack) if run["live"]], "the run begins")[0]
        )
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        ended = await asyncio.to_thread(
            lambda: wait_for(
                lambda: (run := stack.get(f"/api/runs/{uid}"))["live"] is False and run, "its end"
            )
        )
    assert ended["outcome"] == "cancelled"


async def test_a_key_lists_and_runs_what_its_scopes_allow(stack: Stack) -> None:
    reader = (await asyncio.to_thread(stack.manage, "create_api_key", "admin", "--scope", "read")).strip()
    async with client(stack, "2026-07-28", reader) as connected:
        assert "code_execution" not in {tool.name for tool in (await connected.list_tools()).tools}
        refused = await connected.call_tool("code_execution", {"code": "print(1)"})
    assert refused.is_error


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer sw_wrong"}, 401),
        ({"Origin": "https://evil.example"}, 403),
        ({}, 200),
    ],
)
async def test_strangers_and_other_pages_get_nothing(
    stack: Stack, headers: dict[str, str], status: int
) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    own = {"Authorization": f"Bearer {stack.key}", "Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient() as http:
        answer = await http.post(f"{stack.url}/mcp", json=body, headers=own | headers)
        assert answer.status_code == status
        assert (await http.get(f"{stack.url}/mcp", headers=own)).status_code == 405


async def test_nonsense_is_answered_in_the_protocols_errors(stack: Stack) -> None:
    own = {"Authorization": f"Bearer {stack.key}", "Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient() as http:

        async def told(body: bytes, **headers: str) -> tuple[int, int]:
            answer = await http.post(f"{stack.url}/mcp", content=body, headers=own | headers)
            return answer.status_code, answer.json()["error"]["code"]

        assert await told(b"{") == (400, -32700)
        assert await told(b"[" * 100_000) == (400, -32700)
        assert await told(b"[]") == (400, -32600)
        unknown = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/fly", "params": {}}).encode()
        assert await told(unknown) == (200, -32601)
        assert await told(unknown, **{"MCP-Protocol-Version": "1999-01-01"}) == (400, -32022)
