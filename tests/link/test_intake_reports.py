"""Reports and freshness: newest wins, forgeries are refused, silence counts by control's clock."""

from __future__ import annotations

import time
import uuid

import pytest
from django.db import OperationalError
from django.utils import timezone

from sparkweb.accounts.models import NodeKey
from sparkweb.node_link import commands, registry
from sparkweb.node_link import nodes as nodes_module
from sparkweb.node_link.nodes import Budget, NodeState
from sparkweb.node_link.sender import ReportSender
from sparkweb.node_link.signatures import key_pair_make, public_key_load
from sparkweb.streams import Streams
from tests.link.conftest import begin, until
from tests.link.noting import numbers_noted

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def quick(monkeypatch):
    """The same judgement in a tenth of the time."""
    monkeypatch.setattr(nodes_module, "STALE_SECONDS", 0.6)
    monkeypatch.setattr(nodes_module, "OFFLINE_SECONDS", 1.0)


def online(heard, *names: str) -> bool:
    return all((name, "online") in heard.statuses for name in names)


def test_a_report_reaches_listeners_and_sections(redis_url, node, intake, heard):
    sections = []
    registry.report_handlers["launches"] = lambda *args: sections.append(args)
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    agent.report({"version": 1, "launches": [{"member": "m"}], "sampled_at": 1.0})
    until(lambda: sections)
    assert sections[0][0] == "spark-1" and sections[0][1] == [{"member": "m"}]
    assert sections[0][2]["sampled_at"] == 1.0
    name, _, meta = heard.reports[-1]
    assert name == "spark-1" and meta["boot"] == agent.boot and meta["seq"] == agent.sequence
    assert abs(meta["received_at"] - time.time()) < 5
    assert heard.statuses == [("spark-1", "online")]


def test_the_report_sender_is_understood(redis_url, node, intake, heard):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    sender = ReportSender(Streams(redis_url), agent.signer, str(uuid.uuid4()))
    sender.start()
    sender.send({"version": 1, "n": 7})
    until(lambda: heard.reports[-1][1].get("n") == 7)
    sender.close()
    assert not sender.is_alive()


def test_reports_from_before_the_start_are_not_news(redis_url, node, intake, heard):
    agent = node("spark-1", redis_url)
    for _ in range(5):
        agent.report()
    intake(redis_url)
    begin(agent, heard)
    assert min(heard.sequences()) > 5


def test_replayed_reports_are_refused(redis_url, node, intake, heard, caplog):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    old = agent.report()
    agent.report()
    until(lambda: heard.sequences()[-1] == agent.sequence)
    count = len(heard.reports)
    for _ in range(3):
        agent.streams.append("report:spark-1", old)
    until(lambda: "refused as replayed" in caplog.text)
    agent.report()
    until(lambda: heard.sequences()[-1] == agent.sequence)
    assert len(heard.reports) == count + 1


def test_a_new_boot_wins_and_the_old_one_is_over(redis_url, node, intake, heard, caplog):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    old_boot, old_sequence = agent.boot, agent.sequence
    agent.boot, agent.sequence = str(uuid.uuid4()), 0
    agent.report()
    until(lambda: heard.reports[-1][2]["boot"] == agent.boot)
    agent.boot, agent.sequence = old_boot, old_sequence + 100
    agent.report()
    until(lambda: "refused as replayed" in caplog.text)
    assert heard.reports[-1][2]["boot"] != old_boot


def test_lost_reports_are_no_trouble(redis_url, node, intake, heard):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    agent.sequence += 50
    agent.report()
    until(lambda: heard.sequences()[-1] == agent.sequence)


@pytest.mark.parametrize(
    "forged",
    [{"g": "AAAA"}, {"p": '{"version":2}'}, {"s": 10**6}, {"b": str(uuid.UUID(int=1))}],
    ids=["signature", "payload", "sequence", "boot"],
)
def test_forged_reports_are_refused_and_keep_nobody_fresh(
    redis_url, node, intake, heard, caplog, quick, forged
):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    until(lambda: (agent.report(**forged), heard.statuses[-1] == ("spark-1", "offline"))[1])
    assert "refused as forged" in caplog.text
    agent.report()
    until(lambda: heard.statuses[-1] == ("spark-1", "online"))


@pytest.mark.parametrize("payload", ["[]", "5", "null"])
def test_signed_nonsense_is_refused(redis_url, node, intake, heard, caplog, payload):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    count = len(heard.reports)
    agent.report([] if payload == "[]" else 5 if payload == "5" else "text")
    until(lambda: "refused as malformed" in caplog.text)
    assert len(heard.reports) == count


def test_a_wrong_clock_on_the_node_changes_nothing(redis_url, node, intake, heard, quick):
    """Freshness and order are control's affair: a node an hour off is online like any other."""
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    for hours in (-1, 1, 0):
        agent.report({"version": 1, "sampled_at": time.time() + 3600 * hours})
        until(lambda: heard.sequences()[-1] == agent.sequence)
    assert set(heard.statuses) == {("spark-1", "online")}


def test_silence_is_stale_then_offline_then_over(redis_url, node, intake, heard, quick):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    until(lambda: heard.statuses[-1] == ("spark-1", "offline"))
    agent.report()
    until(lambda: heard.statuses[-1] == ("spark-1", "online"))
    assert heard.statuses == [
        ("spark-1", "online"), ("spark-1", "stale"), ("spark-1", "offline"), ("spark-1", "online")
    ]  # fmt: skip


def test_the_real_limits_are_six_and_ten_seconds():
    state = NodeState("n", "", public_key_load(key_pair_make()[1]), known_at=0.0)
    assert [state.status(t) for t in (0, 9.9, 10)] == ["", "", "offline"]
    state.heard_at = 100.0
    assert [state.status(100 + t) for t in (0, 5.9, 6, 9.9, 10)] == (
        ["online", "online", "stale", "stale", "offline"]
    )


def test_a_node_never_heard_is_offline_after_a_while(redis_url, node, intake, heard, quick):
    node("spark-1", redis_url)
    intake(redis_url)
    until(lambda: heard.statuses == [("spark-1", "offline")])


def test_a_revoked_key_ends_it_at_once_and_a_new_node_begins_at_once(
    redis_url, node, intake, heard, settings, caplog
):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    NodeKey.objects.filter(node_name="spark-1").update(revoked_at=timezone.now())
    until(lambda: heard.statuses[-1] == ("spark-1", "offline"))
    count = len(heard.reports)
    agent.report()
    other = node("spark-2", redis_url)
    until(lambda: (other.report(), online(heard, "spark-2"))[1])
    assert len([1 for name, *_ in heard.reports if name == "spark-1"]) == count
    assert "its key is revoked" in caplog.text


def test_the_intake_is_told_of_changed_keys(redis_url, node, intake, heard, settings, monkeypatch):
    """Without waiting for the regular look, which is switched off here."""
    monkeypatch.setattr("sparkweb.node_link.intake.NODES_REFRESH_SECONDS", 3600.0)
    streams = Streams(redis_url)
    monkeypatch.setattr(commands, "shared_streams", lambda: streams)
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    key = NodeKey.objects.get()
    key.revoked_at = timezone.now()
    key.save()
    until(lambda: heard.statuses[-1] == ("spark-1", "offline"), 5)


def test_a_renewed_key_replaces_the_old_one(redis_url, node, intake, heard, caplog):
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    NodeKey.objects.update(public_key=key_pair_make()[1])
    until(lambda: (agent.report(), "refused as forged" in caplog.text)[1])


def test_a_damaged_public_key_hurts_its_node_alone(redis_url, node, intake, heard, caplog):
    NodeKey.objects.create(node_name="spark-9", public_key="garbage")
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    assert "spark-9: public key 'garbage'" in caplog.text


def test_a_listener_that_raises_stops_nothing(redis_url, node, intake, heard, caplog):
    def broken(*_):
        raise RuntimeError("template missing")

    registry.report_listeners.insert(0, broken)
    registry.report_handlers["version"] = broken
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    agent.report()
    until(lambda: heard.sequences()[-1] == agent.sequence)
    assert caplog.text.count("template missing") <= 4, "logged once a minute, not once a second"


def test_a_status_that_could_not_be_stored_is_told_again(redis_url, node, intake, heard):
    tries = []

    def troubled(node_name, status):
        tries.append(status)
        if len(tries) == 1:
            raise OperationalError("database is locked")

    registry.status_listeners[:] = [troubled]
    agent = node("spark-1", redis_url)
    intake(redis_url)
    begin(agent, heard)
    until(lambda: (agent.report(), tries == ["online", "online"])[1])


def test_a_flooding_node_starves_nobody(redis_url, shared_redis, node, intake, heard):
    """One node sends garbage and a thousand valid reports at once; the other's next report is not late."""
    flood, quiet = node("spark-1", redis_url), node("spark-2", redis_url)
    intake(redis_url)
    begin(flood, heard)
    pipe = shared_redis.client().pipeline()
    for _ in range(3_000):
        pipe.xadd("sparkweb:report:spark-1", {"d": "{" * 2_000})
        pipe.xadd("sparkweb:from:spark-1", {"d": "{" * 2_000})
    pipe.execute()
    for _ in range(1_000):
        flood.report()
    quiet.start()
    for n in range(1, 4):
        quiet.report()
        quiet.note(n)
        until(lambda: heard.sequences("spark-2")[-1:] == [quiet.sequence], 5)
        until(lambda: quiet.journal.count() == 0, 5)
    assert numbers_noted("spark-2") == [1, 2, 3]


def test_a_budget_lets_bursts_through_and_slows_floods():
    budget, taken, now = Budget(rate=10, burst=20), 0, 100.0
    for _ in range(1_000):
        now += 0.01
        if budget.wait_seconds(now) == 0:
            budget.spend()
            taken += 1
    assert taken == pytest.approx(20 + 10 * 10, abs=3)
