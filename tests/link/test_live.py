"""Frames over a real channel layer: newest wins, and nobody waits for Redis."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from channels.layers import channel_layers

from sparkweb import live
from tests.support.redis import RedisServer


@pytest.fixture
def layer(settings: Any) -> Iterator[Any]:
    def use(redis_url: str) -> Any:
        config = {"hosts": [{"address": redis_url, "socket_timeout": 15}], "prefix": "sparkweb:layer"}
        backend = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": config}
        settings.CHANNEL_LAYERS = {"default": backend}
        return channel_layers.make_backend("default")

    live.close()
    yield use
    live.close()


async def receive(layer: Any, channel: str, within_seconds: float = 60.0) -> dict[str, Any]:
    message = await asyncio.wait_for(layer.receive(channel), within_seconds)
    assert message["type"] == "live.frame"
    return {"key": message["key"], **orjson.loads(message["frame"])}


async def test_a_frame_from_any_thread_reaches_the_group(redis_url, layer):
    backend = layer(redis_url)
    channel = await backend.new_channel()
    await backend.group_add("live", channel)
    threading.Thread(target=live.publish, args=("node:a", {"type": "snapshot", "n": 1})).start()
    assert await receive(backend, channel) == {"key": "node:a", "type": "snapshot", "n": 1}
    live.publish("node:a", {"type": "snapshot", "n": 2})
    assert (await receive(backend, channel))["n"] == 2
    await backend.close_pools()


async def test_redis_gone_holds_the_newest_of_each_key(redis_server: RedisServer, layer):
    backend = layer(redis_server.url)
    channel = await backend.new_channel()
    await backend.group_add("live", channel)
    live.publish("warm", {"n": 0})
    assert (await receive(backend, channel))["key"] == "warm"
    redis_server.freeze()
    for n in range(2_000):
        live.publish(f"node:{n % 3}", {"n": n})
    redis_server.thaw()
    seen: dict[str, int] = {}
    while not set(seen.values()) >= {1997, 1998, 1999}:
        frame = await receive(backend, channel)
        assert frame["n"] >= seen.get(frame["key"], 0), "an older frame came after a newer one"
        seen[frame["key"]] = frame["n"]
    await backend.close_pools()


async def test_redis_killed_and_back(redis_server: RedisServer, layer):
    backend = layer(redis_server.url)
    live.publish("node:a", {"n": 1})
    redis_server.kill()
    live.publish("node:a", {"n": 2})
    redis_server.start()
    channel = await backend.new_channel()
    await backend.group_add("live", channel)
    live.publish("node:a", {"n": 3})
    while (await receive(backend, channel))["n"] != 3:
        pass
    await backend.close_pools()


def test_what_waits_is_bounded(redis_server: RedisServer, layer):
    layer(redis_server.url)
    redis_server.stop()
    for n in range(live.KEYS_WAITING + 500):
        live.publish(f"key:{n}", {"n": n})
    assert len(live._publisher._waiting) <= live.KEYS_WAITING


def test_a_frame_that_is_no_json_is_the_callers_fault(redis_url, layer):
    layer(redis_url)
    with pytest.raises(TypeError):
        live.publish("a", {"x": object()})


def test_close_ends_the_thread_and_publish_starts_it_again(redis_url, layer):
    layer(redis_url)
    live.publish("a", {})
    thread = live._publisher._thread
    live.close()
    assert not thread.is_alive()
    live.publish("a", {})
    assert live._publisher._thread is not thread
