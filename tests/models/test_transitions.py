"""The state machine of a launch: what it allows, what it refuses, what it writes."""

from __future__ import annotations

import pytest

from models_app.models import ENDED_STATES, Launch, LaunchState, Outcome
from models_app.transitions import launch_move, step_is_possible
from tests.factories import MemberFactory

S = LaunchState
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("source", "target", "possible"),
    [
        (S.REQUESTED, S.PULLING, True),
        (S.REQUESTED, S.READY, True),  # a short start can fall between two reports
        (S.PULLING, S.STARTING, True),
        (S.LOADING, S.STARTING, False),
        (S.READY, S.LOADING, False),
        (S.READY, S.DEGRADED, True),
        (S.DEGRADED, S.READY, True),
        (S.LOADING, S.DEGRADED, False),
        (S.READY, S.LOST, True),
        (S.LOST, S.READY, True),
        (S.LOST, S.LOADING, True),
        (S.STOPPING, S.READY, False),
        (S.STOPPING, S.LOST, False),
        (S.STOPPING, S.STOPPED, True),
        (S.READY, S.REQUESTED, True),  # a new attempt
        (S.READY, S.READY, False),
    ],
)
def test_steps(source: str, target: str, possible: bool) -> None:
    assert step_is_possible(source, target) is possible


@pytest.mark.parametrize("ended", ENDED_STATES)
@pytest.mark.parametrize("target", list(S))
def test_an_ended_launch_is_never_revived(ended: str, target: str) -> None:
    assert not step_is_possible(ended, target)


def test_every_live_state_can_be_stopped_and_can_fail() -> None:
    for state in set(S) - set(ENDED_STATES) - {S.STOPPING}:
        assert step_is_possible(state, S.STOPPING)
        assert step_is_possible(state, S.FAILED)


def test_a_stale_generation_is_refused() -> None:
    launch = MemberFactory().attempt.launch
    Launch.objects.filter(pk=launch.pk).update(generation=2)
    assert not launch_move(launch, S.LOADING)
    assert not launch.events.exists()


def test_a_state_that_moved_on_meanwhile_is_refused() -> None:
    launch = MemberFactory().attempt.launch
    Launch.objects.filter(pk=launch.pk).update(state=S.STOPPING)
    assert not launch_move(launch, S.READY)


def test_ready_is_stamped_on_launch_and_attempt() -> None:
    member = MemberFactory()
    launch = member.attempt.launch
    assert launch_move(launch, S.READY, message="Ready")
    member.attempt.refresh_from_db()
    assert launch.ready_at is not None
    assert member.attempt.ready_at is not None
    event = launch.events.get()
    assert (event.from_state, event.to_state, event.message) == ("requested", "ready", "Ready")


def test_failing_closes_the_attempt_and_frees_port_and_definition() -> None:
    member = MemberFactory()
    launch = member.attempt.launch
    launch_move(launch, S.FAILED, failure_code="exited", failure_reason="exited with code 1")
    for row in (launch, member, member.attempt):
        row.refresh_from_db()
    assert (launch.live, member.live, member.attempt.outcome) == (False, False, Outcome.FAILED)
    assert launch.failure_reason == member.attempt.failure_reason == "exited with code 1"
