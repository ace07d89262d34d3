"""The senders alone: what they put on the streams, when they send again, and when they rest."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import orjson
import pytest

from sparkweb.node_link import sender as sender_module
from sparkweb.node_link.journal import Journal
from sparkweb.node_link.sender import JournalSender, ReportSender
from sparkweb.node_link.signatures import Signer, key_pair_make
from sparkweb.streams import Entry, Streams
from tests.link.conftest import until
from tests.support.redis import RedisServer

SIGNER = Signer("spark-1", key_pair_make()[0])


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite3")


def sent(redis_url: str) -> list[tuple[int, int]]:
    """Sequence and oldest of each entry on the stream."""
    items = Streams(redis_url).read({"from:spark-1": "0"}, count=10_000)
    return [(item.data["s"], item.data["f"]) for item in items if isinstance(item, Entry)]


def test_facts_go_out_at_once_with_the_oldest_unacknowledged(redis_url, journal):
    sender = JournalSender(journal, Streams(redis_url), SIGNER)
    sender.start()
    for n in range(3):
        journal.add("v", {"n": n})
    until(lambda: sent(redis_url) == [(1, 1), (2, 1), (3, 1)], 1.5)
    Streams(redis_url).put("ack:spark-1", f"{journal.id}:2")
    until(lambda: journal.count() == 1)
    journal.add("v", {})
    until(lambda: sent(redis_url)[-1] == (4, 3))
    sender.close()
    assert not sender.is_alive()


def test_what_is_not_acknowledged_is_sent_again_and_replaces_itself(redis_url, journal, monkeypatch):
    monkeypatch.setattr(sender_module, "RESEND_SECONDS", 0.1)
    for _ in range(5):
        journal.add("v", {})
    streams = Streams(redis_url)
    sender = JournalSender(journal, streams, SIGNER)
    sender.start()
    until(lambda: len(sent(redis_url)) == 5)
    first = streams.last("from:spark-1")
    until(lambda: streams.last("from:spark-1") != first and len(sent(redis_url)) == 5)
    assert [sequence for sequence, _ in sent(redis_url)] == [1, 2, 3, 4, 5]
    sender.close()


@pytest.mark.parametrize(
    "ack", ["", "garbage", "otherjournal:5", "{id}:", "{id}:x", "{id}:-1", "{id}:0", "\xff"]
)
def test_acknowledgements_that_are_none_are_ignored(redis_url, journal, ack):
    streams = Streams(redis_url)
    streams.put("ack:spark-1", ack.format(id=journal.id).encode("latin-1"))
    sender = JournalSender(journal, streams, SIGNER)
    sender.start()
    journal.add("v", {})
    until(lambda: sent(redis_url) == [(1, 1)])
    assert journal.count() == 1
    sender.close()


def test_not_more_than_a_window_is_under_way(redis_url, journal, monkeypatch):
    monkeypatch.setattr(sender_module, "WINDOW_FACTS", 10)
    for _ in range(25):
        journal.add("v", {})
    sender = JournalSender(journal, Streams(redis_url), SIGNER)
    sender.start()
    until(lambda: len(sent(redis_url)) == 10)
    Streams(redis_url).put("ack:spark-1", f"{journal.id}:4")
    until(lambda: sent(redis_url)[-1] == (14, 5))
    sender.close()


def test_large_facts_are_under_way_one_window_of_bytes_at_a_time(redis_url, journal, monkeypatch):
    monkeypatch.setattr(sender_module, "WINDOW_BYTES", 25_000)
    for _ in range(6):
        journal.add("v", {"pad": "x" * 10_000})
    sender = JournalSender(journal, Streams(redis_url), SIGNER)
    sender.start()
    until(lambda: len(sent(redis_url)) == 2)
    Streams(redis_url).put("ack:spark-1", f"{journal.id}:2")
    until(lambda: [sequence for sequence, _ in sent(redis_url)] == [3, 4])
    sender.close()


def test_a_flushed_redis_gets_them_again(redis_url, shared_redis, journal):
    sender = JournalSender(journal, Streams(redis_url), SIGNER)
    sender.start()
    journal.add("v", {})
    until(lambda: sent(redis_url) == [(1, 1)])
    shared_redis.client().flushall()
    until(lambda: sent(redis_url) == [(1, 1)], 6)
    sender.close()


def test_it_rests_while_nothing_is_unacknowledged(redis_url, shared_redis, journal):
    sender = JournalSender(journal, Streams(redis_url), SIGNER)
    sender.start()
    journal.add("v", {})
    until(lambda: sent(redis_url) == [(1, 1)])
    Streams(redis_url).put("ack:spark-1", f"{journal.id}:1")
    until(lambda: journal.count() == 0 and sent(redis_url) == [])
    client = shared_redis.client()
    before = client.info("commandstats")["cmdstat_mget"]["calls"]
    time.sleep(1.5)  # nothing to wait for: that nothing happens is the subject
    assert client.info("commandstats")["cmdstat_mget"]["calls"] == before
    sender.close()


def test_a_full_disk_does_not_end_the_sender(redis_url, journal, monkeypatch):
    from sparkweb.node_link.journal import JournalFull

    sender = JournalSender(journal, Streams(redis_url), SIGNER)
    troubles = iter([JournalFull("journal: disk is full"), ValueError("unforeseen")])
    genuine = journal.unacknowledged

    def troubled(*arguments):
        for trouble in troubles:
            raise trouble
        return genuine(*arguments)

    monkeypatch.setattr(journal, "unacknowledged", troubled)
    monkeypatch.setattr(sender_module, "RETRY_SECONDS", 0.01)
    sender.start()
    journal.add("v", {})
    until(lambda: sent(redis_url) == [(1, 1)])
    sender.close()


def test_the_newest_report_wins_while_redis_is_away(redis_server: RedisServer):
    streams = Streams(redis_server.url, timeout_seconds=0.3)
    sender = ReportSender(streams, SIGNER, str(uuid.uuid4()))
    sender.start()
    redis_server.freeze()
    for n in range(20):
        sender.send({"n": n})
    redis_server.thaw()
    sender.send({"n": "last"})

    def arrived() -> list[object]:
        items = Streams(redis_server.url).read({"report:spark-1": "0"})
        return [orjson.loads(item.data["p"])["n"] for item in items if isinstance(item, Entry)]

    until(lambda: "last" in arrived())
    assert len(arrived()) < 5 and sender.dropped >= 16
    sender.close()


@pytest.mark.parametrize("report", [{"x": object()}, {"x": "y" * 300_000}])
def test_a_report_that_cannot_be_sent_is_dropped_and_the_next_is_not(redis_url, report):
    sender = ReportSender(Streams(redis_url), SIGNER, str(uuid.uuid4()))
    sender.start()
    sender.send(report)
    until(lambda: sender.dropped == 1)
    sender.send({"n": 1})
    until(lambda: Streams(redis_url).last("report:spark-1") != "0-0")
    sender.close()
