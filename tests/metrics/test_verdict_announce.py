"""Verdicts outside: marks, alerts, API, Prometheus, and the models that they are about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError

from metrics_app import handlers
from metrics_app.alerts.shipped import rules_ship
from metrics_app.models import Node, NodeEvent
from metrics_app.models_alerts import Alert, AlertState
from metrics_app.prometheus.own import families_own
from metrics_app.prometheus.page import NodeView, page_text
from metrics_app.selectors import node_snapshot
from metrics_app.verdicts.announce import SETTLE_SECONDS, Announcer
from models_app import verdict_sources
from models_app.models import LaunchState
from sparkweb.accounts.models import User
from sparkweb.shared_streams import shared_streams
from tests.factories import AttemptFactory, LaunchFactory, MemberFactory, NodeFactory
from tests.support.verdict_data import Played, card, report

pytestmark = pytest.mark.django_db

WEDGED = {"utilization_percent": 96, "clock_sm_mhz": 507, "power_watts": 15.2}
HOT = {"throttle_reasons": ["power_cap"]}


@pytest.fixture(autouse=True)
def _redis(redis_url: str, settings: Any) -> Iterator[None]:
    settings.REDIS_URL = redis_url
    shared_streams.cache_clear()
    yield
    shared_streams.cache_clear()


def announcer(played: Played) -> Announcer:
    return Announcer(played.bench, clock=lambda: played.now)


def test_a_warning_is_a_mark_and_an_alert_and_ends() -> None:
    rules_ship()
    played = Played()
    told = announcer(played)
    played.play(25, spark=card(**WEDGED))
    told.announce("spark")
    told.announce("spark")
    assert NodeEvent.objects.get().message == "spark: GPU 0 is stuck at 507 MHz"
    alert = Alert.objects.get()
    assert (alert.rule_name, alert.series) == ("GPU stuck at a low clock", "verdict_gpu_wedge|0")
    played.play(20, spark=report())
    told.announce("spark")
    alert.refresh_from_db()
    assert alert.state == AlertState.RESOLVED


def test_what_is_only_told_leaves_no_mark() -> None:
    rules_ship()
    played = Played()
    played.play(30, spark=card(**HOT))
    announcer(played).announce("spark")
    assert played.kinds() == {"gpu_throttled"}
    assert not NodeEvent.objects.exists()
    assert not Alert.objects.exists()


def test_a_database_that_is_away_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played()
    told = announcer(played)
    played.play(25, spark=card(**WEDGED))

    def away(*_args: Any) -> None:
        raise DatabaseError("away")

    with monkeypatch.context() as patch:
        patch.setattr("metrics_app.verdicts.announce.event_note", away)
        with pytest.raises(DatabaseError):
            told.announce("spark")
    told.announce("spark")
    assert NodeEvent.objects.count() == 1


def test_what_an_earlier_control_raised_and_is_over_ends() -> None:
    rules_ship()
    before = Played()
    before.play(25, spark=card(**WEDGED))
    announcer(before).announce("spark")
    after = Played()
    told = announcer(after)
    after.play(10, spark=report())
    told.announce("spark")
    assert Alert.objects.get().state == AlertState.FIRING
    after.now += SETTLE_SECONDS
    told.announce("spark")
    assert Alert.objects.get().state == AlertState.RESOLVED


def test_what_goes_on_over_a_restart_of_control_stays_one_alert() -> None:
    rules_ship()
    for _ in range(2):
        played = Played()
        told = announcer(played)
        told.announce("spark")
        played.play(int(SETTLE_SECONDS) + 30, spark=card(**WEDGED))
        told.announce("spark")
    assert Alert.objects.get().state == AlertState.FIRING


def test_snapshot_and_api_carry_them(viewer: User, client_of: Any) -> None:
    node = NodeFactory(name="spark-v")
    handlers.report_received(node.name, report(), {"boot": "b", "seq": 1, "received_at": 5.0})
    stored = node_snapshot(node.name)
    assert stored is not None
    assert stored["verdicts"]["found"] == []
    body = client_of(viewer).get(f"/api/nodes/{node.name}/snapshot/").json()
    assert body["verdicts"]["memory"]["headroom_bytes"] > 0


def test_figures_are_shown_when_nobody_can_say_what_they_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any) -> None:
        raise ZeroDivisionError

    node = NodeFactory(name="spark-w")
    monkeypatch.setattr(handlers.BENCH, "take", broken)
    handlers.report_received(node.name, report(), {"boot": "b", "seq": 1, "received_at": 5.0})
    stored = node_snapshot(node.name)
    assert stored is not None
    assert stored["verdicts"] is None
    assert stored["report"]["host"]


def test_prometheus_has_one_for_each_kind() -> None:
    played = Played()
    two = report()
    two["gpus"] = [gpu | WEDGED for gpu in (two["gpus"][0], two["gpus"][0] | {"index": 1})]
    told = played.play(30, spark=two)
    assert len(told["found"]) == 2
    text = page_text(families_own([NodeView("spark", "online", two, told)])).decode()
    assert text.count('sparkweb_verdict{kind="gpu_wedge",node="spark"} 1.0') == 1


def test_models_of_several_nodes_and_their_members() -> None:
    launch = LaunchFactory(state=LaunchState.READY)
    attempt = AttemptFactory(launch=launch)
    nodes: list[Node] = [NodeFactory(name="spark-a"), NodeFactory(name="spark-b")]
    members = [MemberFactory(attempt=attempt, node=node, rank=rank) for rank, node in enumerate(nodes)]
    (group,) = verdict_sources.groups_read()
    assert (group.slug, group.nodes) == (launch.definition_slug, ("spark-a", "spark-b"))
    assert verdict_sources.model_of(members[1].uid) == launch.definition_slug
    assert verdict_sources.model_of("nobody") is None
    launch.state = LaunchState.STARTING
    launch.save()
    assert verdict_sources.groups_read() == []
