"""Nudges over a real Redis, a real Celery worker as the agent runs it, and its ACL user."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis
from kombu import pools
from kombu.exceptions import EncodeError

from sparkweb import config
from sparkweb.celery import app
from sparkweb.node_link import commands
from sparkweb.node_link.acl import agent_acl, agent_transport_options
from sparkweb.streams import Entry, Streams, StreamsDown
from tests.support.redis import RedisServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Point nudges at a Redis."""

    def point(redis_url: str) -> None:
        monkeypatch.setitem(app.conf, "broker_url", config.broker_url(redis_url))

    yield point
    pools.reset()


@pytest.fixture
def worker() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    children: list[subprocess.Popen[bytes]] = []

    def start(node_name: str, redis_url: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.link.worker_child", node_name, redis_url]
        children.append(subprocess.Popen(command, cwd=ROOT))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.wait()


def echoed(streams: Streams, node_name: str, count: int, within_seconds: float = 60.0) -> list[dict]:
    """Wait for so many echoes and return them."""
    found, at, deadline = [], "0", time.monotonic() + within_seconds
    while len(found) < count and time.monotonic() < deadline:
        for item in streams.read({f"log:{node_name}:echo": at}, block_seconds=1):
            if isinstance(item, Entry):
                found.append(item.data)
                at = item.offset
    return found


def until(condition: Callable[[], bool], within_seconds: float = 60.0) -> None:
    deadline = time.monotonic() + within_seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_nudge_reaches_its_node_alone(redis_url, broker, worker):
    broker(redis_url)
    worker("spark-1", redis_url)
    worker("spark-2", redis_url)
    assert commands.send("spark-1", "test.echo", launch="a", generation=1)
    assert commands.send("spark-2", "test.echo", launch="b", generation=1)
    streams = Streams(redis_url)
    assert echoed(streams, "spark-1", 1) == [{"launch": "a", "generation": 1}]
    assert echoed(streams, "spark-2", 1) == [{"launch": "b", "generation": 1}]
    streams.close()


def test_a_nudge_waits_for_an_agent_that_comes_later(redis_url, broker, worker):
    broker(redis_url)
    assert commands.send("spark-1", "test.echo", n=1)
    worker("spark-1", redis_url)
    assert echoed(Streams(redis_url), "spark-1", 1) == [{"n": 1}]


@pytest.mark.parametrize("fault", ["stop", "freeze"])
def test_redis_gone_says_false(redis_server: RedisServer, broker, fault):
    broker(redis_server.url)
    assert commands.send("spark-1", "test.echo")
    getattr(redis_server, fault)()
    for _ in range(3):
        assert commands.send("spark-1", "test.echo") is False
    redis_server.thaw() if fault == "freeze" else redis_server.start()
    until(lambda: commands.send("spark-1", "test.echo"))


def test_redis_that_never_was_there(broker):
    broker("redis://127.0.0.1:1/0")
    assert commands.send("spark-1", "test.echo") is False


def test_the_queue_of_an_absent_node_is_bounded(redis_url, shared_redis, broker, monkeypatch):
    broker(redis_url)
    monkeypatch.setattr(commands, "QUEUE_LIMIT", 3)
    assert [commands.send("spark-9", "test.echo", n=n) for n in range(5)] == [True, True, True, False, False]
    assert shared_redis.client().llen("sparkweb:node.spark-9") == 3


def test_a_flushed_redis_takes_nudges_at_once(redis_url, shared_redis, broker, worker):
    broker(redis_url)
    worker("spark-1", redis_url)
    streams = Streams(redis_url)
    commands.send("spark-1", "test.echo", n=1)
    assert echoed(streams, "spark-1", 1)
    shared_redis.client().flushall()
    assert commands.send("spark-1", "test.echo", n=2)
    assert echoed(streams, "spark-1", 1) == [{"n": 2}]


def test_a_worker_comes_back_after_redis_was_killed(redis_server, broker, worker):
    broker(redis_server.url)
    worker("spark-1", redis_server.url)
    streams = Streams(redis_server.url)
    commands.send("spark-1", "test.echo", n=1)
    assert echoed(streams, "spark-1", 1)
    redis_server.kill()
    redis_server.start()
    until(lambda: commands.send("spark-1", "test.echo", n=2))
    assert {"n": 2} in echoed(streams, "spark-1", 2)


def test_bad_arguments_are_the_callers_fault(redis_url, broker):
    broker(redis_url)
    with pytest.raises(ValueError, match="no node name"):
        commands.send("spark 1", "test.echo")
    with pytest.raises(EncodeError):
        commands.send("spark-1", "test.echo", value=object())


def test_unacked_keys_belong_to_one_node():
    first, second = agent_transport_options("spark-1"), agent_transport_options("spark-2")
    for name in ("unacked_key", "unacked_index_key", "unacked_mutex_key"):
        assert "spark-1" in first[name] and first[name] != second[name]
    assert first["global_keyprefix"] == "sparkweb:"


@pytest.fixture
def acl_user(redis_server: RedisServer) -> str:
    """Address of a Redis for a user with the rights of spark-1's agent."""
    redis_server.client().execute_command("ACL", "SETUSER", "agent", "on", ">pw", *agent_acl("spark-1"))
    return redis_server.url_as("agent", "pw")


def test_a_worker_with_the_agents_rights_works_and_needs_no_more(redis_server, acl_user, broker, worker):
    """It consumes, appends and keeps its unacked keys; Redis refuses nothing that it tries."""
    broker(redis_server.url)
    child = worker("spark-1", acl_user)
    streams = Streams(redis_server.url)
    for n in range(20):
        assert commands.send("spark-1", "test.echo", n=n)
    assert sorted(data["n"] for data in echoed(streams, "spark-1", 20)) == list(range(20))
    admin = redis_server.client()
    assert admin.execute_command("ACL", "LOG") == []
    assert child.poll() is None
    kombu_keys = {key for key in admin.scan_iter() if "unacked" in key or "binding" in key}
    assert all("spark-1" in key for key in kombu_keys), kombu_keys


def test_a_killed_worker_leaves_its_unacked_under_its_own_key(redis_server, acl_user, broker, worker):
    """What one node took and lost comes back to that node alone, through the lock's script too."""
    broker(redis_server.url)
    admin = redis_server.client()
    commands.send("spark-1", "test.echo", n=1)
    message = admin.rpop("sparkweb:node.spark-1")
    admin.hset("sparkweb:unacked.spark-1", "tag", f'[{message}, "", "node.spark-1"]')
    admin.zadd("sparkweb:unacked_index.spark-1", {"tag": 1.0})
    worker("spark-1", acl_user)
    assert echoed(Streams(redis_server.url), "spark-1", 1) == [{"n": 1}]
    until(lambda: not admin.exists("sparkweb:unacked.spark-1"))
    assert admin.execute_command("ACL", "LOG") == []


@pytest.mark.parametrize(
    "command",
    [
        ["XADD", "sparkweb:from:spark-2", "*", "d", "{}"],
        ["XADD", "sparkweb:report:spark-2", "*", "d", "{}"],
        ["XADD", "sparkweb:live:spark-1", "*", "d", "{}"],
        ["XADD", "sparkweb:intake:nodes", "*", "d", "{}"],
        ["SET", "sparkweb:ack:spark-1", "x"],
        ["SET", "sparkweb:snapshot:spark-1", "x"],
        ["GET", "sparkweb:snapshot:spark-1"],
        ["MGET", "sparkweb:ack:spark-2"],
        ["LPUSH", "sparkweb:node.spark-2", "x"],
        ["BRPOP", "sparkweb:node.spark-2", "1"],
        ["LPUSH", "sparkweb:control.events", "x"],
        ["LPUSH", "sparkweb:control.work", "x"],
        ["HGET", "sparkweb:unacked", "x"],
        ["HGET", "sparkweb:unacked.spark-2", "x"],
        ["ZADD", "sparkweb:layer:group:live", "1", "x"],
        ["PUBLISH", "x", "y"],
        ["SUBSCRIBE", "x"],
        ["XREAD", "STREAMS", "sparkweb:report:spark-1", "0"],
        ["KEYS", "*"],
        ["SCAN", "0"],
        ["FLUSHALL"],
        ["CONFIG", "GET", "*"],
        ["ACL", "LIST"],
        ["SHUTDOWN"],
        ["CLIENT", "KILL", "TYPE", "normal"],
        ["CLIENT", "LIST"],
        ["MONITOR"],
        ["EVAL", "return 1", "0"],
        ["SCRIPT", "FLUSH"],
        ["MIGRATE", "h", "1", "k", "0", "1"],
        ["REPLICAOF", "no", "one"],
    ],
    ids=" ".join,
)
def test_the_agents_user_is_refused_everywhere_else(redis_server, acl_user, command):
    client = redis.Redis.from_url(acl_user, driver_info=None)
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command)


def test_a_script_reaches_no_further_than_its_user(redis_server, acl_user):
    client = redis.Redis.from_url(acl_user, driver_info=None)
    sha = client.execute_command("SCRIPT", "LOAD", "return redis.call('GET', 'sparkweb:snapshot:spark-2')")
    with pytest.raises(redis.ResponseError, match="can't access"):
        client.execute_command("EVALSHA", sha, 0)


def test_streams_say_that_they_are_refused(redis_server, acl_user):
    streams = Streams(acl_user)
    streams.append("from:spark-1", {})
    assert streams.fetch(["ack:spark-1"]) == [None]
    with pytest.raises(StreamsDown, match="permission"):
        streams.append("from:spark-2", {})


def test_an_idle_worker_costs_next_to_nothing(redis_url, broker, worker):
    """Compared with the whole machine, not with a clock: below 1 % of a core over five seconds."""
    broker(redis_url)
    child = worker("spark-1", redis_url)
    commands.send("spark-1", "test.echo", n=1)
    assert echoed(Streams(redis_url), "spark-1", 1)
    process = psutil.Process(child.pid)
    process.cpu_percent()
    assert process.cpu_percent(interval=5.0) < 1.0
