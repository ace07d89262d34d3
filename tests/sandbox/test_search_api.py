"""POST /api/search: a recorded run of web_search on a real SearXNG, told as older clients know it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from metrics_app.models import Node
from sandbox_app.job import job_read
from sandbox_app.models import AuditRecord, Tool, ToolRun
from sandbox_app.observing import tool_run_ended
from sandbox_app.toolfile import tool_parse
from sparkweb.accounts.models import User
from sparkweb.node_link import commands
from tests.sandbox.web_runs import Tools
from tests.support.ports import free_port
from tests.support.searxng import searxng_run
from tests.support.site import Reply, Site, site_run

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Site, str]]:
    with site_run() as site, searxng_run(site.port) as searxng:
        yield site, searxng.url


@pytest.fixture
def web_search(db: None) -> Tool:
    definition = tool_parse((ROOT / "tools/web_search/TOOL.md").read_bytes(), [])
    return Tool.objects.create(name="web_search", folder="/x", digest="d" * 64, definition=definition)


@pytest.fixture
def on_node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Tools], None]]:
    """Has the node's part done by these runners, as soon as the node is told."""
    used: list[Tools] = []

    def take(tools: Tools) -> None:
        used.append(tools)

    def send(node_name: str, task: str, **arguments: Any) -> bool:
        if task == "sandbox.run":
            job = job_read(arguments["job"])
            assert (job.runner, job.program) == ("host", "web_search")
            run = used[-1].runners.runner(job.program)
            assert run and job.arguments
            tool_run_ended(node_name, run(job, job.arguments, used[-1], used[-1].cancelled).to_json())
        return True

    monkeypatch.setattr(commands, "send", send)
    yield take
    for tools in used:
        tools.close()


def search(client: Client, **body: Any) -> tuple[int, dict[str, Any]]:
    answer: Any = client.post("/api/search", json.dumps(body), content_type="application/json")

    async def read() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    content = async_to_sync(read)() if answer.streaming else answer.content
    return answer.status_code, json.loads(content)


def test_a_search_is_found_and_recorded(
    world: tuple[Site, str], web_search: Tool, node: Node, on_node: Any, told: Any,
    bearer: Callable[..., Client], operator: User,
) -> None:  # fmt: skip
    site, url = world
    results = [{"url": site.url("/a"), "title": "Cats", "content": "About cats"}]
    site.pages["/engine"] = Reply(
        200, json.dumps({"results": results}).encode(), {"Content-Type": "application/json"}
    )
    on_node(Tools(site.port, searxng_url=url))
    status, body = search(bearer(operator, "operate"), query="cats", max_results=3)
    assert (status, body["query"], body["count"], body["error"]) == (200, "cats", 1, None)
    assert body["results"] == [{"title": "Cats", "url": site.url("/a"), "snippet": "About cats"}]
    assert body["unresponsive_engines"]
    run = ToolRun.objects.get(uid=body["exec_id"])
    assert (run.tool_name, run.via, run.outcome, run.live) == ("web_search", "api", "ok", False)
    assert [verdict["verdict"] for verdict in run.egress] == ["allowed", "allowed"]
    kinds = AuditRecord.objects.filter(run_uid=run.uid).order_by("number").values_list("kind", flat=True)
    assert list(kinds) == ["started", "ended"]


def test_no_searxng_is_said_in_a_sentence(
    web_search: Tool, node: Node, on_node: Any, told: Any, bearer: Callable[..., Client], operator: User
) -> None:
    on_node(Tools(searxng_url=f"http://127.0.0.1:{free_port()}"))
    status, body = search(bearer(operator, "operate"), query="cats")
    assert (status, body["results"], body["count"]) == (200, [], 0)
    assert "SEARXNG_URL" in body["error"]


@pytest.mark.parametrize(
    "body",
    [{}, {"query": ""}, {"query": "a\0"}, {"query": "x" * 501}, {"query": "x", "max_results": 0},
     {"query": "x", "max_results": 21}, {"query": ["x"]}],
)  # fmt: skip
def test_odd_wishes_are_400(
    body: dict[str, Any], web_search: Tool, node: Node, bearer: Callable[..., Client], operator: User
) -> None:
    status, said = search(bearer(operator, "operate"), **body)
    assert (status, bool(said["error"])) == (400, True)
    assert not ToolRun.objects.exists()


def test_who_may_not_and_what_is_not_there(
    web_search: Tool, node: Node, bearer: Callable[..., Client], viewer: User, operator: User
) -> None:
    assert search(Client(), query="x")[0] == 401
    assert search(bearer(viewer, "read"), query="x")[0] == 403
    web_search.delete()
    assert search(bearer(operator, "operate"), query="x")[0] == 404
