"""A guardian's act on the pages of its launch and its node, and through the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from models_app.guardian_chart import act_chart
from models_app.models import GuardianAct, Launch
from sparkweb.accounts.models import User
from tests.factories import AttemptFactory, GuardianActFactory, LaunchFactory, MemberFactory, NodeFactory

GIB = 2**30


@pytest.fixture
def act(db: None) -> GuardianAct:
    launch = LaunchFactory(
        node=NodeFactory(name="spark-1"), state="failed", live=False, failure_code="memory_guardian"
    )
    MemberFactory(attempt=AttemptFactory(launch=launch, outcome="failed"), live=False)
    act: GuardianAct = GuardianActFactory(launch=launch)
    Launch.objects.filter(pk=launch.pk).update(failure_reason=act.sentence)
    return act


@pytest.fixture
def browser(client_of: Any, viewer: User) -> Client:
    return client_of(viewer)  # type: ignore[no-any-return]


def test_launch_page_shows_sentence_and_figures(act: GuardianAct, browser: Client) -> None:
    assert act.launch
    page = browser.get(act.launch.get_absolute_url()).text
    assert "Stopped by the memory guardian: 2.1 GiB of memory were available" in page
    assert (
        "<polyline" in page and "of 121.7 GiB when it acted. Floor 3.0 GiB, for ready models 1.5 GiB" in page
    )
    Launch.objects.update(failure_code="exited")
    assert "<polyline" not in browser.get(act.launch.get_absolute_url()).text


def test_node_page_lists_acts_or_says_there_were_none(act: GuardianAct, browser: Client) -> None:
    assert act.launch
    page = browser.get("/nodes/spark-1/").text
    assert f'href="{act.launch.get_absolute_url()}">{act.definition_slug}</a>: Stopped by the memory' in page
    act.delete()
    assert "It has not had to stop anything here." in browser.get("/nodes/spark-1/").text


def test_api_lists_acts_by_node_and_launch(act: GuardianAct, browser: Client) -> None:
    assert act.launch
    found = browser.get(f"/api/guardian-acts?node=spark-1&launch={act.launch.uid}&action=kill").json()[
        "results"
    ]
    assert [(one["uid"], one["launch"], one["node"]) for one in found] == [
        (act.uid, act.launch.uid, "spark-1")
    ]
    assert found[0]["readings"][-1][:2] == [0.0, 2_260_000_000]
    assert browser.get("/api/guardian-acts?action=spare").json()["results"] == []
    assert browser.get(f"/api/guardian-acts/{act.uid}").json()["sentence"] == act.sentence
    act.launch.delete()
    assert browser.get(f"/api/guardian-acts/{act.uid}").json()["launch"] is None


@pytest.mark.parametrize(
    "readings", [[], [[0.0, GIB, None]], [[None, None]], [[0.0], [0.0, None]], [[-99, GIB], [0, GIB]]]
)
def test_too_few_readings_draw_nothing(readings: list[list[float | None]]) -> None:
    assert act_chart(readings, 3 * GIB, GIB) is None


def test_line_ends_below_the_floor() -> None:
    chart = act_chart([[-2.0, 8 * GIB, None], [-1.0, 5 * GIB, 1.0], [0.0, 2 * GIB, 2.0]], 3 * GIB, GIB)
    assert chart and chart.seconds == 2.0
    points = [tuple(map(float, point.split(","))) for point in chart.points.split()]
    assert [x for x, _ in points] == [0.0, 160.0, 320.0]
    assert chart.floor_y < points[-1][1] < chart.lower_floor_y
