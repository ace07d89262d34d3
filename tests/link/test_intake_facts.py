"""Facts from journal to database: each once, in order, whatever fails on the way."""

from __future__ import annotations

import threading

import orjson
import pytest
from django.db import OperationalError, connection, connections, transaction

from sparkweb.node_link import facts as facts_module
from sparkweb.node_link import registry
from sparkweb.node_link.models import JournalCursor, RejectedFact
from sparkweb.streams import Streams
from tests.link.conftest import begin, until
from tests.link.noting import noted, numbers_noted

pytestmark = pytest.mark.django_db(transaction=True)


def payload(number: int, verb: str = "test.noted") -> str:
    return orjson.dumps({"verb": verb, "data": {"n": number}, "at": 0}).decode()


def acknowledged(redis_url: str, node_name: str = "spark-1") -> str:
    (raw,) = Streams(redis_url).fetch([f"ack:{node_name}"])
    return (raw or b"").decode()


def test_facts_are_applied_in_order_and_acknowledged(redis_url, node, intake):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    agent.start()
    for n in range(1, 51):
        agent.note(n)
    until(lambda: agent.journal.count() == 0)
    assert numbers_noted() == list(range(1, 51))
    assert acknowledged(redis_url) == f"{agent.journal.id}:50"
    assert JournalCursor.objects.get().applied == 50


def test_the_stream_does_not_keep_what_is_acknowledged(redis_url, shared_redis, node, intake):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    agent.start()
    for n in range(1, 31):
        agent.note(n)
    until(lambda: shared_redis.client().xlen("sparkweb:from:spark-1") == 0 and agent.journal.count() == 0)


def test_more_than_a_window_gets_through(redis_url, node, intake):
    agent = node("spark-1", redis_url)
    for n in range(1, 451):
        agent.note(n)
    agent.start()
    intake(redis_url)
    until(lambda: agent.journal.count() == 0, 60)
    assert numbers_noted() == list(range(1, 451))


def test_what_came_while_control_was_away_is_applied_on_its_start(redis_url, node, intake):
    agent = node("spark-1", redis_url)
    agent.start()
    for n in range(1, 6):
        agent.note(n)
    until(lambda: agent.streams.last("from:spark-1") != "0-0")
    intake(redis_url)
    until(lambda: agent.journal.count() == 0)
    assert numbers_noted() == [1, 2, 3, 4, 5]


def test_a_second_delivery_is_acknowledged_and_not_applied(redis_url, node, intake):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    for _ in range(3):
        agent.fact(1, payload(1))
    agent.fact(2, payload(2))
    until(lambda: acknowledged(redis_url).endswith(":2"))
    assert numbers_noted() == [1, 2]


def test_one_out_of_order_waits_for_its_turn(redis_url, node, intake):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    agent.fact(2, payload(2), oldest=1)
    agent.fact(1, payload(1), oldest=1)
    until(lambda: acknowledged(redis_url).endswith(":1"))
    assert numbers_noted() == [1]
    agent.fact(2, payload(2), oldest=2)
    until(lambda: acknowledged(redis_url).endswith(":2"))
    assert numbers_noted() == [1, 2]


def test_a_database_restored_from_a_copy_jumps_and_says_so(redis_url, node, intake, caplog):
    """The node no longer has 1 to 6: they were acknowledged to a database that is gone."""
    agent = node("spark-1", redis_url)
    intake(redis_url)
    agent.fact(9, payload(9), oldest=7)
    agent.fact(7, payload(7), oldest=7)
    until(lambda: acknowledged(redis_url).endswith(":7"))
    assert (
        numbers_noted() == [7] and "facts 1 to 6 are neither in this database nor on the node" in caplog.text
    )


def test_a_journal_restored_from_a_copy_gets_a_new_id(redis_url, node, intake, caplog):
    agent = node("spark-1", redis_url)
    for n in range(1, 4):
        agent.note(n)
    JournalCursor.objects.create(node_name="spark-1", journal=agent.journal.id, applied=10)
    Streams(redis_url).put("ack:spark-1", f"{agent.journal.id}:10")
    old = agent.journal.id
    intake(redis_url)
    agent.start()
    until(lambda: agent.journal.count() == 0)
    assert agent.journal.id != old and "an older copy" in caplog.text
    assert numbers_noted() == [1, 2, 3]


def test_journals_count_apart(redis_url, node, intake):
    first, second = node("spark-1", redis_url), node("spark-2", redis_url)
    intake(redis_url)
    for agent in (first, second):
        agent.start()
        agent.note(1)
    until(lambda: first.journal.count() == second.journal.count() == 0)
    assert numbers_noted("spark-1") == numbers_noted("spark-2") == [1]


def test_a_handler_that_raises_blocks_nobody(redis_url, node, intake, heard, caplog):
    def broken(node_name, data):
        noted(node_name, data)
        raise RuntimeError("no such member\0")

    registry.fact_handlers["test.broken"] = broken
    agent = node("spark-1", redis_url)
    intake(redis_url)
    agent.fact(1, payload(1, "test.broken"))
    agent.fact(2, payload(2))
    until(lambda: acknowledged(redis_url).endswith(":2"))
    assert numbers_noted() == [2], "what the handler wrote before it raised is rolled back"
    rejected = RejectedFact.objects.get()
    assert (rejected.verb, rejected.sequence, rejected.node_name) == ("test.broken", 1, "spark-1")
    assert rejected.reason == "RuntimeError: no such member" and '"n":1' in rejected.payload
    assert "test.broken" in caplog.text


def test_a_failure_after_the_commit_does_not_reject(redis_url, node, intake, heard):
    def shaky(node_name, data):
        noted(node_name, data)
        transaction.on_commit(lambda: 1 / 0)

    registry.fact_handlers["test.noted"] = shaky
    agent = node("spark-1", redis_url)
    intake(redis_url)
    agent.fact(1, payload(1))
    until(lambda: acknowledged(redis_url).endswith(":1"))
    assert numbers_noted() == [1] and not RejectedFact.objects.exists()


@pytest.mark.parametrize(
    "bad",
    ['{"verb": "rm_rf", "data": {}}', '{"verb": ["x"], "data": {}}', '{"verb": "test.noted", "data": 5}',
     '{"verb": "test.noted", "data": {}}', "{}", "[]", "not json", "\0", '"\\u0000"', "9" * 500],
)  # fmt: skip
def test_signed_nonsense_is_kept_and_passed_over(redis_url, node, intake, bad):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    agent.fact(1, bad)
    agent.fact(2, payload(2))
    until(lambda: acknowledged(redis_url).endswith(":2"))
    assert numbers_noted() == [2] and RejectedFact.objects.count() == 1


def test_a_locked_database_delays_and_loses_nothing(redis_url, node, intake, heard):
    """Another writer holds the lock for two seconds; reports go on meanwhile."""
    agent = node("spark-1", redis_url)
    intake(redis_url)
    agent.start()
    begin(agent, heard)
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            noted("other", {"n": 0})
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("LOCK TABLE node_link_journalcursor")
            locked.set()
            release.wait(20)
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait(5)
    for n in range(1, 6):
        agent.note(n)
    for _ in range(3):
        agent.report()
    until(lambda: heard.sequences()[-1] == agent.sequence)
    assert numbers_noted() == []
    release.set()
    holder.join()
    until(lambda: agent.journal.count() == 0)
    assert numbers_noted() == [1, 2, 3, 4, 5] and not RejectedFact.objects.exists()


def test_database_trouble_is_tried_again_not_rejected(redis_url, node, intake, heard):
    tries = []

    def troubled(node_name, data):
        tries.append(data["n"])
        if len(tries) < 3:
            raise OperationalError("database is locked")
        noted(node_name, data)

    registry.fact_handlers["test.noted"] = troubled
    agent = node("spark-1", redis_url)
    other = node("spark-2", redis_url)
    intake(redis_url)
    agent.start()
    agent.note(1)
    until(lambda: agent.journal.count() == 0)
    assert tries == [1, 1, 1] and numbers_noted() == [1] and not RejectedFact.objects.exists()
    del other


def test_a_fact_that_only_ever_meets_trouble_is_rejected_in_the_end(
    redis_url, node, intake, heard, monkeypatch
):
    monkeypatch.setattr(facts_module, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(facts_module, "PATIENCE_ATTEMPTS", 3)

    def hopeless(node_name, data):
        raise OperationalError("too many SQL variables")

    registry.fact_handlers["test.hopeless"] = hopeless
    agent, other = node("spark-1", redis_url), node("spark-2", redis_url)
    intake(redis_url)
    agent.fact(1, payload(1, "test.hopeless"))
    agent.fact(2, payload(2))
    other.start()
    other.note(1)
    until(lambda: numbers_noted("spark-2") == [1], 5)
    until(lambda: acknowledged(redis_url).endswith(":2"))
    assert numbers_noted() == [2] and "too many SQL" in RejectedFact.objects.get().reason


def test_two_controls_at_once_apply_once(redis_url, node, intake):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    intake(redis_url)
    agent.start()
    for n in range(1, 101):
        agent.note(n)
    until(lambda: agent.journal.count() == 0, 40)
    assert numbers_noted() == list(range(1, 101)) and not RejectedFact.objects.exists()


@pytest.mark.parametrize("change", [{"g": "AAAA"}, {"s": 5}, {"p": "{}"}, {"b": "0" * 32}, {"f": 3}])
def test_forged_facts_are_refused(redis_url, node, intake, change, caplog):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    agent.fact(1, payload(1), **change)
    until(lambda: "refused as forged" in caplog.text)
    agent.fact(1, payload(1))
    until(lambda: acknowledged(redis_url).endswith(":1"))
    assert numbers_noted() == [1] and JournalCursor.objects.count() == 1


def test_another_nodes_signature_is_worth_nothing(redis_url, node, intake, caplog):
    agent, thief = node("spark-1", redis_url), node("spark-2", redis_url)
    intake(redis_url)
    thief.name = "spark-1"  # signs as spark-2, writes to spark-1's stream
    thief.fact(1, payload(666))
    until(lambda: "spark-1: 1 entries refused as forged" in caplog.text)
    agent.start()
    agent.note(1)
    until(lambda: agent.journal.count() == 0)
    assert numbers_noted("spark-1") == [1] and numbers_noted("spark-2") == []


def test_garbage_on_the_stream_is_passed_over(redis_url, shared_redis, node, intake, caplog):
    agent = node("spark-1", redis_url)
    client = shared_redis.client()
    for value in ("", "{", "[]", '{"b":1}', "\x00" * 1000, "x" * 400_000):
        client.xadd("sparkweb:from:spark-1", {"d": value})
    client.xadd("sparkweb:from:spark-1", {"anything": "1"})
    intake(redis_url)
    until(lambda: "refused as malformed" in caplog.text)
    agent.start()
    agent.note(1)
    until(lambda: agent.journal.count() == 0)
    assert numbers_noted() == [1]
