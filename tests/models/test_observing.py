"""What becomes of a launch when its node tells facts: exits, crashes, backoff, late and foreign facts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from models_app import attempts, observing, services
from models_app.models import Launch, LaunchMember, LaunchState
from models_app.observing import Observations
from models_app.reconcile import Reconciler
from models_app.transitions import launch_move
from tests.factories import DefinitionFactory, NodeFactory

S = LaunchState
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def launch(node, someone, nudges) -> Launch:  # type: ignore[no-untyped-def]
    return services.launch_create(definition=DefinitionFactory(), node=node, actor=someone)[0]


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> Observations:
    """What control has seen, of this test alone."""
    fresh = Observations()
    monkeypatch.setattr(observing, "OBSERVED", fresh)
    return fresh


def member_of(launch: Launch) -> LaunchMember:
    return LaunchMember.objects.get(attempt__launch=launch, live=True)


def crash(launch: Launch, **data: object) -> Launch:
    fact = {
        "member": member_of(launch).uid,
        "exit_code": 1,
        "reason": "exited with code 1: no such flag",
    } | data
    observing.container_exited(launch.node_name, fact)
    launch.refresh_from_db()
    return launch


def test_an_exit_before_ready_is_a_failure_with_its_reason_and_log(launch: Launch) -> None:
    member = member_of(launch)
    crash(launch, log_tail="line\nno such flag\n")
    member.refresh_from_db()
    assert (launch.state, launch.failure_code) == (S.FAILED, "exited")
    assert launch.failure_reason == "exited with code 1: no such flag"
    assert (member.exit_code, member.last_log) == (1, "line\nno such flag\n")


def test_readiness_told_by_a_fact_does_not_wait_for_a_report(launch: Launch, observed: Observations) -> None:
    member = member_of(launch)
    entry = {
        "member": member.uid,
        "generation": launch.generation,
        "phase": "running",
        "probe": {"ready": True},
    }
    observed.report(launch.node_name, [], True)
    observed.changed.clear()
    with transaction.atomic():
        observing.container_ready(launch.node_name, entry)
        assert not observed.changed.is_set()
    assert observed.changed.is_set()
    Reconciler(observed).launch_reconcile()
    launch.refresh_from_db()
    assert launch.state == S.READY


@pytest.mark.parametrize("other", [{"generation": 0}, {"member": "0" * 16}])
def test_readiness_of_an_older_generation_or_another_member_counts_nothing(
    launch: Launch, observed: Observations, other: dict[str, object]
) -> None:
    observed.report(launch.node_name, [], True)
    entry = {"member": member_of(launch).uid, "generation": launch.generation, "phase": "running"}
    observing.container_ready(launch.node_name, entry | {"probe": {"ready": True}} | other)
    assert observed.nodes[launch.node_name].members == {}


def test_out_of_memory_is_named(launch: Launch) -> None:
    crash(launch, exit_code=137, oom_killed=True, reason="killed: out of memory")
    assert launch.failure_code == "out_of_memory"


def test_a_refused_start_fails_with_the_nodes_sentence(launch: Launch) -> None:
    sentence = "port 8100 is used by nginx (process 812)"
    fact = {"member": member_of(launch).uid, "code": "port_in_use", "reason": sentence}
    observing.start_refused(launch.node_name, fact)
    launch.refresh_from_db()
    assert (launch.state, launch.failure_code, launch.failure_reason) == (S.FAILED, "port_in_use", sentence)


def test_a_crash_after_ready_is_tried_again_with_backoff(launch: Launch) -> None:
    launch_move(launch, S.READY)
    crash(launch)
    assert launch.state == S.REQUESTED
    assert launch.live
    wait = (launch.retry_at - timezone.now()).total_seconds()
    assert 8 < wait <= 10


def test_three_failures_in_ten_minutes_park(launch: Launch) -> None:
    launch_move(launch, S.READY)
    for _ in range(2):
        crash(launch)
        assert attempts.attempt_again(launch, "again")
    crash(launch, reason="exited with code 1: CUDA error")
    assert (launch.state, launch.live) == (S.PARKED, False)
    assert "CUDA error" in launch.failure_reason
    assert launch.attempts.count() == 3


def test_old_failures_do_not_park(launch: Launch) -> None:
    launch_move(launch, S.READY)
    for _ in range(3):
        crash(launch)
        launch.attempts.update(ended_at=timezone.now() - timedelta(minutes=11))
        attempts.attempt_again(launch, "again")
    crash(launch)
    assert launch.state == S.REQUESTED


def test_without_restart_policy_a_crash_is_final(node, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    definition = DefinitionFactory(settings={"restart_policy": "no"})
    launch, _ = services.launch_create(definition=definition, node=node, actor=someone)
    launch_move(launch, S.READY)
    assert crash(launch).state == S.FAILED


def test_a_late_fact_of_an_earlier_attempt_changes_nothing(launch: Launch) -> None:
    first = member_of(launch)
    launch_move(launch, S.READY)
    crash(launch)
    attempts.attempt_again(launch, "again")
    observing.container_exited(launch.node_name, {"member": first.uid, "exit_code": 9})
    launch.refresh_from_db()
    assert launch.state == S.REQUESTED
    assert launch.attempts.count() == 2


def test_a_node_cannot_speak_for_another(launch: Launch) -> None:
    NodeFactory(name="spark-2")
    observing.container_exited("spark-2", {"member": member_of(launch).uid, "exit_code": 1})
    launch.refresh_from_db()
    assert launch.state == S.REQUESTED


@pytest.mark.parametrize("data", [{}, {"member": None}, {"member": "x" * 5000}, {"member": 7}])
def test_facts_about_nobody_are_harmless(launch: Launch, data: dict[str, object]) -> None:
    for handler in observing.FACTS.values():
        handler(launch.node_name, data)
    launch.refresh_from_db()
    assert launch.state == S.REQUESTED


def test_odd_values_in_a_fact_are_kept_out(launch: Launch) -> None:
    member = member_of(launch)
    crash(launch, started_at="yesterday", finished_at=1e300, log_tail="a\0b")
    member.refresh_from_db()
    assert (member.started_at, member.finished_at) == (None, None)
    assert "\0" not in member.last_log
