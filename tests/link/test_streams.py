"""Streams over a real Redis: order, resume, gaps, bounds, and Redis gone."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest

from sparkweb.streams import (
    DEFAULT_LIMIT,
    ENTRY_LIMIT_BYTES,
    Entry,
    EntryTooLarge,
    Gap,
    Streams,
    StreamsDown,
    offset_key,
)
from tests.support.redis import RedisServer


@pytest.fixture
def streams(redis_url: str):
    streams = Streams(redis_url)
    yield streams
    streams.close()


def numbers(items: list[Entry | Gap]) -> list[int | str]:
    return [item.data["n"] if isinstance(item, Entry) else "gap" for item in items]


def test_entries_come_in_order_and_resume_by_offset(streams):
    offsets = [streams.append("log:n:m", {"n": n}) for n in range(5)]
    items = streams.read({"log:n:m": "0"})
    assert numbers(items) == [0, 1, 2, 3, 4]
    assert [item.offset for item in items] == offsets == sorted(offsets, key=offset_key)
    assert numbers(streams.read({"log:n:m": offsets[2]})) == [3, 4]
    assert streams.read({"log:n:m": offsets[4]}) == []


def test_count_bounds_each_stream_and_the_rest_follows(streams):
    for n in range(5):
        streams.append("log:n:a", {"n": n})
        streams.append("log:n:b", {"n": n})
    first = streams.read({"log:n:a": "0", "log:n:b": "0"}, count=2)
    assert numbers(first) == [0, 1, 0, 1]
    at = {item.stream: item.offset for item in first}
    assert numbers(streams.read(at)) == [2, 3, 4, 2, 3, 4]


def test_a_blocking_read_wakes_for_a_new_entry(streams):
    streams.append("log:n:m", {"n": 0})
    timer = threading.Timer(0.05, lambda: streams.append("log:n:m", {"n": 1}))
    timer.start()
    assert numbers(streams.read({"log:n:m": "$"}, block_seconds=5)) == [1]
    timer.join()


def test_from_now_on_starts_at_the_newest(streams):
    assert streams.last("log:n:m") == "0-0"
    streams.append("log:n:m", {"n": 0})
    at = streams.last("log:n:m")
    streams.append("log:n:m", {"n": 1})
    assert numbers(streams.read({"log:n:m": at})) == [1]


def test_a_reader_that_fell_behind_gets_one_gap_mark(streams):
    first = streams.append("log:n:m", {"n": 0})
    for n in range(1, 400):
        last_lost = streams.append("log:n:m", {"n": n}, maxlen=10)
    items = streams.read({"log:n:m": first}, count=1000)
    assert items[0] == Gap("log:n:m", first, items[1].offset)
    assert numbers(items).count("gap") == 1
    assert numbers(items)[-1] == 399 and offset_key(items[1].offset) <= offset_key(last_lost)


def test_a_trimmed_offset_alone_is_no_gap(streams):
    """The reader's own entry was trimmed but nothing after it: nothing is missing."""
    offsets = [streams.append("log:n:m", {"n": n}) for n in range(3)]
    streams.trim("log:n:m", offsets[1])
    assert numbers(streams.read({"log:n:m": offsets[1]})) == [2]
    assert numbers(streams.read({"log:n:m": offsets[0]})) == ["gap", 2]
    assert numbers(streams.read({"log:n:m": "0"})) == ["gap", 2]


def test_a_new_writer_continues_the_chain(redis_url, streams):
    first = streams.append("log:n:m", {"n": 0})
    streams.trim("log:n:m", first)
    Streams(redis_url).append("log:n:m", {"n": 1})
    assert numbers(streams.read({"log:n:m": first})) == [1]


def test_flush_is_a_gap_only_for_who_missed_something(redis_url, shared_redis, streams):
    at_first = streams.append("log:n:m", {"n": 0})
    at_second = streams.append("log:n:m", {"n": 1})
    shared_redis.client().flushall()
    streams.append("log:n:m", {"n": 2})
    assert numbers(streams.read({"log:n:m": at_second})) == [2]
    assert numbers(streams.read({"log:n:m": at_first})) == ["gap", 2]


def test_flush_and_a_new_writer_is_a_gap_for_all(redis_url, shared_redis, streams):
    at = streams.append("log:n:m", {"n": 0})
    shared_redis.client().flushall()
    Streams(redis_url).append("log:n:m", {"n": 1})
    assert numbers(streams.read({"log:n:m": at})) == ["gap", 1]


@pytest.mark.parametrize("seed", range(5))
def test_gaps_are_exact_under_random_trims_and_reads(streams, seed):
    """A gap stands exactly where numbers are missing, whatever is trimmed and read when."""
    chance, offsets, at, expected, gaps = random.Random(seed), [], "0", 0, 0
    for _ in range(120):
        for _ in range(chance.randrange(4)):
            offsets.append(streams.append("log:n:m", {"n": len(offsets)}))
        if offsets and chance.random() < 0.3:
            streams.trim("log:n:m", chance.choice(offsets[-5:]))
        marked = False
        for item in streams.read({"log:n:m": at}, count=chance.randrange(1, 5)):
            if isinstance(item, Gap):
                marked = True
                gaps += 1
                continue
            assert (item.data["n"] != expected) == marked
            marked, expected, at = False, item.data["n"] + 1, item.offset
    assert gaps > 3 and expected > 100


def test_a_stream_begun_anew_under_a_clock_set_back_is_noticed(streams, shared_redis, monkeypatch):
    monkeypatch.setattr("sparkweb.streams.REWIND_CHECK_SECONDS", 0.0)
    ahead = "99999999999999-0"
    streams.append("log:n:m", {"n": 1})
    assert streams.read({"log:n:m": ahead}) == []  # from the first look on, it is being watched
    assert numbers(streams.read({"log:n:m": ahead})) == ["gap", 1]


def test_streams_stay_bounded_and_idle_ones_expire(streams, shared_redis):
    for n in range(DEFAULT_LIMIT.maxlen + 300):
        streams.append("other:n", {"n": n})
    client = shared_redis.client()
    assert DEFAULT_LIMIT.maxlen <= client.xlen("sparkweb:other:n") <= DEFAULT_LIMIT.maxlen + 100
    assert 0 < client.ttl("sparkweb:other:n") <= DEFAULT_LIMIT.expire_seconds
    streams.append("from:n", {"n": 1})
    assert client.ttl("sparkweb:from:n") == -1


def test_entries_over_the_limit_are_refused_with_their_size(streams):
    with pytest.raises(EntryTooLarge, match=r"log:n:m: an entry of 262\d+ bytes"):
        streams.append("log:n:m", {"lines": ["x" * ENTRY_LIMIT_BYTES]})
    assert streams.last("log:n:m") == "0-0"
    with pytest.raises(TypeError):
        streams.append("log:n:m", {"lines": object()})


@pytest.mark.parametrize(
    "fields",
    [
        {"d": "{"},
        {"d": "[1]"},
        {"x": "1"},
        {"d": "\xff\x00"},
        {"d": "1", "p": "nonsense"},
        {"d": "x" * 300_000},
    ],
)
def test_what_others_wrote_is_an_empty_entry(streams, shared_redis, fields):
    shared_redis.client().xadd("sparkweb:log:n:m", fields)
    (item,) = streams.read({"log:n:m": "0"})
    assert isinstance(item, Entry) and item.data == {}


def test_many_threads_append_to_one_stream_without_a_gap(streams):
    def work(first: int) -> None:
        for n in range(first, first + 50):
            streams.append("log:n:m", {"n": n})

    threads = [threading.Thread(target=work, args=(n * 50,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    items = streams.read({"log:n:m": "0"}, count=1000)
    assert sorted(numbers(items)) == list(range(200))


async def test_asyncio_reads_the_same(redis_url, streams):
    streams.append("log:n:m", {"n": 0})
    at = await streams.alast("log:n:m")
    waiting = asyncio.create_task(streams.aread({"log:n:m": at}, block_seconds=5))
    await asyncio.to_thread(streams.append, "log:n:m", {"n": 1})
    assert numbers(await waiting) == [1]
    assert numbers(await streams.aread({"log:n:m": "0"})) == [0, 1]
    await streams.aclose()


def test_plain_keys_are_put_and_fetched_at_once(streams):
    streams.put("snapshot:n", b"{}", expire_seconds=60)
    assert streams.fetch(["snapshot:n", "snapshot:other"]) == [b"{}", None] and streams.fetch([]) == []


@pytest.mark.parametrize("fault", ["stop", "kill", "freeze"])
def test_redis_gone_is_said_at_once_and_its_return_needs_nothing(redis_server: RedisServer, fault):
    streams = Streams(redis_server.url, timeout_seconds=0.3)
    at = streams.append("log:n:m", {"n": 0})
    getattr(redis_server, fault)()
    for call in (
        lambda: streams.append("log:n:m", {"n": 1}),
        lambda: streams.read({"log:n:m": at}),
        lambda: streams.last("log:n:m"),
        lambda: streams.fetch(["a"]),
    ):
        with pytest.raises(StreamsDown, match=r"redis\.sock"):
            call()
    redis_server.thaw() if fault == "freeze" else redis_server.start()
    streams.append("log:n:m", {"n": 2})
    assert numbers(streams.read({"log:n:m": "0"}))[-1] == 2


async def test_asyncio_says_it_too(redis_server: RedisServer):
    streams = Streams(redis_server.url, timeout_seconds=0.3)
    assert await streams.aread({"log:n:m": "0"}) == []
    redis_server.kill()
    with pytest.raises(StreamsDown):
        await streams.aread({"log:n:m": "0"}, block_seconds=1)
    redis_server.start()
    assert await streams.aread({"log:n:m": "0"}) == []
    await streams.aclose()


def test_a_state_restored_from_before_loses_entries_visibly(redis_server: RedisServer):
    """A power cut may cost Redis its last second: what is lost shows, what was read is not read twice."""
    streams = Streams(redis_server.url)
    at = streams.append("log:n:m", {"n": 0})
    at_lost = streams.append("log:n:m", {"n": 1})
    redis_server.client().xdel("sparkweb:log:n:m", at_lost)
    redis_server.client().execute_command("XSETID", "sparkweb:log:n:m", at)
    streams.append("log:n:m", {"n": 2})
    assert numbers(streams.read({"log:n:m": "0"})) == [0, "gap", 2]
    assert numbers(streams.read({"log:n:m": at_lost})) == [2]


def test_a_blocking_limit_is_enforced(streams):
    with pytest.raises(ValueError, match="block_seconds=-1"):
        streams.read({"log:n:m": "0"}, block_seconds=-1)


def test_an_unreachable_address_never_shows_its_password():
    streams = Streams("redis://user:hunter2@127.0.0.1:1/0", timeout_seconds=0.2)
    with pytest.raises(StreamsDown) as caught:
        streams.last("log:n:m")
    assert "hunter2" not in str(caught.value) and "127.0.0.1:1" in str(caught.value)
