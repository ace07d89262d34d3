"""web_fetch on real servers: what it reads of pages, and what odd pages do to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox_app.job import Ending
from tests.sandbox.web_runs import Tools
from tests.support.site import Reply, Site, site_run

STORY = "The lighthouse keeper wrote down the weather every evening, and nobody ever read it. "
PAGE = f"""<!doctype html><html lang="en"><head><title> A  story </title>
<meta name="description" content="About a keeper"><meta property="og:image" content="/og.png">
<meta name="author" content="Ada Ink"><link rel="canonical" href="/story"></head>
<body><nav><a href="/home">Home</a><a href="/about#me">About</a><a href="javascript:x()">No</a></nav>
<script>var secret = 1;</script>
<article><h1>The keeper</h1><p>{STORY * 6}</p><p class="note">He <b>slept</b> well.</p>
<a href="next?page=2">Next</a><img src="pic.jpg" alt="The light"></article>
<footer><a href="mailto:x@y.z">Mail</a></footer></body></html>"""
HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Site, Tools]]:
    with site_run() as site:
        tools = Tools(site.port)
        yield site, tools
        tools.close()


@pytest.fixture
def site(running: tuple[Site, Tools]) -> Site:
    running[0].pages.clear()
    running[0].asked.clear()
    running[0].pages["/"] = Reply(200, PAGE.encode(), HTML)
    return running[0]


@pytest.fixture
def tools(running: tuple[Site, Tools]) -> Tools:
    running[1].cancelled.clear()
    return running[1]


def fetch(tools: Tools, site: Site, path: str = "/", **arguments: Any) -> Ending:
    return tools("web_fetch", url=site.url(path), **arguments)


def test_readable_text_with_its_verdict(site: Site, tools: Tools) -> None:
    ending = fetch(tools, site)
    assert (ending.outcome, ending.exit_code) == ("ok", 0)
    assert STORY.strip() in ending.stdout
    assert "secret" not in ending.stdout
    assert ending.result["title"] == "A story"
    assert ending.result["status"] == 200
    (verdict,) = ending.egress
    assert (verdict["verdict"], verdict["address"], verdict["status"]) == ("allowed", "127.0.0.1", 200)
    assert ending.stderr.startswith(f"GET {site.url()}\n200, ")
    assert ending.limits["egress"] == ["*"]
    assert ending.duration_ms is not None


def test_each_kind_that_is_extracted(site: Site, tools: Tools) -> None:
    links = fetch(tools, site, extract="links")
    assert links.result["data"] == [
        {"url": site.url("/home"), "text": "Home"},
        {"url": site.url("/about"), "text": "About"},
        {"url": site.url("/next?page=2"), "text": "Next"},
    ]
    images = fetch(tools, site, extract="images")
    assert images.result["data"] == [{"url": site.url("/pic.jpg"), "text": "The light"}]
    meta = fetch(tools, site, extract="meta").result["data"]
    assert (meta["title"], meta["language"], meta["author"]) == ("A story", "en", "Ada Ink")
    assert meta["canonical"] == site.url("/story")
    assert meta["meta"]["og:image"] == "/og.png"
    assert fetch(tools, site, extract="html").stdout == PAGE


def test_a_selector_chooses(site: Site, tools: Tools) -> None:
    assert fetch(tools, site, selector="p.note").stdout.split() == ["He", "slept", "well."]
    assert fetch(tools, site, extract="html", selector="p.note").stdout == (
        '<p class="note">He <b>slept</b> well.</p>'
    )
    assert [
        one["text"] for one in fetch(tools, site, extract="links", selector="article").result["data"]
    ] == ["Next"]
    nothing = fetch(tools, site, selector="table")
    assert nothing.outcome == "exit"
    assert "'table'" in nothing.reason
    for wrong in ("p[", "::", ":has(", "a,,b"):
        assert "no CSS selector" in fetch(tools, site, selector=wrong).reason


def test_json_as_data(site: Site, tools: Tools) -> None:
    data = {"a": [1, None, "ä"], "b": {"c": "\x00"}}
    site.pages["/"] = Reply(200, json.dumps(data).encode(), {"Content-Type": "application/json"})
    ending = fetch(tools, site, extract="json")
    assert ending.result["data"] == {"a": [1, None, "ä"], "b": {"c": "\ufffd"}}
    assert json.loads(ending.stdout) == ending.result["data"]


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"{", b"[" * 100_000, b'{"a": NaN}', b"[" * 150 + b"]" * 150]
)
def test_what_is_no_json_is_told(body: bytes, site: Site, tools: Tools) -> None:
    site.pages["/"] = Reply(200, body or b" ", {"Content-Type": "application/json"})
    ending = fetch(tools, site, extract="json")
    assert ending.outcome == "exit"
    assert "JSON" in ending.reason


def test_a_long_text_is_read_on_by_offset(site: Site, tools: Tools) -> None:
    site.pages["/"] = Reply(200, b"0123456789" * 100, {"Content-Type": "text/plain"})
    first = fetch(tools, site, max_chars=100)
    assert first.stdout == "0123456789" * 10 + "\n[900 more characters; go on with offset=100]"
    rest = fetch(tools, site, max_chars=5_000, offset=995)
    assert rest.stdout == "56789"
    assert rest.result["characters"] == 1_000


def test_a_request_with_body_and_headers(site: Site, tools: Tools) -> None:
    ending = fetch(tools, site, method="POST", body='{"x": 1}', headers={"Content-Type": "application/json"})
    assert ending.outcome == "ok"
    assert site.asked[0].body == b'{"x": 1}'
    assert site.asked[0].headers["Content-Type"] == "application/json"
    assert fetch(tools, site, method="HEAD").stdout == "Status 200, without a body."


def test_an_error_page_is_an_answer(site: Site, tools: Tools) -> None:
    ending = fetch(tools, site, "/nowhere")
    assert (ending.outcome, ending.result["status"]) == ("ok", 404)
    assert ending.stdout.startswith("[The server answered 404.]")


@pytest.mark.parametrize(
    ("media_type", "body"),
    [("application/pdf", b"%PDF-1.7"), ("image/png", b"\x89PNG"), ("application/octet-stream", b"\0\1\2")],
)
def test_what_is_no_text_is_named(media_type: str, body: bytes, site: Site, tools: Tools) -> None:
    site.pages["/"] = Reply(200, body, {"Content-Type": media_type})
    ending = fetch(tools, site)
    assert ending.outcome == "exit"
    assert media_type in ending.reason


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("text/html; charset=iso-8859-1", "<p>Grüße</p>".encode("latin-1")),
        ("text/html", '<meta charset="windows-1252"><p>Grüße</p>'.encode("cp1252")),
        ("text/html; charset=utf-8", "<p>Grüße</p>".encode()),
        ("text/html", b"\xef\xbb\xbf" + "<p>Grüße</p>".encode()),
        ("text/html", "<p>Grüße</p>".encode("utf-16")),
        ("text/html", "<p>Grüße</p>".encode("latin-1")),
        ("text/html; charset=no-such-thing", "<p>Grüße</p>".encode()),
        ("text/html; charset=base64", "<p>Grüße</p>".encode()),
    ],
)
def test_charsets(header: str, body: bytes, site: Site, tools: Tools) -> None:
    site.pages["/"] = Reply(200, body, {"Content-Type": header})
    assert fetch(tools, site, selector="p").stdout == "Grüße"


def test_nul_and_broken_bytes_become_marks(site: Site, tools: Tools) -> None:
    site.pages["/"] = Reply(200, b"a\0b\xff\xfe c" + b" fine" * 100, {"Content-Type": "text/plain"})
    said = fetch(tools, site).stdout
    assert said.startswith("a\ufffdb")
    assert "\0" not in said


def test_a_page_too_involved_is_given_up_and_the_next_is_read(site: Site, tools: Tools) -> None:
    """Half a million elements inside each other: reading their text would take hours."""
    site.pages["/deep"] = Reply(200, b"<div>" * 500_000, HTML)
    ending = fetch(tools, site, "/deep")
    assert ending.outcome == "exit"
    assert "too involved" in ending.reason
    assert fetch(tools, site).outcome == "ok"


def test_inside_is_refused_with_the_verdict(site: Site, tools: Tools) -> None:
    ending = tools("web_fetch", url=f"http://169.254.169.254:{site.port}/latest/meta-data/")
    assert ending.outcome == "refused"
    assert "metadata" in ending.reason
    assert ending.egress[0]["verdict"] == "refused"
    assert ending.egress[0]["address"] == "169.254.169.254"


def test_a_tool_reaches_its_own_hosts_alone(site: Site, tools: Tools) -> None:
    policy = {"egress": ("docs.example",)}
    assert tools("web_fetch", policy, url=site.url(name="docs.example")).outcome == "ok"
    refused = tools("web_fetch", policy, url=site.url())
    assert refused.outcome == "refused"
    assert tools("web_fetch", {"egress": ()}, url=site.url()).outcome == "refused"


def test_its_policys_time_is_the_end(site: Site, tools: Tools) -> None:
    site.pages["/"] = lambda handler: site.released.wait(60)
    ending = tools("web_fetch", {"timeout_seconds": 1}, url=site.url())
    assert ending.outcome == "wall"


def test_cancelled_while_it_waits(site: Site, tools: Tools) -> None:
    def page(handler: Any) -> None:
        tools.cancelled.set()
        site.released.wait(60)

    site.pages["/"] = page
    ending = fetch(tools, site)
    assert ending.outcome == "cancelled"
