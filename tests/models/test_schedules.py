"""Schedules and start on boot, carried out against a clock that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from metrics_app.models import Node
from models_app import schedules
from models_app.models import Launch, LaunchState, ModelDefinition, Schedule, Turn
from models_app.observing import OBSERVED
from models_app.services import launch_create, launch_stop
from models_app.transitions import launch_move
from sparkweb.accounts.actor import SYSTEM
from tests.factories import DefinitionFactory, NodeFactory

pytestmark = pytest.mark.django_db
MONDAY = datetime(2026, 11, 30, tzinfo=UTC)


def at(hour: float, day: int = 0) -> datetime:
    return MONDAY + timedelta(days=day, hours=hour)


@pytest.fixture(autouse=True)
def _room(memory: Callable[..., None], nudges: list[Any]) -> None:
    memory(100)


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what the engine of a launch reports of its work."""
    monkeypatch.setattr(OBSERVED, "nodes", {})

    def report(launch: Launch, running: float | None, tokens: float | None = 10) -> None:
        figures = {
            "requests_running": running,
            "requests_waiting": None if running is None else 0,
            "prompt_tokens_total": tokens,
            "generation_tokens_total": tokens,
        }
        member = launch.attempts.first().members.first()
        entry = {"member": member.uid, "phase": "running", "engine": figures}
        OBSERVED.report(launch.node_name, [entry], True)

    return report


def schedule(
    name: str, node: Node, hours: tuple[str, str], *definitions: ModelDefinition, **more: Any
) -> Schedule:
    row = Schedule(name=name, node=node, days=list(range(7)), starts_at=hours[0], ends_at=hours[1], **more)
    row.full_clean()
    return schedules.schedule_save(schedule=row, actor=SYSTEM, definitions=list(definitions))


def live() -> dict[str, str]:
    return dict(Launch.objects.filter(live=True).values_list("definition_slug", "desired"))


def launch_of(definition: ModelDefinition) -> Launch:
    return Launch.objects.filter(definition=definition).latest("pk")


def becomes(definition: ModelDefinition, *states: str) -> None:
    for state in states:
        assert launch_move(launch_of(definition), state)


def ready(definition: ModelDefinition) -> None:
    becomes(definition, LaunchState.LOADING, LaunchState.READY)


def stopped(definition: ModelDefinition) -> None:
    becomes(definition, LaunchState.STOPPED)


def steps() -> list[tuple[str, str, str]]:
    turn = Turn.objects.first()
    assert turn is not None
    return [(step["do"], step["definition"], step["state"]) for step in turn.steps]


@pytest.fixture
def day_model() -> ModelDefinition:
    return DefinitionFactory(slug="by-day")


@pytest.fixture
def night_model() -> ModelDefinition:
    return DefinitionFactory(slug="by-night")


def test_day_gives_way_to_night_drained_first(
    node: Node, day_model: ModelDefinition, night_model: ModelDefinition, reported: Callable[..., None]
) -> None:
    schedule("Day", node, ("08:00", "20:00"), day_model)
    schedule("Night", node, ("20:00", "08:00"), night_model, drain_minutes=10)
    schedules.schedules_round(at(9))
    ready(day_model)
    schedules.schedules_round(at(9.1))
    assert Turn.objects.get().ended_at == at(9.1)

    reported(launch_of(day_model), running=2)
    schedules.schedules_round(at(20))
    assert live() == {"by-day": "running"}
    reported(launch_of(day_model), running=0)
    schedules.schedules_round(at(20.05))
    assert live() == {"by-day": "stopped"}
    stopped(day_model)
    schedules.schedules_round(at(20.06))
    assert live() == {"by-night": "running"}
    ready(night_model)
    schedules.schedules_round(at(20.07))
    assert steps() == [("stop", "by-day", "done"), ("start", "by-night", "done")]
    events = launch_of(day_model).events.filter(kind="drained")
    assert [event.message for event in events] == ["No request was running"]
    assert launch_of(night_model).events.last().message == "Start requested by schedule Night"


@pytest.mark.parametrize(
    ("running", "said"),
    [
        (3, "Stopped after 5 min; requests still at work: 3"),
        (None, "Stopped after 5 min: how many requests ran is not known"),
    ],
)
def test_draining_has_a_limit(
    node: Node, day_model: ModelDefinition, reported: Callable[..., None], running: float | None, said: str
) -> None:
    launch_create(definition=day_model, node=node, actor=SYSTEM)
    ready(day_model)
    reported(launch_of(day_model), running=running)
    schedule("Night", node, ("20:00", "08:00"))
    schedules.schedules_round(at(20))
    schedules.schedules_round(at(20) + timedelta(minutes=4, seconds=59))
    assert live() == {"by-day": "running"}
    schedules.schedules_round(at(20) + timedelta(minutes=5))
    assert live() == {"by-day": "stopped"}
    assert launch_of(day_model).events.filter(kind="drained").get().message == said


def test_starts_come_one_at_a_time(node: Node) -> None:
    models = [DefinitionFactory(slug=f"m{number}") for number in range(3)]
    schedule("Day", node, ("08:00", "20:00"), *models)
    for number, model in enumerate(models):
        schedules.schedules_round(at(9))
        schedules.schedules_round(at(9))
        assert len(live()) == number + 1
        ready(model)
    schedules.schedules_round(at(9))
    assert Turn.objects.get().ended_at


def test_a_start_waits_for_memory_and_then_gives_up(
    node: Node, day_model: ModelDefinition, memory: Callable[..., None]
) -> None:
    memory(0.5)
    schedule("Day", node, ("08:00", "20:00"), day_model)
    schedules.schedules_round(at(9))
    assert steps() == [("start", "by-day", "waiting")]
    memory(100)
    schedules.schedules_round(at(9) + timedelta(seconds=30))
    assert steps() == [("start", "by-day", "asked")]
    Turn.objects.all().delete()
    Launch.objects.all().delete()
    memory(0.5)
    schedules.schedules_round(at(9))
    schedules.schedules_round(at(9) + timedelta(minutes=2))
    turn = Turn.objects.get()
    assert turn.ended_at
    assert turn.steps[0]["state"] == "failed"
    assert "GiB" in turn.steps[0]["message"]


def test_a_node_that_is_away_is_waited_for(node: Node, day_model: ModelDefinition) -> None:
    Node.objects.filter(pk=node.pk).update(status="offline")
    schedule("Day", node, ("08:00", "20:00"), day_model)
    schedules.schedules_round(at(9))
    schedules.schedules_round(at(12))
    assert live() == {}
    Node.objects.filter(pk=node.pk).update(status="online")
    schedules.schedules_round(at(12.1))
    assert live() == {"by-day": "running"}


def test_a_change_by_hand_holds_until_the_next_boundary(
    node: Node, day_model: ModelDefinition, night_model: ModelDefinition
) -> None:
    schedule("Day", node, ("08:00", "20:00"), day_model)
    schedules.schedules_round(at(9))
    ready(day_model)
    schedules.schedules_round(at(9.1))
    launch_stop(launch=launch_of(day_model), actor=SYSTEM)
    stopped(day_model)
    launch_create(definition=night_model, node=node, actor=SYSTEM)
    ready(night_model)
    for hour in (10, 15, 19.9):
        schedules.schedules_round(at(hour))
    assert live() == {"by-night": "running"}
    schedules.schedules_round(at(20))
    assert live() == {"by-night": "running"}, "nothing exclusive begins, and nobody's schedule started it"
    schedules.schedules_round(at(8, day=1))
    schedules.schedules_round(at(8, day=1) + timedelta(minutes=5))
    assert live() == {"by-night": "stopped"}


def test_a_restart_of_control_repeats_nothing(node: Node, day_model: ModelDefinition) -> None:
    """Nothing is kept in memory: a second round, and one after hours away, find the work done."""
    schedule("Day", node, ("08:00", "20:00"), day_model)
    for hour in (9, 9, 19):
        schedules.schedules_round(at(hour))
    assert (Turn.objects.count(), Launch.objects.count()) == (1, 1)


def test_what_was_missed_while_control_was_away_follows_from_the_clock(
    node: Node, day_model: ModelDefinition, night_model: ModelDefinition
) -> None:
    schedule("Day", node, ("08:00", "20:00"), day_model)
    schedule("Night", node, ("20:00", "08:00"), night_model)
    schedules.schedules_round(at(9))
    schedules.schedules_round(at(3, day=3))
    assert [turn.title for turn in Turn.objects.all()] == ["schedule Night", "schedule Day"]
    assert live() == {"by-day": "stopped"}


def test_a_clock_that_jumps_back_and_forth_ends_where_it_should(
    node: Node, day_model: ModelDefinition, night_model: ModelDefinition
) -> None:
    schedule("Day", node, ("08:00", "20:00"), day_model)
    schedule("Night", node, ("20:00", "08:00"), night_model)
    for hour in (9, 21, 9):
        schedules.schedules_round(at(hour))
        for model in (day_model, night_model):
            if Launch.objects.filter(definition=model, live=True, desired="stopped").exists():
                stopped(model)
        schedules.schedules_round(at(hour + 0.1))
    assert live() == {"by-day": "running"}


def test_an_additive_window_leaves_the_rest_and_takes_its_own_away(
    node: Node, day_model: ModelDefinition, night_model: ModelDefinition
) -> None:
    launch_create(definition=day_model, node=node, actor=SYSTEM)
    ready(day_model)
    schedule("Night", node, ("20:00", "08:00"), night_model, mode="additive", drain_minutes=0)
    schedules.schedules_round(at(21))
    ready(night_model)
    schedules.schedules_round(at(21.1))
    assert live() == {"by-day": "running", "by-night": "running"}
    schedules.schedules_round(at(8, day=1))
    assert live() == {"by-day": "running", "by-night": "stopped"}
    assert Turn.objects.first().title == "end of schedule Night"


def test_what_another_window_wants_stays(node: Node, day_model: ModelDefinition) -> None:
    schedule("Morning", node, ("06:00", "12:00"), day_model, drain_minutes=0)
    schedule("Afternoon", node, ("12:00", "18:00"), day_model)
    schedules.schedules_round(at(9))
    ready(day_model)
    schedules.schedules_round(at(12))
    assert live() == {"by-day": "running"}
    assert steps() == [("start", "by-day", "done")]


def test_pinned_models_are_left_alone(node: Node, day_model: ModelDefinition) -> None:
    ModelDefinition.objects.update(pinned=True)
    launch_create(definition=day_model, node=node, actor=SYSTEM)
    ready(day_model)
    schedule("Night", node, ("20:00", "08:00"), drain_minutes=0)
    schedules.schedules_round(at(21))
    assert live() == {"by-day": "running"}


def test_a_schedule_taken_away_stops_nothing(node: Node, day_model: ModelDefinition) -> None:
    for gone in ("disabled", "deleted"):
        row = schedule(gone, node, ("08:00", "20:00"), day_model, drain_minutes=0)
        schedules.schedules_round(at(9))
        if gone == "disabled":
            row.enabled = False
            schedules.schedule_save(schedule=row, actor=SYSTEM)
        else:
            schedules.schedule_delete(schedule=row, actor=SYSTEM)
        schedules.schedules_round(at(9.1))
        assert live() == {"by-day": "running"}


def test_a_schedule_that_is_changed_takes_effect_at_once(
    node: Node, day_model: ModelDefinition, night_model: ModelDefinition
) -> None:
    row = schedule("Day", node, ("08:00", "20:00"), day_model)
    schedules.schedules_round(at(9))
    schedules.schedule_save(schedule=row, actor=SYSTEM, definitions=[night_model])
    schedules.schedules_round(at(9.1))
    assert live() == {"by-day": "stopped"}
    stopped(day_model)
    schedules.schedules_round(at(9.2))
    assert live() == {"by-night": "running"}


def test_other_nodes_are_not_touched(node: Node, day_model: ModelDefinition) -> None:
    other = NodeFactory(name="spark-2", status="online")
    launch_create(definition=day_model, node=other, actor=SYSTEM)
    schedule("Night", node, ("20:00", "08:00"), drain_minutes=0)
    schedules.schedules_round(at(21))
    assert live() == {"by-day": "running"}


def test_a_definition_deleted_before_its_turn_is_told(node: Node, day_model: ModelDefinition) -> None:
    first = DefinitionFactory(slug="a-first")
    schedule("Day", node, ("08:00", "20:00"), first, day_model)
    schedules.schedules_round(at(9))
    waiting = next(step["definition"] for step in Turn.objects.get().steps if step["state"] == "waiting")
    started = next(step["definition"] for step in Turn.objects.get().steps if step["state"] == "asked")
    ModelDefinition.objects.get(slug=waiting).delete()
    ready(ModelDefinition.objects.get(slug=started))
    schedules.schedules_round(at(9.1))
    failed = [step["message"] for step in Turn.objects.get().steps if step["state"] == "failed"]
    assert failed == ["The definition was deleted"]


def test_a_failed_start_does_not_hold_up_the_next(node: Node) -> None:
    models = [DefinitionFactory(slug=f"m{number}") for number in range(2)]
    schedule("Day", node, ("08:00", "20:00"), *models)
    schedules.schedules_round(at(9))
    launch_move(launch_of(models[0]), LaunchState.FAILED, failure_reason="it broke")
    schedules.schedules_round(at(9))
    assert steps() == [("start", "m0", "failed"), ("start", "m1", "asked")]
    assert Turn.objects.get().steps[0]["message"] == "it broke"


@pytest.mark.parametrize("days", [[], [7], [-1], "0", [True], [0.5], ["1"], None])
def test_days_that_are_none_are_refused(node: Node, days: Any) -> None:
    row = Schedule(name="x", node=node, days=days, starts_at="08:00", ends_at="20:00")
    with pytest.raises(ValidationError):
        row.full_clean()


def test_old_turns_are_forgotten_but_not_the_one_that_holds(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "KEEP_TURNS", 2)
    holds = Turn.objects.create(node=node, cause="schedule", title="holds")
    for number in range(4):
        Turn.objects.create(node=node, cause="boot", title=str(number))
    schedules.turns_forget()
    assert [turn.title for turn in Turn.objects.all()] == ["3", "2", holds.title]


# Start on boot ------------------------------------------------------------------


def boots(node: Node, name: str, now: datetime) -> None:
    Node.objects.filter(pk=node.pk).update(host_boot=name)
    schedules.schedules_round(now)


def test_marked_models_start_when_their_node_has_booted(node: Node, day_model: ModelDefinition) -> None:
    ModelDefinition.objects.update(start_on_boot=True)
    boots(node, "one", at(1))
    assert live() == {}, "the first boot that is seen is no boot"
    boots(node, "two", at(2))
    assert live() == {"by-day": "running"}
    assert launch_of(day_model).events.last().message == "Start requested by start on boot"
    launch_stop(launch=launch_of(day_model), actor=SYSTEM)
    stopped(day_model)
    boots(node, "two", at(3))
    assert live() == {}


def test_what_ran_before_the_boot_comes_back_first(node: Node, day_model: ModelDefinition) -> None:
    ModelDefinition.objects.update(start_on_boot=True)
    boots(node, "one", at(1))
    before = DefinitionFactory(slug="before")
    launch_create(definition=before, node=node, actor=SYSTEM)
    boots(node, "two", at(2))
    assert live() == {"before": "running"}
    ready(before)
    boots(node, "two", at(2.1))
    assert live() == {"before": "running", "by-day": "running"}


def test_a_boot_starts_only_what_ran_there_last(node: Node, day_model: ModelDefinition) -> None:
    other = NodeFactory(name="spark-2", status="online")
    elsewhere, never = DefinitionFactory(slug="elsewhere"), DefinitionFactory(slug="never")
    ModelDefinition.objects.update(start_on_boot=True)
    boots(node, "one", at(1))
    for definition, where in ((elsewhere, other), (day_model, node)):
        launch, _ = launch_create(definition=definition, node=where, actor=SYSTEM)
        launch_stop(launch=launch, actor=SYSTEM)
        stopped(definition)
    boots(node, "two", at(2))
    assert live() == {"by-day": "running"}
    assert not Launch.objects.filter(definition=never).exists()


def test_a_schedule_decides_over_start_on_boot(
    node: Node, day_model: ModelDefinition, night_model: ModelDefinition
) -> None:
    ModelDefinition.objects.filter(slug="by-day").update(start_on_boot=True)
    boots(node, "one", at(1))
    schedule("Night", node, ("20:00", "08:00"), night_model)
    boots(node, "two", at(2))
    assert live() == {"by-night": "running"}
    assert Turn.objects.count() == 1


def test_disabled_models_do_not_start_on_boot(node: Node, day_model: ModelDefinition) -> None:
    ModelDefinition.objects.update(start_on_boot=True, enabled=False)
    boots(node, "one", at(1))
    boots(node, "two", at(2))
    assert live() == {}


# The page, the form and the API -------------------------------------------------


def posted(node: Node, **changes: Any) -> dict[str, Any]:
    fields = {
        "name": "Night",
        "node": node.pk,
        "starts_at": "20:00",
        "ends_at": "08:00",
        "mode": "exclusive",
        "drain_minutes": "5",
        "days": ["0", "4"],
        "enabled": "on",
    }
    return fields | changes


def test_a_schedule_from_its_form(
    node: Node, client_of: Any, admin: Any, viewer: Any, day_model: ModelDefinition
) -> None:
    client = client_of(admin)
    assert client.post("/schedules/new/", posted(node, definitions=[day_model.pk])).status_code == 302
    row = Schedule.objects.get()
    assert (row.days, row.when, list(row.definitions.all())) == (
        [0, 4],
        "Monday, Friday, 20:00 to 08:00",
        [day_model],
    )
    page = client_of(viewer).get("/schedules/").text
    assert page.count('class="week-bar"') == 4, "two nights, each cut at midnight"
    assert client.post(f"/schedules/{row.pk}/", posted(node, name="Late")).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.revision, row.definitions.count()) == ("Late", 2, 0)
    assert client.post(f"/schedules/{row.pk}/delete/").status_code == 302
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"days": []}, "Choose at least one day"),
        ({"days": ["7"]}, "Select a valid choice"),
        ({"starts_at": "25:00"}, "Enter a valid time"),
        ({"drain_minutes": "241"}, "less than or equal to 240"),
        ({"name": "a\0b"}, "Null characters are not allowed"),
    ],
)
def test_what_cannot_be_a_schedule_is_named(
    node: Node, client_of: Any, admin: Any, changes: dict[str, Any], said: str
) -> None:
    assert said in client_of(admin).post("/schedules/new/", posted(node, **changes)).text
    assert not Schedule.objects.exists()


def test_a_schedule_and_its_turns_by_the_api(
    node: Node, client_of: Any, admin: Any, day_model: ModelDefinition
) -> None:
    client, json = client_of(admin), "application/json"
    body = {
        "name": "Day",
        "node": node.name,
        "days": [0, 1],
        "starts_at": "08:00",
        "ends_at": "20:00",
        "definitions": [day_model.slug],
    }
    made = client.post("/api/schedules", body, content_type=json)
    assert (made.status_code, made.json()["mode"]) == (201, "exclusive")
    path = f"/api/schedules/{made.json()['id']}"
    assert client.patch(path, {"days": []}, content_type=json).status_code == 400
    assert client.patch(path, {"name": "Days"}, content_type=json).json()["definitions"] == ["by-day"]
    schedules.schedules_round(at(9))
    turn = client.get("/api/turns").json()["results"][0]
    assert (turn["title"], turn["steps"][0]["definition"], turn["steps"][0]["state"]) == (
        "schedule Days",
        "by-day",
        "asked",
    )
    assert client.delete(path).status_code == 204
