"""The guarded client against real servers on loopback addresses, which a policy of the test allows."""

from __future__ import annotations

import dataclasses
import gzip
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard

from sparkweb.adapters.egress import LOOKUPS_AT_ONCE, REDIRECTS_MOST, Egress
from sparkweb.adapters.egress_answers import EgressCancelled, EgressFailed, Fetched, FetchOrder
from sparkweb.adapters.egress_rules import Address, EgressRefused, address_read, policy_make
from tests.support.ports import free_port
from tests.support.site import Reply, Site, certificate_make, site_run

ANY = ("*",)
NAMES = {"site.example": ["127.0.0.1"], "other.example": ["127.0.0.1"], "inside.example": ["127.0.0.2"]}


class Names:
    """A resolver that answers as it is told, and counts."""

    def __init__(self, answers: dict[str, list[str]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        if host not in self.answers:
            raise OSError("unknown")
        return [address_read(word) for word in self.answers[host]]


@pytest.fixture(scope="module")
def running_site() -> Iterator[Site]:
    with site_run() as site:
        yield site


@pytest.fixture
def site(running_site: Site) -> Site:
    running_site.pages.clear()
    running_site.asked.clear()
    return running_site


Make = Callable[..., Egress]


@pytest.fixture
def egress(site: Site) -> Iterator[Make]:
    made: list[Egress] = []

    def make(names: Any = None, ports: tuple[int, ...] = (), own: Any = (), **lists: Any) -> Egress:
        lists.setdefault("networks", ["127.0.0.1/32"])
        policy = policy_make(ports=(site.port, *ports), **lists)
        made.append(Egress(policy, own, names or Names(dict(NAMES))))
        return made[-1]

    yield make
    for one in made:
        one.close()


def get(client: Egress, url: str, **fields: Any) -> Fetched:
    return client.fetch(FetchOrder(url, fields.pop("hosts", ANY), **fields))


def refused(answer: Fetched, rule: str) -> str:
    assert isinstance(answer.trouble, EgressRefused), answer
    assert answer.trouble.rule == rule
    assert answer.verdicts[-1]["verdict"] == "refused"
    assert answer.verdicts[-1]["rule"] == rule
    return str(answer.trouble)


def failed(answer: Fetched, code: str) -> str:
    assert isinstance(answer.trouble, EgressFailed), answer
    assert answer.trouble.code == code
    assert answer.verdicts[-1]["verdict"] == "failed"
    return str(answer.trouble)


def test_a_page_comes_with_a_verdict(site: Site, egress: Make) -> None:
    site.pages["/"] = Reply(headers={"Content-Type": "text/plain; charset=utf-8", "Set-Cookie": "a=b"})
    answer = get(egress(), site.url("/?q=cats&api_key=geheim#part"))
    assert (answer.status, answer.body, answer.media_type) == (200, b"hello", "text/plain")
    verdict = answer.verdicts[0]
    assert verdict["address"] == "127.0.0.1"
    assert (verdict["verdict"], verdict["status"], verdict["bytes"]) == ("allowed", 200, 5)
    assert verdict["url"].endswith("/?q=cats&api_key=***")
    assert site.asked[0].path == "/?q=cats&api_key=geheim"
    assert site.asked[0].headers["Host"] == f"site.example:{site.port}"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "localhost",
        "0",
        "0.0.0.0",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::a00:1]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.89",
        "100.64.0.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "169.254.1.1",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fd12::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[5f00::1]",
        "[4000::1]",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "198.18.0.1",
        "192.0.2.1",
        "[2001:db8::1]",
        "168.63.129.16",
        "100.100.100.200",
    ],
)
def test_no_address_inside_is_reached_in_any_notation(host: str, site: Site) -> None:
    client = Egress(policy_make(ports=(site.port,)))
    before = site.connections
    refused(get(client, f"http://{host}:{site.port}/"), "address")
    assert site.connections == before
    client.close()


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("file:///etc/passwd", "scheme"),
        ("gopher://site.example/", "scheme"),
        ("ftp://site.example/", "scheme"),
        ("data:text/plain,x", "scheme"),
        ("/etc/passwd", "scheme"),
        ("", "scheme"),
        ("http://", "url"),
        ("http:///x", "url"),
        ("http://user@site.example/", "credentials"),
        ("http://user:secret@site.example/", "credentials"),
        ("http://:secret@site.example/", "credentials"),
        ("http://site.example:22/", "port"),
        ("http://site.example:0/", "port"),
        ("http://site.example:99999/", "url"),
        ("http://[::1/", "url"),
        ("http://[fe80::1%25eth0]/", "url"),
        ("http://site.example\r\nHost: x/", "url"),
        ("http://site.example/\x00", "url"),
        ("http://a\\@site.example/", "url"),
        ("http://" + "a" * 9_000, "url"),
    ],
)
def test_an_odd_url_is_refused_before_anybody_is_asked(url: str, rule: str, egress: Make) -> None:
    names = Names({})
    answer = get(egress(names), url)
    refused(answer, rule)
    assert names.asked == []
    assert "secret" not in str(answer.verdicts)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "PATCH", "get", "GET / HTTP/1.1\r\nX: y\r\n"])
def test_other_methods_are_refused(method: str, site: Site, egress: Make) -> None:
    refused(get(egress(), site.url(), method=method), "method")
    assert site.asked == []


def test_the_four_that_send_and_head(site: Site, egress: Make) -> None:
    site.pages["/"] = Reply()
    client = egress()
    for method in ("POST", "PUT", "DELETE"):
        assert get(client, site.url(), method=method, body=b"x=1", headers={"X-Mine": "1"}).status == 200
    assert get(client, site.url(), method="HEAD").body == b""
    assert [(one.method, one.body) for one in site.asked] == [
        ("POST", b"x=1"),
        ("PUT", b"x=1"),
        ("DELETE", b"x=1"),
        ("HEAD", b""),
    ]
    assert site.asked[0].headers["X-Mine"] == "1"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "x"},
        {"Cookie": "a=b"},
        {"Transfer-Encoding": "chunked"},
        {"Proxy-Authorization": "x"},
        {"X-aws-ec2-metadata-token": "x"},
        {"Metadata-Flavor": "Google"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X": "a\r\nHost: b"},
        {"X\r\nHost": "b"},
        {"X": "\x00"},
        {"X": "é"},
        {"": "x"},
        {"X": "x" * 5_000},
        {f"X-{number}": "x" for number in range(40)},
    ],
)
def test_headers_that_would_deceive_are_refused(headers: dict[str, str], site: Site, egress: Make) -> None:
    refused(get(egress(), site.url(), headers=headers), "header")
    assert site.asked == []


def test_a_name_that_leads_inside_is_refused(site: Site, egress: Make) -> None:
    sentence = refused(get(egress(), site.url(name="inside.example")), "address")
    assert "inside.example leads to 127.0.0.2" in sentence
    assert site.asked == []


def test_one_bad_address_spoils_the_name(site: Site, egress: Make) -> None:
    names = Names({"site.example": ["127.0.0.1", "10.0.0.1"]})
    answer = get(egress(names), site.url())
    refused(answer, "address")
    assert answer.verdicts[-1]["address"] == "10.0.0.1"
    assert site.asked == []


def test_rebinding_finds_the_judged_address(site: Site, egress: Make) -> None:
    """The resolver changes its answer after the first question; nobody asks it again for that hop."""

    class Turning(Names):
        def __call__(self, host: str, port: int) -> list[Address]:
            found = super().__call__(host, port)
            self.answers = {"site.example": ["127.0.0.2"]}
            return found

    site.pages["/"] = Reply()
    names = Turning(dict(NAMES))
    client = egress(names)
    assert get(client, site.url()).body == b"hello"
    assert names.asked == ["site.example"]
    refused(get(client, site.url()), "address")


def test_rebinding_between_redirects_is_refused(site: Site, egress: Make) -> None:
    class Turning(Names):
        def __call__(self, host: str, port: int) -> list[Address]:
            found = super().__call__(host, port)
            self.answers = {"site.example": ["169.254.169.254"]}
            return found

    site.pages["/"] = Reply(302, b"", {"Location": "/secret"})
    site.pages["/secret"] = Reply()
    answer = get(egress(Turning(dict(NAMES))), site.url())
    refused(answer, "address")
    assert [verdict["verdict"] for verdict in answer.verdicts] == ["allowed", "refused"]
    assert [one.path for one in site.asked] == ["/"]


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:127.0.0.1]/",
        "//inside.example/",
        "http://2130706434/",
    ],
)
def test_a_redirect_inside_is_refused(target: str, site: Site) -> None:
    site.pages["/"] = Reply(302, b"", {"Location": target})
    own = {**NAMES, "2130706434": ["127.0.0.2"], "::ffff:7f00:1": ["::ffff:127.0.0.1"]}
    own |= {word: [word] for word in ("127.0.0.2", "169.254.169.254")}
    client = Egress(policy_make(ports=(site.port, 80), networks=["127.0.0.1/32"]), (), Names(own))
    answer = get(client, site.url())
    refused(answer, "address")
    assert len(answer.verdicts) == 2
    client.close()


@pytest.mark.parametrize(
    ("location", "rule"),
    [
        ("file:///etc/passwd", "scheme"),
        ("http://user:pw@site.example/", "credentials"),
        ("http://site.example:22/", "port"),
        ("http://[", "url"),
    ],
)
def test_a_redirect_to_an_odd_url_is_refused(location: str, rule: str, site: Site, egress: Make) -> None:
    site.pages["/"] = Reply(302, b"", {"Location": location})
    refused(get(egress(), site.url()), rule)


def test_redirects_have_a_limit(site: Site, egress: Make) -> None:
    site.pages["*"] = Reply(302, b"", {"Location": "/again"})
    failed(get(egress(), site.url()), "redirects")
    assert len(site.asked) == REDIRECTS_MOST + 1


def test_what_goes_along_with_a_redirect(site: Site, egress: Make) -> None:
    """303 asks again by GET; 307 sends the same; another origin gets neither headers nor body."""
    site.pages |= {
        "/see": Reply(303, b"", {"Location": "/end"}),
        "/same": Reply(307, b"", {"Location": "/end"}),
        "/away": Reply(307, b"", {"Location": site.url("/end", "other.example")}),
        "/end": Reply(),
    }
    client = egress()
    order: dict[str, Any] = {"method": "POST", "body": b"data", "headers": {"Authorization": "Bearer x"}}
    for path in ("/see", "/same", "/away"):
        assert get(client, site.url(path), **order).status == 200
    seen, same, away = (one for one in site.asked if one.path == "/end")
    assert (seen.method, seen.body) == ("GET", b"")
    assert (same.method, same.body, same.headers["Authorization"]) == ("POST", b"data", "Bearer x")
    assert (away.body, away.headers.get("Authorization")) == (b"", None)
    assert away.headers["Host"] == f"other.example:{site.port}"


def test_a_cookie_is_neither_kept_nor_sent(site: Site, egress: Make) -> None:
    site.pages["/"] = Reply(302, b"", {"Location": "/end", "Set-Cookie": "sid=1; Path=/"})
    site.pages["/end"] = Reply()
    client = egress()
    get(client, site.url())
    get(client, site.url("/end"))
    assert all("Cookie" not in one.headers for one in site.asked)


def test_proxies_of_the_environment_are_not_used(
    site: Site, egress: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site_run() as proxy:
        proxy.pages["*"] = Reply(200, b"from the proxy")
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        site.pages["/"] = Reply()
        assert get(egress(), site.url()).body == b"hello"
        assert proxy.asked == []


def test_lists_of_the_installation_and_of_the_tool(site: Site, egress: Make) -> None:
    site.pages["/"] = Reply()
    names = Names(dict(NAMES) | {"deep.site.example": ["127.0.0.1"]})
    refused(get(egress(names, deny=["site.example"]), site.url()), "deny")
    refused(get(egress(names, deny=["*.example"]), site.url()), "deny")
    refused(get(egress(names, allow=["other.example"]), site.url()), "allow")
    refused(get(egress(names), site.url(), hosts=()), "tool")
    refused(get(egress(names), site.url(), hosts=("other.example", "*.site.example")), "tool")
    assert names.asked == []
    refused(get(egress(names, deny=["127.0.0.0/8"]), site.url()), "address")
    both = egress(names, allow=["*.site.example"])
    assert get(both, site.url(name="deep.site.example"), hosts=("*.example",)).status == 200


def test_a_redirect_off_the_tools_list_is_refused(site: Site, egress: Make) -> None:
    site.pages["/"] = Reply(302, b"", {"Location": site.url("/", "other.example")})
    refused(get(egress(), site.url(), hosts=("site.example",)), "tool")
    assert len(site.asked) == 1


def test_public_addresses_of_our_own_are_refused() -> None:
    """A public address that SparkWeb answers on: known by the names it is reached by."""
    client = Egress(policy_make(), ["8.8.4.4"], Names({"mine.example": ["8.8.4.4"]}))
    sentence = refused(get(client, "http://mine.example/"), "address")
    assert "this machine" in sentence
    client.close()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity", "two gzips"])
def test_packed_bodies_are_unpacked(encoding: str, site: Site, egress: Make) -> None:
    text = b"a page " * 5_000
    packed = {
        "gzip": gzip.compress(text),
        "two gzips": gzip.compress(text[:100]) + gzip.compress(text[100:]),
        "deflate": zlib.compress(text),
        "br": brotli.compress(text),
        "zstd": zstandard.compress(text),
        "identity": text,
    }[encoding]
    site.pages["/"] = Reply(200, packed, {"Content-Encoding": encoding.removeprefix("two ").rstrip("s")})
    answer = get(egress(), site.url())
    assert answer.trouble is None
    assert answer.body == text


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_given_up_at_the_limit(encoding: str, site: Site, egress: Make) -> None:
    bomb = b"\0" * 200_000_000
    packed = {
        "gzip": lambda: gzip.compress(bomb),
        "deflate": lambda: zlib.compress(bomb),
        "br": lambda: brotli.compress(bomb, quality=1),
        "zstd": lambda: zstandard.compress(bomb),
    }[encoding]()
    assert len(packed) < 1_000_000
    site.pages["/"] = Reply(200, packed, {"Content-Encoding": encoding})
    failed(get(egress(), site.url()), "too_large")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"no gzip"),
        ("gzip", gzip.compress(b"x" * 1_000)[:-20]),
        ("br", b"\xff\xff\xff"),
        ("br", brotli.compress(b"x" * 1_000)[:-3]),
        ("zstd", b"no zstd"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"x"))),
        ("compress", b"x"),
        ("gzip", gzip.compress(b"") * 2_000),
    ],
    ids=["no gzip", "gzip cut", "no br", "br cut", "no zstd", "twice", "unknown", "many members"],
)
def test_what_does_not_unpack_is_told(encoding: str, body: bytes, site: Site, egress: Make) -> None:
    site.pages["/"] = Reply(200, body, {"Content-Encoding": encoding})
    failed(get(egress(), site.url()), "broken")


def test_more_than_the_limit_is_not_read(site: Site, egress: Make) -> None:
    def endless(handler: Any) -> None:
        handler.send_response_only(200)
        handler.end_headers()
        while not site.released.is_set():
            handler.wfile.write(b"x" * 65_536)

    site.pages["/"] = endless
    answer = get(egress(), site.url(), limit_bytes=1_000_000)
    failed(answer, "too_large")
    assert answer.verdicts[0]["bytes"] <= 1_200_000


@pytest.mark.parametrize("where", ["line", "header", "body"])
def test_a_server_that_drips_is_given_up(where: str, site: Site, egress: Make) -> None:
    def drip(handler: Any) -> None:
        start = b"" if where == "line" else b"HTTP/1.1 200 OK\r\nX: "
        handler.wfile.write(start + (b"y\r\n\r\n" if where == "body" else b""))
        while not site.released.wait(0.05):
            handler.wfile.write(b"H")

    site.pages["/"] = drip
    answer = get(egress(), site.url(), whole_seconds=1.0)
    assert isinstance(answer.trouble, EgressFailed)
    assert answer.trouble.code in ("timeout", "broken")  # aiohttp may find first that this is no HTTP


def test_a_server_that_says_nothing_is_given_up(site: Site, egress: Make) -> None:
    site.pages["/"] = lambda handler: site.released.wait(60)
    assert "within 0.5 s" in failed(get(egress(), site.url(), whole_seconds=0.5), "timeout")


@pytest.mark.parametrize(
    "said",
    [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, b"HTTP/1.1 abc\r\n\r\n"],
    ids=["nothing", "ssh", "endless header", "odd status"],
)
def test_no_http_is_told(said: bytes, site: Site, egress: Make) -> None:
    site.pages["/"] = lambda handler: handler.wfile.write(said)
    failed(get(egress(), site.url()), "broken")


def test_nobody_there_and_no_such_name(site: Site, egress: Make) -> None:
    port = free_port()
    client = egress(ports=(port,))
    assert "refused" in failed(get(client, f"http://site.example:{port}/"), "connect")
    failed(get(client, f"http://nowhere.example:{port}/"), "dns")


def test_a_resolver_that_hangs_is_given_up_and_holds_nobody(site: Site, egress: Make) -> None:
    let_go = threading.Event()

    def hang(host: str, port: int) -> list[Address]:
        let_go.wait(60)
        return []

    failed(get(egress(hang), site.url(), whole_seconds=0.5), "timeout")
    let_go.set()


def test_cancelled_in_the_middle(site: Site, egress: Make) -> None:
    cancelled = threading.Event()

    def page(handler: Any) -> None:
        cancelled.set()
        site.released.wait(60)

    site.pages["/"] = page
    with pytest.raises(EgressCancelled):
        egress().fetch(FetchOrder(site.url(), ANY), cancelled)


def test_closing_ends_what_waits(site: Site, egress: Make) -> None:
    client = egress()

    def page(handler: Any) -> None:
        client.close()
        site.released.wait(60)

    site.pages["/"] = page
    with pytest.raises(EgressCancelled):
        client.fetch(FetchOrder(site.url(), ANY))


def test_several_at_once_each_with_its_own_end(site: Site, egress: Make) -> None:
    site.pages["/"] = Reply()
    site.pages["/slow"] = lambda handler: site.released.wait(60)
    order = FetchOrder(site.url(), ANY, whole_seconds=20)
    slow = dataclasses.replace(order, url=site.url("/slow"), whole_seconds=0.5)
    inside = dataclasses.replace(order, url="http://10.0.0.1/")
    answers = egress(Names({**NAMES, "10.0.0.1": ["10.0.0.1"]}), ports=(80,)).fetch_all([order, slow, inside])
    assert answers[0].body == b"hello"
    failed(answers[1], "timeout")
    refused(answers[2], "address")


def test_https_by_the_name_at_the_judged_address(
    tmp_path: Path, egress: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, public = certificate_make(tmp_path, "site.example")
    with site_run(tls=context) as secure:
        secure.pages["/"] = Reply()
        failed(get(egress(ports=(secure.port,)), secure.url()), "tls")
        monkeypatch.setenv("SSL_CERT_FILE", str(public))
        client = egress(ports=(secure.port,))
        answer = get(client, secure.url())
        assert answer.body == b"hello"
        assert secure.asked[-1].server_name == "site.example"
        failed(get(client, secure.url(name="other.example")), "tls")


def test_many_at_once_wait_for_the_resolver(site: Site, egress: Make) -> None:
    """More fetches than lookups at once: each has its turn."""
    site.pages["/"] = Reply()
    answers = egress().fetch_all([FetchOrder(site.url(), ANY)] * (LOOKUPS_AT_ONCE + 20))
    assert {answer.body for answer in answers} == {b"hello"}


def test_hanging_lookups_leave_their_places_when_they_end(site: Site, egress: Make) -> None:
    let_go = threading.Event()

    def slow(host: str, port: int) -> list[Address]:
        if host != "site.example":
            let_go.wait(60)
        return [address_read("127.0.0.1")]

    site.pages["/"] = Reply()
    client = egress(slow)
    order = FetchOrder(site.url(name="slow.example"), ANY, whole_seconds=0.5)
    for answer in client.fetch_all([order] * LOOKUPS_AT_ONCE):
        failed(answer, "timeout")
    failed(get(client, site.url(), whole_seconds=0.5), "timeout")
    let_go.set()
    assert get(client, site.url()).body == b"hello"
