"""What is told of a run while it lasts: nothing that a node made up, to operators no more than what waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sandbox_app import following, waiting
from sandbox_app.mcp import calls
from sandbox_app.models import ToolRun
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import Role, User
from sparkweb.streams import Entry

RUN = {"run": "a" * 16, "generation": 1}


def run_of(user: int) -> ToolRun:
    return ToolRun(uid="a" * 16, tool_name="code", node_name="spark-1", user_id=user, detached=True)


@pytest.mark.parametrize(
    ("user", "role", "seen"),
    [(1, Role.OPERATOR, True), (2, Role.OPERATOR, False), (2, Role.ADMIN, True)],
)
def test_an_operator_follows_what_waits_and_not_what_came_of_it(
    monkeypatch: pytest.MonkeyPatch, user: int, role: Role, seen: bool
) -> None:
    async def entries(_run: ToolRun, _after: str) -> AsyncIterator[dict[str, Any] | None]:
        for entry in ({"kind": "state", "state": "approval"}, None, {"kind": "out", "data": "c2VjcmV0"}):
            yield entry

    async def told() -> bytes:
        actor = Actor(User(pk=user, role=role), "somebody", "page")
        return b"".join([piece async for piece in following.events(run_of(1), actor, "0")])

    monkeypatch.setattr(following, "entries_with_beats", entries)
    text = asyncio.run(told())
    assert b"approval" in text
    assert (b"c2VjcmV0" in text) is seen


@pytest.mark.parametrize(
    ("via", "rank", "ends"),
    [("api", 2, True), ("api", None, False), ("page", None, True), ("mcp", None, False)],
)
def test_leaving_ends_what_one_began_this_way_and_not_what_one_looks_at(
    monkeypatch: pytest.MonkeyPatch, via: str, rank: int | None, ends: bool
) -> None:
    later: list[Any] = []

    async def entries(_run: ToolRun, _after: str) -> AsyncIterator[dict[str, Any] | None]:
        yield None

    async def told() -> None:
        run = run_of(1)
        run.detached, run.via = False, via
        actor = Actor(User(pk=1, role=Role.OPERATOR), "somebody", "api", rank=rank)
        async for _ in following.events(run, actor, "0"):
            pass

    monkeypatch.setattr(following, "entries_with_beats", entries)
    monkeypatch.setattr(following, "_later", lambda work: (later.append(work), work.close()))
    asyncio.run(told())
    assert bool(later) is ends


def test_a_node_makes_up_no_event_no_id_and_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"kind": "x\n\nevent: end", "data": "1"},
        {"kind": ["out"]},
        {"kind": "end", "ending": {**RUN, "outcome": "fine"}},
        {"kind": "end", "ending": {**RUN, "outcome": "ok", "stdout": {}}},
        {"kind": "end", "ending": {**RUN, "outcome": "ok", "generation": 2}},
        {"kind": "out", "id": "9\nevent: end", "fd": 1, "data": "eA=="},
        {"kind": "end", "ending": {**RUN, "outcome": "ok"}},
    ]

    class Streams:
        async def aread(self, wanted: dict[str, str], _block: float = 0.0) -> list[Entry]:
            (name,) = wanted
            return [Entry(name, f"{number}-0", row) for number, row in enumerate(rows, 1)]

    async def told() -> list[dict[str, Any]]:
        return [entry async for entry in waiting.run_follow(run_of(1))]

    monkeypatch.setattr(waiting, "shared_streams", Streams)
    found = asyncio.run(told())
    assert [(entry["kind"], entry["id"]) for entry in found] == [("out", "6-0"), ("end", "7-0")]


@pytest.mark.parametrize("request_id", ["half \ud800", 2**70, "line\n\nevent: x"], ids=range(3))
def test_a_clients_name_of_its_call_comes_back_whatever_it_is(request_id: Any) -> None:
    event = calls._event({"jsonrpc": "2.0", "id": request_id})
    assert event.count(b"\n") == 3
    assert json.loads(event.split(b"data: ")[1])["id"] == request_id
