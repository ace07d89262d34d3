"""Fetching and searching through a whole stack: guarded client, SearXNG as a service, and a real one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port
from tests.support.searxng import searxng_run, searxng_standin
from tests.support.site import Reply, Site, site_run
from tests.support.stack import Stack, wait_for

pytestmark = pytest.mark.docker
SEARXNG_PORT = free_port()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with site_run() as site:
        site.pages["/"] = Reply(
            200, b"<title>Home</title><p>Hello from the page.</p>", {"Content-Type": "text/html"}
        )
        yield site


@pytest.fixture(scope="module")
def stack(docker_host: str, site: Site) -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="web"))
    with Stack(
        folder / "house",
        docker_host=docker_host,
        SEARXNG_URL=f"http://127.0.0.1:{SEARXNG_PORT}",
        SPARKWEB_SEARXNG_IMAGE=searxng_standin(docker_host),
        SPARKWEB_EGRESS_PORTS=f"80,{site.port}",
        SPARKWEB_EGRESS_NETWORKS="127.0.0.1/32",
    ) as stack:
        stack.wait_online()
        yield stack
        stack.call("POST", f"/api/services/searxng/{_node(stack)}/stop")
        wait_for(lambda: service(stack)["state"] == "stopped", "the service is gone", 60)


def _node(stack: Stack) -> str:
    return str(stack.get("/api/services")[0]["node"])


def service(stack: Stack) -> dict[str, Any]:
    return dict(stack.get("/api/services")[0])


def fetch(stack: Stack, url: str, **arguments: Any) -> dict[str, Any]:
    status, answer = stack.call("POST", "/api/execute/web_fetch", {"args": {"url": url, **arguments}})
    assert status == 200, answer
    return dict(answer)


def ended(stack: Stack, answer: dict[str, Any]) -> dict[str, Any]:
    """The run of an answer, once control has its end too: the answer comes a moment before."""

    def look() -> dict[str, Any] | None:
        run: dict[str, Any] = stack.get(f"/api/runs/{answer['exec_id']}")
        return None if run["live"] else run

    return dict(wait_for(look, "the run has ended", 60))


def search(stack: Stack, query: str) -> dict[str, Any]:
    status, answer = stack.call("POST", "/api/search", {"query": query})
    assert status == 200, answer
    return dict(answer)


def test_a_page_is_fetched_and_each_verdict_recorded(stack: Stack, site: Site) -> None:
    answer = fetch(stack, f"http://127.0.0.1:{site.port}/?token=secret")
    assert (answer["success"], "Hello from the page." in answer["output"]) == (True, True)
    run = ended(stack, answer)
    (verdict,) = run["egress"]
    assert (verdict["verdict"], verdict["address"], verdict["status"]) == ("allowed", "127.0.0.1", 200)
    assert "secret" not in json.dumps(run["egress"])
    refused = fetch(stack, "http://169.254.169.254/latest/meta-data/")
    assert (refused["success"], refused["outcome"]) == (False, "refused")
    assert "metadata" in refused["error"]


def test_the_service_runs_is_asked_and_stops(stack: Stack, site: Site) -> None:
    """No SearXNG, then a container that is none, then a real one at the same address."""
    assert "does not answer" in search(stack, "one")["error"]
    node = _node(stack)
    assert stack.call("POST", f"/api/services/searxng/{node}/start")[0] == 202
    wait_for(lambda: service(stack)["health"] == "ok", "SearXNG answers", 60)
    assert stack.get(f"/api/services/searxng/{node}/log")["lines"][0] == "search engine begins"
    assert "is no SearXNG" in search(stack, "two")["error"]
    assert stack.call("POST", f"/api/services/searxng/{node}/stop")[0] == 202
    wait_for(lambda: service(stack)["state"] == "stopped", "it is stopped", 60)
    results = [{"url": f"http://127.0.0.1:{site.port}/", "title": "Cats", "content": "About cats"}]
    site.pages["/engine"] = Reply(
        200, json.dumps({"results": results}).encode(), {"Content-Type": "application/json"}
    )
    with searxng_run(site.port, port=SEARXNG_PORT):
        answer = search(stack, "cats")
    assert (answer["error"], answer["count"]) == (None, 1)
    assert answer["results"][0]["text"] == "Hello from the page."
    assert answer["unresponsive_engines"]
