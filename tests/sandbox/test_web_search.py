"""web_search on a real SearXNG, whose own engine asks a loopback site, and whose usual ones reach nobody."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox_app.node import web_search
from sandbox_app.node.searxng import found_read
from sandbox_app.node.web_search import SearchCache
from tests.sandbox.web_runs import Tools
from tests.support.ports import free_port
from tests.support.searxng import USUAL, RealSearxng, searxng_run
from tests.support.site import Reply, Site, site_run

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html"}
WORDS = "The cat sat on the mat and looked at the rain that fell on the garden all day. " * 5


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Site, RealSearxng]]:
    with site_run() as site, searxng_run(site.port) as searxng:
        yield site, searxng


@pytest.fixture
def site(world: tuple[Site, RealSearxng]) -> Site:
    world[0].pages.clear()
    world[0].asked.clear()
    return world[0]


@pytest.fixture
def tools(world: tuple[Site, RealSearxng]) -> Iterator[Tools]:
    made = Tools(world[0].port, searxng_url=world[1].url)
    yield made
    made.close()


def engine_says(site: Site, *results: dict[str, str]) -> None:
    site.pages["/engine"] = Reply(200, json.dumps({"results": list(results)}).encode(), JSON)


def result(
    site: Site, path: str, title: str = "Cats", content: str = "About <b>cats</b> &amp; rain"
) -> dict[str, str]:
    return {"url": site.url(path), "title": title, "content": content}


def test_results_are_found_and_read(site: Site, tools: Tools) -> None:
    engine_says(site, result(site, "/a"), result(site, "/b", "Rain"))
    site.pages["/a"] = Reply(200, f"<title>A</title><article><p>{WORDS}</p></article>".encode(), HTML)
    ending = tools("web_search", query="  cats and\n rain ", max_results=2)
    assert ending.outcome == "ok"
    first, second = ending.result["results"]
    assert (first["title"], first["url"], first["snippet"]) == ("Cats", site.url("/a"), "About cats & rain")
    assert first["text"].startswith("The cat sat on the mat")
    assert second["text_problem"] == "The server answered 404."
    assert ending.result["count"] == 2
    assert "1. Cats" in ending.stdout
    assert {one["engine"] for one in ending.result["unresponsive_engines"]} == set(USUAL)
    assert "did not answer" in ending.stdout
    assert [one.path for one in site.asked if one.path.startswith("/engine")] == ["/engine?q=cats+and+rain"]
    assert [verdict["verdict"] for verdict in ending.egress] == ["allowed"] * 3
    assert ending.stderr == "Asking SearXNG: cats and rain\nReading 2 pages\n"


def test_the_same_again_comes_from_the_cache(site: Site, tools: Tools) -> None:
    engine_says(site, result(site, "/a"))
    site.pages["/a"] = Reply(200, f"<article><p>{WORDS}</p></article>".encode(), HTML)
    first = tools("web_search", query="cached")
    asked = len(site.asked)
    again = tools("web_search", query="cached")
    assert len(site.asked) == asked
    assert (first.result["cached"], again.result["cached"]) == (False, True)
    assert first.result["results"] == again.result["results"]
    tools("web_search", query="cached", language="de")
    assert len(site.asked) > asked


def test_nothing_found_names_the_engines_that_are_silent(site: Site, tools: Tools) -> None:
    """No engine that is out of reach may look like a web without results."""
    engine_says(site)
    ending = tools("web_search", query="nothing")
    assert ending.outcome == "exit"
    assert ending.reason.startswith("Nothing was found, and these search engines did not answer: ")
    assert all(name in ending.reason for name in USUAL)
    engine_says(site, result(site, "/a"))
    assert tools("web_search", query="nothing", read=0).result["count"] == 1  # an empty answer is not kept


def test_results_that_lead_inside_are_listed_but_not_read(site: Site, tools: Tools) -> None:
    engine_says(
        site,
        {"url": f"http://10.0.0.1:{site.port}/", "title": "Inside", "content": "x"},
        {"url": "javascript:alert(1)", "title": "No", "content": "x"},
        {"url": "file:///etc/passwd", "title": "No", "content": "x"},
    )
    ending = tools("web_search", query="inside")
    (only,) = ending.result["results"]
    assert "which is not fetched from: private" in only["text_problem"]
    assert [verdict["verdict"] for verdict in ending.egress] == ["allowed", "refused"]


def test_reading_keeps_to_the_hosts_of_the_tool(site: Site, tools: Tools) -> None:
    """SearXNG is the owner's own service, and needs no place on the tool's list."""
    engine_says(site, result(site, "/a"))
    ending = tools("web_search", {"egress": ("docs.example",)}, query="hosts")
    assert ending.outcome == "ok"
    assert "not among the hosts" in ending.result["results"][0]["text_problem"]


def test_slow_pages_do_not_hold_the_answer(site: Site, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_search, "READ_SECONDS", 1.0)
    engine_says(site, result(site, "/slow"), result(site, "/b"))
    site.pages["/slow"] = lambda handler: site.released.wait(60)
    site.pages["/b"] = Reply(200, f"<article><p>{WORDS}</p></article>".encode(), HTML)
    first, second = tools("web_search", query="slow").result["results"]
    assert "within 1 s" in first["text_problem"]
    assert second["snippet"]


def test_numbers_have_bounds(site: Site, tools: Tools) -> None:
    engine_says(site, *(result(site, f"/{number}") for number in range(30)))
    assert tools("web_search", query="many", max_results=1_000, read=0).result["count"] == 20
    assert tools("web_search", query="many", max_results=-1, read=0).result["count"] == 1
    assert tools("web_search", query=" \n ").reason == "The query is empty."


def test_cancelled_while_the_engine_thinks(site: Site, tools: Tools) -> None:
    def page(handler: Any) -> None:
        tools.cancelled.set()
        site.released.wait(20)

    site.pages["/engine"] = page
    assert tools("web_search", query="cancelled").outcome == "cancelled"


def test_json_that_is_not_enabled_is_told(site: Site) -> None:
    with searxng_run(site.port, formats=("html",)) as searxng:
        tools = Tools(searxng_url=searxng.url)
        ending = tools("web_search", query="x")
        tools.close()
    assert ending.outcome == "exit"
    assert "add json to search.formats" in ending.reason


def test_no_searxng_and_none_that_is_one(site: Site) -> None:
    missing = Tools(searxng_url=f"http://127.0.0.1:{free_port()}")
    assert "Start it on the page Services, or set SEARXNG_URL" in missing("web_search", query="x").reason
    missing.close()
    odd = Tools(searxng_url=f"http://127.0.0.1:{site.port}/")
    for reply, words in (
        (Reply(200, b"<html>"), "is no SearXNG"),
        (Reply(200, b"[]"), "is no SearXNG"),
        (Reply(200, b"[" * 100_000), "is no SearXNG"),
        (Reply(429, b""), "limiter"),
        (Reply(500, b""), "answered 500"),
        (Reply(302, b"", {"Location": "http://169.254.169.254/"}), "does not answer: Port 80"),
        (Reply(302, b"", {"Location": f"http://other.example:{site.port}/"}), "not among the hosts"),
    ):
        site.pages["/search"] = reply
        assert words in odd("web_search", query="x").reason
    odd.close()


def test_odd_fields_are_left_out() -> None:
    found = found_read(
        {
            "results": [
                None,
                {"url": 1},
                {"url": "http://a/\ud800", "title": None, "content": "x\0y", "engines": "no"},
                {"url": "http://a/?", "publishedDate": 3},
                {"url": "http://a/?"},
            ],
            "answers": ["one", {"answer": "two"}, {"answer": None}, 3],
            "suggestions": "none",
            "unresponsive_engines": [["brave", "timeout"], ["x"], 1],
        }
    )
    assert found.results[0] == {"title": "", "url": "http://a/?", "snippet": "x\ufffdy", "engines": []}
    assert found.answers == ["one", "two"]
    assert found.unresponsive == [{"engine": "brave", "reason": "timeout"}]


def test_the_cache_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    cache = SearchCache(10.0, lambda: now[0])
    cache.put("a", 1)
    now[0] = 9.0
    assert cache.get("a") == 1
    now[0] = 10.0
    assert cache.get("a") is None
    monkeypatch.setattr(web_search, "CACHE_MOST", 2)
    for key in "abc":
        cache.put(key, key)
    assert [cache.get(key) for key in "abc"] == [None, "b", "c"]


def test_the_cache_is_safe_for_threads() -> None:
    cache = SearchCache()
    threads = [
        threading.Thread(target=lambda: [cache.put(number % 300, number) for number in range(2_000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.get(1_999 % 300) is not None


def test_the_agent_does_not_load_what_reads_pages() -> None:
    """Parsers of strangers' pages stay in the child: 35 MB less, and no bug of theirs in the agent."""
    code = (
        "import sys, sandbox_app.node.host_runners as h; h.host_runner('web_fetch'); "
        "print(sorted({'trafilatura', 'selectolax', 'lxml', 'django'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
