"""What people and clocks do to a launch while it runs: definition edited or deleted, time set back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from metrics_app.models import Node
from models_app import schedules
from models_app.exceptions import LaunchRefused
from models_app.models import Launch, LaunchMember, LaunchState, ModelDefinition, Schedule, Turn
from models_app.observing import FACTS, OBSERVED
from models_app.reconcile import Reconciler, retry_due
from models_app.services import definition_delete, definition_save, launch_create, launch_restart, launch_stop
from models_app.transitions import launch_move
from sparkweb.accounts.actor import SYSTEM
from sparkweb.outbox import services as outbox
from sparkweb.outbox.models import Notice
from tests.factories import DefinitionFactory

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def running(
    node: Node, nudges: list[Any], memory: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Launch:
    """A launch that is ready, of the definition `m`."""
    memory(100)
    monkeypatch.setattr(OBSERVED, "nodes", {})
    launch, _ = launch_create(
        definition=DefinitionFactory(slug="m", settings={"max_model_len": 1000}), node=node, actor=SYSTEM
    )
    launch_move(launch, LaunchState.LOADING)
    launch_move(launch, LaunchState.READY)
    return launch


def member_of(launch: Launch) -> LaunchMember:
    return LaunchMember.objects.filter(attempt__launch=launch).latest("pk")


def dies(launch: Launch) -> Launch:
    """Its container ends as its node tells it."""
    member = member_of(launch)
    FACTS["container_exited"](
        "spark-1",
        {"member": member.uid, "launch": launch.uid, "generation": launch.generation, "exit_code": 1},
    )
    launch.refresh_from_db()
    return launch


def again(launch: Launch) -> Launch:
    """The time of its next attempt has come."""
    Launch.objects.filter(pk=launch.pk).update(retry_at=timezone.now())
    Reconciler(OBSERVED).launch_reconcile()
    launch.refresh_from_db()
    return launch


def test_edited_while_it_runs_it_keeps_its_settings_until_the_next_attempt(running: Launch) -> None:
    definition = running.definition
    assert definition is not None
    first = member_of(running).spec["command"]
    definition.settings = {"max_model_len": 2000}
    definition_save(definition=definition, actor=SYSTEM)
    Reconciler(OBSERVED).launch_reconcile()
    assert member_of(running).spec["command"] == first
    again(dies(running))
    assert "2000" in member_of(running).spec["command"]
    assert running.state == LaunchState.REQUESTED


def test_disabled_while_it_runs_it_runs_on_and_comes_back_but_nothing_new_starts(
    running: Launch, node: Node
) -> None:
    definition = running.definition
    assert definition is not None
    definition.enabled = False
    definition_save(definition=definition, actor=SYSTEM)
    again(dies(running))
    assert (running.live, running.attempts.count()) == (True, 2)
    launch_stop(launch=running, actor=SYSTEM)
    dies(running)
    assert running.state == LaunchState.STOPPED
    with pytest.raises(LaunchRefused, match="is disabled"):
        launch_create(definition=definition, node=node, actor=SYSTEM)


def test_deleted_while_it_runs_is_refused(running: Launch) -> None:
    assert running.definition is not None
    with pytest.raises(LaunchRefused, match="stop it first"):
        definition_delete(definition=running.definition, actor=SYSTEM)


def test_deleted_in_the_database_it_runs_on_stops_and_says_why_it_does_not_come_back(
    running: Launch,
) -> None:
    ModelDefinition.objects.filter(slug="m").delete()
    running.refresh_from_db()
    Reconciler(OBSERVED).launch_reconcile()
    assert Launch.objects.get().state == LaunchState.READY
    assert dies(running).state == LaunchState.FAILED


def test_deleted_in_the_database_a_restart_is_told_once_it_has_ended(running: Launch) -> None:
    ModelDefinition.objects.filter(slug="m").delete()
    running.refresh_from_db()
    launch_restart(launch=running, actor=SYSTEM)
    dies(running)
    assert (running.state, running.failure_code) == (LaunchState.FAILED, "definition_gone")


@pytest.mark.parametrize(
    ("after", "due"), [(-1, True), (0, True), (1, False), (300, False), (301, True), (86400, True)]
)
def test_a_retry_does_not_wait_for_a_clock_that_was_set_back(after: int, due: bool) -> None:
    assert retry_due(NOW + timedelta(seconds=after), NOW) is due


def test_a_notice_does_not_wait_for_a_clock_that_was_set_back() -> None:
    for seconds in (60, 21600, 21601, 90000):
        outbox.notice_add(channel="x", recipient=str(seconds), subject="", payload={})
        Notice.objects.filter(recipient=str(seconds)).update(next_at=NOW + timedelta(seconds=seconds))
    assert [notice.recipient for notice in outbox.notices_due(NOW)] == ["21601", "90000"]


def test_draining_does_not_wait_for_a_clock_that_was_set_back(running: Launch, node: Node) -> None:
    night = Schedule(name="Night", node=node, days=list(range(7)), starts_at="00:00", ends_at="00:00")
    night.full_clean()
    schedules.schedule_save(schedule=night, actor=SYSTEM, definitions=[])
    schedules.schedules_round(NOW)
    Turn.objects.update(began_at=NOW + timedelta(days=3))
    schedules.schedules_round(NOW)
    schedules.schedules_round(NOW + timedelta(minutes=5))
    running.refresh_from_db()
    assert running.desired == "stopped"
