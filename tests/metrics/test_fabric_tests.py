"""Tests of the fabric as rows: asked for, told of by both nodes, judged, given up, daily; pages and API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from metrics_app.fabric import selectors
from metrics_app.fabric.rounds import FabricRounds, daily_tests
from metrics_app.fabric.services import (
    FabricRefused,
    fabric_prune,
    fabric_step_told,
    fabric_test_create,
)
from metrics_app.models import Node, NodeStatus
from metrics_app.models_alerts import Alert, AlertRule, AlertState
from metrics_app.models_fabric import FabricTest, FabricTestState
from metrics_app.node_events import events_between
from sparkweb.accounts.actor import SYSTEM, Actor
from sparkweb.accounts.models import AuditEntry, User
from sparkweb.node_link import commands
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory, NodeFactory
from tests.metrics.test_fabric_verdict import healthy, sick

pytestmark = pytest.mark.django_db
Nudges = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def nudges(monkeypatch: pytest.MonkeyPatch) -> Nudges:
    """Every question sent to a node."""
    sent: Nudges = []

    def send(node_name: str, task: str, **arguments: Any) -> bool:
        question = arguments.get("question") or arguments | {"kind": task}
        sent.append((node_name, question))
        return True

    monkeypatch.setattr(commands, "send", send)
    return sent


@pytest.fixture
def pair(db: None) -> list[Node]:
    return [
        NodeFactory(
            name=f"spark-{number}",
            status=NodeStatus.ONLINE,
            fabric_address=f"192.168.100.{number + 9}",
            fabric_twin_address=f"192.168.101.{number + 9}",
        )
        for number in (1, 2)
    ]


def begin(pair: list[Node], **more: Any) -> FabricTest:
    return fabric_test_create(nodes=pair, actor=SYSTEM, **more)


def tell(test: FabricTest, steps: list[dict[str, Any]]) -> FabricTest:
    """Both nodes tell what they told in these steps."""
    for number, step in enumerate(steps):
        for name, answer in step["answers"].items():
            fabric_step_told(name, {"test": test.uid, "step": number, "answer": answer})
    test.refresh_from_db()
    return test


def refusal(pair: list[Node], **more: Any) -> str:
    with pytest.raises(FabricRefused) as refused:
        begin(pair, **more)
    return refused.value.code


def spanning_launch(pair: list[Node]) -> None:
    """A live model that lies over both nodes."""
    attempt = AttemptFactory(launch=LaunchFactory(definition=DefinitionFactory(slug="large"), node=pair[0]))
    for rank, node in enumerate(pair):
        MemberFactory(attempt=attempt, node=node, rank=rank, port=8100 + rank)


# A test's life ----------------------------------------------------------------------


def test_steps_follow_each_other_until_the_verdict(
    pair: list[Node], nudges: Nudges, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        test = begin(pair)
    assert [(name, asked["kind"], asked["step"]) for name, asked in nudges] == [
        ("spark-1", "echo", 0),
        ("spark-2", "echo", 0),
    ]
    nudges.clear()
    with django_capture_on_commit_callbacks(execute=True):
        tell(test, healthy()[:1])
    assert [(name, asked["kind"], asked["step"]) for name, asked in nudges] == [
        ("spark-1", "measure", 1),
        ("spark-2", "serve", 1),
    ]
    tell(test, healthy())
    assert (test.state, test.tone, test.cause, test.gbits) == (FabricTestState.DONE, "good", "ok", 190.0)
    assert test.ended_at is not None
    assert AuditEntry.objects.filter(action="fabric_test").count() == 1


def test_what_comes_twice_late_or_from_a_stranger_changes_nothing(pair: list[Node], nudges: Nudges) -> None:
    test = begin(pair)
    answer = healthy()[0]["answers"]["spark-1"]
    for name, uid, number in (("spark-3", test.uid, 0), ("spark-1", test.uid, 1), ("spark-1", "x\0", 0)):
        fabric_step_told(name, {"test": uid, "step": number, "answer": answer})
    test.refresh_from_db()
    assert (test.step, test.steps[0]["answers"]) == (0, {})
    for rail in (answer, {"rails": []}):
        fabric_step_told("spark-1", {"test": test.uid, "step": 0, "answer": rail})
    test.refresh_from_db()
    assert len(test.steps[0]["answers"]["spark-1"]["rails"]) == 2


def test_a_lost_nudge_is_sent_again_to_who_told_nothing(pair: list[Node], nudges: Nudges) -> None:
    test, now = begin(pair), [100.0]
    rounds = FabricRounds(clock=lambda: now[0])
    rounds.round()
    assert nudges == []
    fabric_step_told("spark-1", {"test": test.uid, "step": 0, "answer": {}})
    now[0] += 6
    rounds.round()
    assert [name for name, _ in nudges] == ["spark-2"]


def test_a_server_whose_client_failed_is_told_to_end(
    pair: list[Node], nudges: Nudges, django_capture_on_commit_callbacks: Any
) -> None:
    test = tell(begin(pair), healthy()[:1])
    answer = sick("port_blocked")[1]["answers"]["spark-1"]
    with django_capture_on_commit_callbacks(execute=True):
        fabric_step_told("spark-1", {"test": test.uid, "step": 1, "answer": answer})
    assert [(name, asked["kind"], asked["step"]) for name, asked in nudges] == [
        ("spark-2", "fabric.cancel", 1)
    ]


def test_a_node_that_stays_silent_ends_the_test(pair: list[Node], nudges: Nudges) -> None:
    test = begin(pair)
    fabric_step_told("spark-1", {"test": test.uid, "step": 0, "answer": healthy()[0]["answers"]["spark-1"]})
    FabricTest.objects.update(step_at=timezone.now() - timedelta(seconds=200))
    FabricRounds().round()
    test.refresh_from_db()
    assert (test.state, test.cause) == (FabricTestState.DONE, "silent")
    assert test.sentence.startswith("spark-2 told nothing")


def test_a_sick_link_raises_an_alert_that_a_good_test_ends(pair: list[Node], nudges: Nudges) -> None:
    AlertRule.objects.create(name="sick", kind="event", metric="fabric_bad")
    assert tell(begin(pair), sick("fault_13")).tone == "bad"
    alert = Alert.objects.get()
    assert (alert.state, alert.node_name) == (AlertState.FIRING, "spark-1")
    assert "The 13 Gbit/s fault" in alert.message
    tell(begin(pair), healthy())
    alert.refresh_from_db()
    assert alert.state == AlertState.RESOLVED


def test_charts_of_both_nodes_are_marked(pair: list[Node], nudges: Nudges) -> None:
    tell(begin(pair), sick("loss"))
    now = timezone.now().timestamp()
    marks = [
        mark for mark in events_between(["spark-2", "spark-9"], now - 60, now + 60) if mark.kind == "fabric"
    ]
    assert [(mark.node, mark.tone) for mark in marks] == [("spark-2", "bad")]
    assert "Packets are lost" in marks[0].title


def test_old_tests_go(pair: list[Node], nudges: Nudges) -> None:
    begin(pair)
    assert fabric_prune() == 0
    assert fabric_prune(timezone.now() + timedelta(days=731)) == 1


# Refusals ---------------------------------------------------------------------------


def test_what_is_refused(pair: list[Node], nudges: Nudges) -> None:
    first, second = pair
    assert refusal([first]) == "nodes_wanted"
    assert refusal([first, first]) == "nodes_wanted"
    assert refusal([first, NodeFactory(name="spark-3", status="online")]) == "no_fabric_address"
    crossed = NodeFactory(name="spark-4", status="online", fabric_twin_address="192.168.101.14")
    Node.objects.filter(pk=first.pk).update(fabric_twin_address=None)
    first.refresh_from_db()
    assert refusal([first, crossed]) == "no_fabric_address"
    away = NodeFactory(name="spark-5", status="offline", fabric_address="192.168.100.15")
    assert refusal([first, away]) == "node_away"
    begin(pair)
    assert refusal([second, first]) == "fabric_busy"


def test_a_model_over_both_nodes_is_not_disturbed_without_a_reason(
    pair: list[Node], nudges: Nudges, operator: User
) -> None:
    for node in pair:
        MemberFactory(attempt=AttemptFactory(launch=LaunchFactory(node=node)), node=node, port=9000)
    spanning_launch(pair)
    with pytest.raises(FabricRefused, match="large serves over this link") as refused:
        begin(pair, force_reason=" \0")
    assert (refused.value.code, refused.value.data) == ("model_serves", {"models": ["large"]})
    actor = Actor(operator, "operator", "page")
    test = fabric_test_create(nodes=pair, actor=actor, force_reason="it is slow\0 already")
    assert test.force_reason == "it is slow already"
    entry = AuditEntry.objects.get(action="fabric_test")
    assert (entry.detail["reason"], entry.detail["models"]) == ("it is slow already", ["large"])


def test_models_on_one_node_each_disturb_nobody(pair: list[Node], nudges: Nudges) -> None:
    for node in pair:
        MemberFactory(attempt=AttemptFactory(launch=LaunchFactory(node=node)), node=node, port=9000)
    assert begin(pair).force_reason == ""


# Daily ------------------------------------------------------------------------------


def test_each_link_is_tested_once_in_the_hour(pair: list[Node], nudges: Nudges, settings: Any) -> None:
    now = timezone.localtime()
    settings.FABRIC_DAILY_HOUR = -1
    assert daily_tests(now) == 0
    settings.FABRIC_DAILY_HOUR = now.hour
    assert (daily_tests(now), daily_tests(now)) == (1, 0)
    assert FabricTest.objects.get().scheduled
    assert daily_tests(now + timedelta(hours=1)) == 0


def test_the_daily_test_waits_while_a_model_serves(pair: list[Node], nudges: Nudges, settings: Any) -> None:
    spanning_launch(pair)
    now = timezone.localtime()
    settings.FABRIC_DAILY_HOUR = now.hour
    assert daily_tests(now) == 0


# Pages and API ----------------------------------------------------------------------

LINK = {"name": "enp1s0f0np0", "up": True, "mtu": 9000, "speed_mbps": 200000, "addresses": ["192.168.100.10"],
        "rdma": [{"name": "rocep1s0f0", "active": True, "gid_index": 3}]}  # fmt: skip
COUNTED = {"name": "enp1s0f0np0", "sent_bytes": 2**30, "received_bytes": 5, "errors": {"rx_dropped": 4},
           "rdma": [{"name": "rocep1s0f0", "sent_bytes": 7, "received_bytes": 8,
                     "errors": {"out_of_sequence": 3}}]}  # fmt: skip


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What spark-1 reported; of spark-2 there is nothing."""
    lan = {"name": "eth0", "up": True, "mtu": 1500, "speed_mbps": 1000, "addresses": ["10.0.0.1"], "rdma": []}
    report = {"agent": {"fabric": {"links": [lan, LINK]}}, "fabric": {"links": [COUNTED]}}
    found = {"spark-1": {"report": report}}
    monkeypatch.setattr(selectors, "node_snapshots", lambda names: {name: found.get(name) for name in names})


def test_the_page_shows_links_verdict_and_tests(
    pair: list[Node], nudges: Nudges, reports: None, client_of: Any, viewer: User, operator: User
) -> None:
    test = tell(begin(pair), sick("mtu_1500"))
    page = client_of(viewer).get("/fabric/").content.decode()
    for words in ("enp1s0f0np0", "rail 1", "200 Gbit/s", "out_of_sequence", "rx_dropped", "MTU 1500: rail 1",
                  "spark-2 has not reported its links"):  # fmt: skip
        assert words in page
    assert "eth0" not in page
    assert "Test a link" not in page
    assert "Test a link" in client_of(operator).get("/fabric/").content.decode()
    one = client_of(viewer).get(test.get_absolute_url()).content.decode()
    assert "93 of 93 echoes came back" in one
    assert client_of(viewer).get("/fabric/tests/0123/").status_code == 404


def test_a_running_test_is_polled_until_it_ends(
    pair: list[Node], nudges: Nudges, reports: None, client_of: Any, operator: User
) -> None:
    browser = client_of(operator)
    answer = browser.post("/fabric/tests/", {"first": "spark-1", "second": "spark-2"})
    assert answer["HX-Redirect"] == "/fabric/"
    test = FabricTest.objects.get()
    assert test.uid in browser.get("/fabric/").content.decode()
    part = browser.get(f"/fabric/running/?running={test.uid}")
    assert "Step 1 of 4" in part.content.decode()
    tell(test, healthy())
    assert browser.get(f"/fabric/running/?running={test.uid}")["HX-Redirect"] == "/fabric/"


def test_the_page_asks_for_a_reason(pair: list[Node], nudges: Nudges, client_of: Any, operator: User) -> None:
    spanning_launch(pair)
    form = {"first": "spark-1", "second": "spark-2"}
    refused = client_of(operator).post("/fabric/tests/", form)
    assert (refused.status_code, "force_reason" in refused.content.decode()) == (409, True)
    assert client_of(operator).post("/fabric/tests/", form | {"force_reason": "now"}).status_code == 200
    assert client_of(operator).post("/fabric/tests/", {"first": "a\0"}).status_code == 409


@pytest.mark.parametrize(
    "told", [None, [], "x", {}, {"links": None}, {"links": [3, {"name": 4}, {"up": True}]}]
)
def test_what_another_version_reports_is_no_trouble(
    told: Any, pair: list[Node], monkeypatch: pytest.MonkeyPatch, client_of: Any, viewer: User
) -> None:
    report = {"agent": {"fabric": told}, "fabric": told}
    monkeypatch.setattr(selectors, "node_snapshots", lambda names: {"spark-1": {"report": report}})
    assert client_of(viewer).get("/fabric/").status_code == 200
    assert client_of(viewer).get("/api/fabric/").status_code == 200


def test_without_nodes_the_page_says_what_to_do(client_of: Any, viewer: User) -> None:
    assert "No link to test yet" in client_of(viewer).get("/fabric/").content.decode()


def test_the_api_tells_links_and_tests(
    pair: list[Node], nudges: Nudges, reports: None, bearer: Any, operator: User
) -> None:
    client: Client = bearer(operator, "operate")
    first, second = client.get("/api/fabric/").json()
    assert (first["links"][0]["rail"], first["links"][0]["errors"]) == (1, {"rx_dropped": 4})
    assert first["links"][0]["rdma"][0]["errors"] == {"out_of_sequence": 3}
    assert (second["node"], second["links"]) == ("spark-2", None)

    def post(**data: Any) -> Any:
        return client.post("/api/fabric-tests/", data, content_type="application/json")

    made = post(nodes=["spark-2", "spark-1"])
    assert (made.status_code, made.json()["first_node"], made.json()["reference_gbits"]) == (
        202,
        "spark-2",
        104,
    )
    assert post(nodes=["spark-1", "spark-2"]).json()["code"] == "fabric_busy"
    assert post(nodes=["nowhere", "spark-2"]).status_code == 400
    assert post(nodes=["spark-1"]).status_code == 409
    uid = made.json()["uid"]
    assert client.get(f"/api/fabric-tests/{uid}/").json()["state"] == "running"
    assert client.get("/api/fabric-tests/?state=done").json()["results"] == []
