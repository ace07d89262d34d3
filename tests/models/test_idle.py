"""Idle unload: what counts as use, what is not known, and what is left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from models_app.idle import idle_unload
from models_app.models import Launch, LaunchState, ModelDefinition
from models_app.observing import Observations
from models_app.usage import IdleWatch, Use, use_of
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory

IDLE = Use(requests=0, tokens=100)


def figures(**changes: Any) -> dict[str, Any]:
    known = {
        "requests_running": 1,
        "requests_waiting": 2,
        "prompt_tokens_total": 30,
        "generation_tokens_total": 12,
    }
    return {"engine": known | changes}


@pytest.mark.parametrize(
    ("entries", "use"),
    [
        ([figures()], Use(3, 42)),
        ([None, {"engine": None}, figures()], Use(3, 42)),
        ([], Use(None, None)),
        ([None], Use(None, None)),
        ([figures(requests_waiting=None)], Use(None, 42)),
        ([figures(prompt_tokens_total=None)], Use(3, 12)),
        ([figures(prompt_tokens_total=None, generation_tokens_total=None)], Use(3, None)),
    ],
)
def test_use_of_a_launch(entries: list[Any], use: Use) -> None:
    assert use_of(entries) == use


@pytest.mark.parametrize(
    ("name", "looks", "idle"),
    [
        ("nothing happens", [IDLE, IDLE, IDLE], [0, 10, 20]),
        ("a request runs", [IDLE, Use(1, 100), IDLE], [0, 0, 10]),
        ("tokens moved between two looks", [IDLE, Use(0, 101), Use(0, 101)], [0, 0, 10]),
        ("the counter began anew", [IDLE, Use(0, 0), Use(0, 0)], [0, 0, 10]),
        ("figures are missing for a while", [IDLE, Use(None, None), IDLE], [0, None, 0]),
        ("tokens are not counted", [Use(0, None), Use(0, None)], [None, None]),
    ],
)
def test_time_without_use(name: str, looks: list[Use], idle: list[float | None]) -> None:
    watch = IdleWatch()
    assert [watch.idle_seconds("a", use, 10.0 * number) for number, use in enumerate(looks)] == idle


@pytest.fixture
def house(nudges: list[Any]) -> Callable[..., Launch]:
    def make(observed: Observations, engine: dict[str, Any] | None = None, **definition: Any) -> Launch:
        row = DefinitionFactory(**{"idle_minutes": 10} | definition)
        launch = LaunchFactory(definition=row, state=LaunchState.READY)
        member = MemberFactory(attempt=AttemptFactory(launch=launch))
        still = figures(requests_running=0, requests_waiting=0)["engine"]
        entry = {"member": member.uid, "phase": "running", "engine": still | (engine or {})}
        observed.report(launch.node_name, [entry], True)
        return launch

    return make


@pytest.mark.django_db
def test_a_model_that_nobody_uses_is_unloaded_and_its_history_says_why(house: Callable[..., Launch]) -> None:
    observed, watch = Observations(), IdleWatch()
    launch = house(observed)
    assert idle_unload(0, watch, observed) == []
    assert idle_unload(599, watch, observed) == []
    assert idle_unload(600, watch, observed) == [launch]
    launch.refresh_from_db()
    assert (launch.desired, launch.state) == ("stopped", "stopping")
    said = launch.events.filter(kind="idle_unload").get()
    assert said.message == "No request for 10 min: unloaded, as its definition says"
    assert idle_unload(1200, watch, observed) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "definition", "engine"),
    [
        ("no time is set", {"idle_minutes": None}, {}),
        ("it is pinned", {"pinned": True}, {}),
        ("a request runs", {}, {"requests_running": 1}),
        ("a request waits", {}, {"requests_waiting": 1}),
        ("requests are not known", {}, {"requests_running": None}),
        ("nothing is counted", {}, {"prompt_tokens_total": None, "generation_tokens_total": None}),
    ],
)
def test_what_stays(
    house: Callable[..., Launch], name: str, definition: dict[str, Any], engine: dict[str, Any]
) -> None:
    observed, watch = Observations(), IdleWatch()
    launch = house(observed, engine, **definition)
    for now in (0, 10_000):
        assert idle_unload(now, watch, observed) == []
    launch.refresh_from_db()
    assert launch.desired == "running"


@pytest.mark.django_db
def test_time_before_it_was_ready_and_before_a_restart_does_not_count(house: Callable[..., Launch]) -> None:
    observed, watch = Observations(), IdleWatch()
    launch = house(observed)
    Launch.objects.update(state=LaunchState.LOADING)
    assert idle_unload(0, watch, observed) == []
    Launch.objects.update(state=LaunchState.READY)
    assert idle_unload(700, watch, observed) == []
    Launch.objects.filter(pk=launch.pk).update(generation=2)
    assert idle_unload(1301, watch, observed) == []
    assert idle_unload(1901, watch, observed) == [launch]


@pytest.mark.django_db
def test_the_definition_of_now_decides(house: Callable[..., Launch]) -> None:
    observed, watch = Observations(), IdleWatch()
    launch = house(observed)
    idle_unload(0, watch, observed)
    ModelDefinition.objects.update(idle_minutes=60)
    assert idle_unload(3599, watch, observed) == []
    assert idle_unload(3600, watch, observed) == [launch]
