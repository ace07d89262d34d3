"""The live socket of a real web process over a real Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from django.utils import timezone
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode

from metrics_app.hub import SLOW_SECONDS, Hub, Socket
from metrics_app.socket_access import Access, access_lost, key_access
from sparkweb.accounts.models import ApiKey, User
from sparkweb.socket_frames import framed
from tests.support.web import Publisher, WebProcess

MEMBER = "0123456789abcdef"
WORD = "another long password"


@pytest.fixture(scope="module")
def web() -> Iterator[WebProcess]:
    process = WebProcess()
    try:
        yield process.start()
    finally:
        process.close()


@pytest.fixture(scope="module")
def cookie(web: WebProcess) -> str:
    return web.login()


@pytest.fixture(scope="module")
def admin_key(web: WebProcess) -> str:
    return web.key("admin")


def snapshot(node: str = "spark-1", **report: Any) -> dict[str, Any]:
    return {
        "type": "snapshot",
        "node": node,
        "status": "online",
        "received_at": 1.0,
        "seq": 1,
        "report": report,
    }


async def published(publisher: Publisher, browser: Any, key: str, frame: dict[str, Any]) -> str:
    """Publish until it arrives: the process joins its group a moment after it has started."""
    for _ in range(100):
        text = await publisher.publish(key, frame)
        try:
            async with asyncio.timeout(0.2):
                while await browser.connection.recv() != text:
                    pass
                return text
        except TimeoutError:
            continue
    raise AssertionError("the frame never arrived")


async def refused(web: WebProcess, cookie: str = "", **headers: str) -> int:
    with pytest.raises(InvalidStatus) as caught:
        async with web.socket(cookie, **headers):
            pass
    return caught.value.response.status_code


# Who may come in -----------------------------------------------------------------


async def test_nobody_is_told_to_log_in(web: WebProcess) -> None:
    async with web.socket() as browser:
        assert await browser.closed() == 4401


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1:1",
        "http://localhost:{port}",
        "null",
        "",
    ],
)
async def test_other_origins_are_refused(web: WebProcess, cookie: str, origin: str) -> None:
    assert await refused(web, cookie, Origin=origin.format(port=web.port)) == 403


async def test_wrong_host_is_refused_whatever_the_origin(web: WebProcess, cookie: str) -> None:
    assert await refused(web, cookie, Host="rebound.example", Origin="http://rebound.example") == 403


async def test_forwarded_scheme_of_a_stranger_counts_for_nothing(web: WebProcess, cookie: str) -> None:
    headers = {"Origin": f"https://{web.host}", "X-Forwarded-Proto": "https"}
    assert await refused(web, cookie, **headers) == 403


async def test_there_are_no_other_sockets(web: WebProcess, cookie: str) -> None:
    assert await refused(web, cookie, Path="/ws/other/") == 403


def program(key: str) -> dict[str, str]:
    """What a program sends: its key, and no Origin."""
    return {"Authorization": f"Bearer {key}", "Origin": ""}


@pytest.mark.parametrize("scope", ["read", "operate", "admin"])
async def test_a_program_with_a_key_gets_what_pages_get(web: WebProcess, scope: str) -> None:
    async with web.socket("", **program(web.key(scope))) as socket, web.publisher() as publisher:
        assert [node["name"] for node in (await socket.until("hello"))["nodes"]] == ["spark-1"]
        await socket.until("history", node="spark-1")
        await published(publisher, socket, "node:spark-1", snapshot())


@pytest.mark.parametrize("header", ["Bearer not-a-key", "Bearer ", "Basic YWRtaW46YWRtaW4="])
async def test_a_key_that_opens_nothing_is_told_so(web: WebProcess, cookie: str, header: str) -> None:
    async with web.socket(cookie, Authorization=header) as socket:
        assert await socket.closed() == 4401


def test_a_key_without_a_scope_that_reads_opens_nothing(db: None) -> None:
    text = "a key of another time"
    key = ApiKey.objects.create(
        user=User.objects.create_user("robot", password=None), key_hash=ApiKey.hash_of(text), scopes=["other"]
    )
    assert key_access(f"Bearer {text}") is None
    ApiKey.objects.update(scopes=["read"])
    access = key_access(f"bearer {text}")
    assert access is not None
    assert access.key_id == key.pk
    assert access_lost([access]) == set()
    ApiKey.objects.update(expires_at=timezone.now())
    assert access_lost([access]) == {access}


async def test_a_key_does_not_open_a_socket_to_another_origin(web: WebProcess, admin_key: str) -> None:
    assert await refused(web, **{**program(admin_key), "Origin": "http://evil.example"}) == 403
    assert await refused(web, **program(admin_key), Host="rebound.example") == 403


# What it tells -------------------------------------------------------------------


async def test_hello_history_and_newest_report_come_first(web: WebProcess, cookie: str) -> None:
    streams = web.streams()
    for second in range(3):
        streams.append("live:spark-1", {"t": float(second), "v": {"cpu": second * 10.0}})
    stored = {
        "report": {"host": {"cpu_percent": 20}, "launches": [1]},
        "received_at": 5.0,
        "boot": "b",
        "seq": 7,
    }
    streams.put("snapshot:spark-1", orjson.dumps(stored))
    await asyncio.sleep(1.1)  # the hub's picture is kept for a second
    async with web.socket(cookie) as browser:
        hello, history, newest = [orjson.loads(await browser.text()) for _ in range(3)]
    assert hello["type"] == "hello"
    assert [node["name"] for node in hello["nodes"]] == ["spark-1"]
    assert abs(hello["server_time"] - time.time()) < 60
    assert history["type"] == "history"
    assert history["t"][-3:] == [0.0, 1.0, 2.0]
    assert history["columns"]["cpu"][-3:] == [0.0, 10.0, 20.0]
    assert (newest["type"], newest["seq"], newest["received_at"]) == ("snapshot", 7, 5.0)
    assert "launches" not in newest["report"]


async def test_frames_are_forwarded_unchanged_to_everyone(web: WebProcess, cookie: str) -> None:
    async with web.socket(cookie) as one, web.socket(cookie) as two, web.publisher() as publisher:
        odd = '{"type": "launch",   "launch":"é", "n": 1e3}'
        await published(publisher, one, "node:spark-1", snapshot())
        await publisher.publish("launch:x", odd)
        for browser in (one, two):
            async with asyncio.timeout(60):
                while await browser.connection.recv() != odd:
                    pass


async def test_resync_tells_everything_again(web: WebProcess, cookie: str) -> None:
    async with web.socket(cookie) as browser:
        first = await browser.until("hello")
        for _ in range(40):  # resyncs closer than 2 s to the last are not answered
            await browser.say(type="resync")
            try:
                second = await browser.until("hello", seconds=0.25)
                break
            except TimeoutError:
                continue
        assert second["session"] != first["session"]
        await browser.until("history")


async def test_newest_wins_and_memory_stays_flat_for_a_browser_that_does_not_read(
    web: WebProcess, cookie: str
) -> None:
    async with web.socket(cookie) as slow, web.socket(cookie) as quick, web.publisher() as publisher:
        await published(publisher, quick, "node:spark-1", snapshot())
        slow.connection.transport.pause_reading()
        before = web.rss_bytes
        for number in range(400):
            # 20 MB in all, far more than the socket buffers of the kernel hold.
            await publisher.publish("node:spark-1", snapshot(number=number, filler="x" * 50_000))
            if number % 20 == 0:
                await quick.until("snapshot", seconds=60)
        assert web.rss_bytes - before < 12 * 2**20
        slow.connection.transport.resume_reading()
        seen = []
        while not seen or seen[-1] != 399:
            frame = await slow.until("snapshot", seconds=60)
            if "number" in frame["report"]:
                seen.append(frame["report"]["number"])
        assert seen == sorted(seen)
        assert len(seen) < 300


# What browsers may say -----------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        '{"type": "nothing"}',
        '{"type": 7}',
        '{"type": "log_open"}',
        '{"type": "log_open", "member": "../../x"}',
        f'{{"type": "log_open", "member": "{MEMBER}", "after": "$"}}',
        f'{{"type": "log_open", "member": "{MEMBER}", "after": 5}}',
        '{"type": "resync", "filler": "' + "x" * 5000 + '"}',
        b"\x00\x01",
    ],
)
async def test_anything_else_closes_the_socket(web: WebProcess, cookie: str, text: str | bytes) -> None:
    async with web.socket(cookie) as browser:
        await browser.until("hello")
        await browser.connection.send(text)
        assert await browser.closed() == 4400


async def test_more_than_four_logs_at_once_close_the_socket(web: WebProcess, cookie: str) -> None:
    async with web.socket(cookie) as browser:
        for number in range(5):
            await browser.say(type="log_open", member=f"{number:016x}")
        assert await browser.closed() == 4400


# Logs ----------------------------------------------------------------------------


async def test_log_is_followed_from_its_beginning_and_stops_when_closed(web: WebProcess, cookie: str) -> None:
    streams, member = web.streams(), "aaaaaaaaaaaaaaaa"
    async with web.socket(cookie) as browser:
        await browser.say(type="log_open", member=member, after="0")  # waits: there is no log yet
        streams.append(f"log:spark-1:{member}", {"reset": True})
        streams.append(f"log:spark-1:{member}", {"lines": ["one", "two"]})
        await browser.until("log_reset", member=member)
        assert (await browser.until("log", member=member))["lines"] == ["one", "two"]
        streams.append(f"log:spark-1:{member}", {"skipped": 12})
        assert (await browser.until("log_gap", member=member))["skipped"] == 12
        offset = streams.append(f"log:spark-1:{member}", {"end": True})
        assert (await browser.until("log_end", member=member))["offset"] == offset
        await browser.say(type="log_close", member=member)
        await browser.say(type="log_open", member=member, after=offset)
        streams.append(f"log:spark-1:{member}", {"lines": ["three"]})
        assert (await browser.until("log", member=member))["lines"] == ["three"]


async def test_log_says_where_lines_are_missing(web: WebProcess, cookie: str) -> None:
    streams, member = web.streams(), "bbbbbbbbbbbbbbbb"
    first = streams.append(f"log:spark-1:{member}", {"lines": ["0"]})
    last = ""
    for number in range(1, 600):
        last = streams.append(f"log:spark-1:{member}", {"lines": [str(number)]}, maxlen=100)
    async with web.socket(cookie) as browser:
        await browser.say(type="log_open", member=member, after=first)
        gap = await browser.until("log_gap", member=member)
        assert gap["skipped"] is True
        lines: list[str] = []
        while not lines or lines[-1] != "599":
            frame = await browser.until("log", member=member)
            lines += frame["lines"]
        assert frame["offset"] == last
        assert lines == [str(number) for number in range(int(lines[0]), 600)]


# Ends ----------------------------------------------------------------------------


async def test_logout_closes_the_socket(web: WebProcess) -> None:
    cookie = web.login()
    async with web.socket(cookie) as browser:
        await browser.until("hello")
        assert await asyncio.to_thread(web.browse, "/logout/", cookie, {}) == 302
        assert await browser.closed() == 4401


@pytest.mark.parametrize(
    "change", [{"role": "operator"}, {"is_active": False}, {"password": WORD + "!"}], ids=str
)
async def test_a_change_of_the_user_closes_the_socket(
    web: WebProcess, admin_key: str, change: dict[str, Any]
) -> None:
    name = f"guest-{next(iter(change))}"
    made, _ = web.call("POST", "/api/users", admin_key, {"username": name, "password": WORD})
    assert made == 201
    cookie = web.login(name, WORD)
    first = web.browse("/account/password/", cookie, {
        "old_password": WORD, "new_password1": WORD + "?", "new_password2": WORD + "?"})  # fmt: skip
    assert first == 302
    cookie = web.login(name, WORD + "?")
    async with web.socket(cookie) as browser:
        await browser.until("hello")
        status, _ = await asyncio.to_thread(web.call, "PATCH", f"/api/users/{name}", admin_key, change)
        assert status == 200
        assert await browser.closed() == 4401


async def test_a_revoked_key_closes_its_socket_alone(web: WebProcess, admin_key: str) -> None:
    made, key = await asyncio.to_thread(
        web.call, "POST", "/api/keys", admin_key, {"name": "listener", "scopes": ["read"]}
    )
    assert made == 201, key
    async with web.socket("", **program(key["key"])) as socket, web.socket("", **program(admin_key)) as other:
        await socket.until("hello")
        await other.until("hello")
        status, _ = await asyncio.to_thread(web.call, "DELETE", f"/api/keys/{key['id']}", admin_key)
        assert status in (200, 204)
        assert await socket.closed() == 4401
        async with web.publisher() as publisher:
            await published(publisher, other, "node:spark-1", snapshot())


async def test_a_disabled_owner_closes_the_sockets_of_keys(web: WebProcess, admin_key: str) -> None:
    made, _ = await asyncio.to_thread(
        web.call, "POST", "/api/users", admin_key, {"username": "robot", "password": WORD}
    )
    assert made == 201
    async with web.socket("", **program(web.key("read", user="robot"))) as socket:
        await socket.until("hello")
        status, _ = await asyncio.to_thread(
            web.call, "PATCH", "/api/users/robot", admin_key, {"is_active": False}
        )
        assert status == 200
        assert await socket.closed() == 4401


async def test_user_with_a_one_time_password_gets_no_figures(web: WebProcess, admin_key: str) -> None:
    web.call("POST", "/api/users", admin_key, {"username": "fresh", "password": WORD})
    async with web.socket(web.login("fresh", WORD)) as browser:
        assert await browser.closed() == 4401


async def test_socket_outlives_redis_and_says_that_figures_stopped(web: WebProcess, cookie: str) -> None:
    async with web.socket(cookie) as browser:
        async with web.publisher() as publisher:
            await published(publisher, browser, "node:spark-1", snapshot())
        web.redis.kill()
        await browser.until("node_status", node="spark-1", status="stale", seconds=60)
        await browser.until("node_status", node="spark-1", status="offline", seconds=60)
        web.redis.start()
        async with web.publisher() as publisher:
            await published(publisher, browser, "node:spark-1", snapshot(again=True))
        async with web.socket(cookie) as other:
            assert (await other.until("hello"))["nodes"][0]["status"] in ("online", "never")


async def test_flushed_redis_is_joined_again(web: WebProcess, cookie: str) -> None:
    async with web.socket(cookie) as browser, web.publisher() as publisher:
        await published(publisher, browser, "node:spark-1", snapshot())
        with web.redis.client() as client:
            client.flushall()
        await published(publisher, browser, "node:spark-1", snapshot(after="flush"))


def test_a_socket_that_takes_nothing_is_aborted() -> None:
    hub, aborted = Hub(), []
    access = Access("s", 1, "viewer", "viewer", "h")
    stuck = Socket(lambda _: None, access, abort=lambda: aborted.append(True))
    fine = Socket(lambda _: None, access, abort=lambda: aborted.append(False))
    stuck.writing_since = time.monotonic() - SLOW_SECONDS - 1
    fine.writing_since = time.monotonic()
    hub.add(stuck)
    hub.add(fine)
    hub._cut_slow()
    assert aborted == [True]
    assert stuck.ended.is_set()
    assert not fine.ended.is_set()


async def test_a_frame_is_made_bytes_once_for_all_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(text: str) -> bytes:
        made.append(text)
        return framed(text)

    monkeypatch.setattr("metrics_app.hub.framed", counted)
    hub, sent, plain = Hub(), [], []

    async def take(data: bytes) -> None:
        sent.append(data)

    async def send(message: dict[str, Any]) -> None:
        plain.append(message["text"])

    access = Access("s", 1, "viewer", "viewer", "h")
    sockets = [Socket(send, access, send_framed=take) for _ in range(20)] + [Socket(send, access)]
    for socket in sockets:
        hub.add(socket)
    pumps = [asyncio.create_task(socket.pump()) for socket in sockets]
    hub.broadcast("node:spark-1", "{}")
    async with asyncio.timeout(60):
        while len(sent) < 20 or not plain:
            await asyncio.sleep(0)
    for pump in pumps:
        pump.cancel()
    assert made == ["{}"]
    assert all(data is sent[0] for data in sent)
    assert plain == ["{}"], "a server without the extension frames for itself"


async def test_what_comes_together_is_one_write_and_the_slow_get_the_newest_of_each() -> None:
    hub, quick, slow = Hub(), [], []
    room = False

    def write(data: bytes) -> bool:
        quick.append(data)
        return True

    def refuse(data: bytes) -> bool:
        if room:
            slow.append(data)
        return room

    async def wait(data: bytes) -> None:
        while not room:
            await asyncio.sleep(0)
        slow.append(data)

    async def send(_message: dict[str, Any]) -> None:
        raise AssertionError("text, where bytes are taken")

    access = Access("s", 1, "viewer", "viewer", "h")
    sockets = [
        Socket(send, access, send_framed=wait, write_framed=write),
        Socket(send, access, send_framed=wait, write_framed=refuse),
    ]
    greeting = Socket(send, access, send_framed=wait, write_framed=write)
    pumps = [asyncio.create_task(socket.pump()) for socket in sockets]
    for socket in [*sockets, greeting]:
        hub.add(socket)
    await asyncio.sleep(0)
    for number in range(3):
        for node in ("a", "b"):
            hub.broadcast(f"node:{node}", f'"{node}{number}"')
        async with asyncio.timeout(60):
            while len(quick) <= number:
                await asyncio.sleep(0)
    assert quick == [framed(f'"a{n}"') + framed(f'"b{n}"') for n in range(3)]
    assert list(greeting.pending.values()) == [framed('"a2"'), framed('"b2"')], "nothing before its greeting"
    room = True
    async with asyncio.timeout(60):
        while framed('"b2"') not in slow:
            await asyncio.sleep(0)
    for pump in pumps:
        pump.cancel()
    assert framed('"a1"') not in slow, "only the newest of those that waited"
    assert slow[-2:] == [framed('"a2"'), framed('"b2"')]


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_our_frames_are_those_of_the_library(size: int) -> None:
    text = "é" * (size // 2) + "x" * (size % 2)
    assert framed(text) == Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


def test_unsent_frames_are_bounded() -> None:
    socket = Socket(lambda _: None, Access("s", 1, "viewer", "viewer", "h"))
    for number in range(1000):
        socket.offer(f"launch:{number}", "{}")
        socket.offer("node:spark-1", str(number))
    assert len(socket.pending) <= 256
    assert socket.pending["node:spark-1"] == "999"


async def test_web_stops_with_sockets_open(web: WebProcess, cookie: str) -> None:
    """Stands last: it stops the process that the others use."""
    async with web.socket(cookie) as one, web.socket(cookie) as two:
        await one.until("hello")
        code, _ = await asyncio.to_thread(web.stop)
        assert code == 0
        assert {await one.closed(), await two.closed()} == {1012}
