"""Engines' figures on pages and in the API: told when they move, a dash with the reason for none."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from models_app import engine_live
from models_app.engine_live import engines_publish
from models_app.models import Launch
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory

FIGURES = {
    "requests_running": 2,
    "requests_waiting": 0,
    "prompt_tokens_total": 8128,
    "generation_tokens_total": 7557,
    "kv_cache_percent": 12.3,
    "prompt_tokens_per_second": None,
    "generation_tokens_per_second": 45.4,
    "loaded": None,
    "why": {"prompt_tokens_per_second": "stale", "loaded": "unsupported"},
}


@pytest.fixture
def launch(node: Any) -> Launch:
    launch = LaunchFactory(definition=DefinitionFactory(), node=node, state="ready")
    MemberFactory(attempt=AttemptFactory(launch=launch))
    return launch


@pytest.fixture
def reported(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The launch's entry in its node's newest report."""
    member = launch.attempts.get().members.get()
    entry: dict[str, Any] = {"launch": launch.uid, "member": member.uid, "engine": FIGURES}
    snapshots = {launch.node_name: {"report": {"launches": [entry]}}}
    monkeypatch.setattr(engine_live, "node_snapshots", lambda names: snapshots)
    monkeypatch.setattr("models_app.selectors.node_snapshots", lambda names: snapshots)
    return entry


def test_the_launch_page_shows_them(launch: Launch, reported: dict[str, Any], admin_client: Client) -> None:
    page = admin_client.get(launch.get_absolute_url()).content.decode()
    assert '<b class="figure num" data-engine-figure="requests_running">2</b>' in page
    assert "45 tokens/s" in page and "12 %" in page
    assert 'title="No fresh figure: the engine has not answered"' in page


def test_the_card_shows_them(launch: Launch, reported: dict[str, Any], admin_client: Client) -> None:
    slug = launch.definition_slug
    page = admin_client.get(f"/models/{slug}/card/?node={launch.node_name}").content.decode()
    assert 'data-engine-figure="kv_cache_percent">12 %' in page
    assert "data-engine-wanted" not in page


def test_before_the_first_reading_the_card_waits(
    launch: Launch, reported: dict[str, Any], admin_client: Client
) -> None:
    reported["engine"] = None
    slug = launch.definition_slug
    page = admin_client.get(f"/models/{slug}/card/?node={launch.node_name}").content.decode()
    assert "data-engine-wanted" in page and "data-engine-figure" not in page


def test_the_api_gives_them(launch: Launch, reported: dict[str, Any], admin_client: Client) -> None:
    assert admin_client.get(f"/api/launches/{launch.uid}/engine").json() == FIGURES


def test_the_api_says_when_nobody_asked(launch: Launch, admin_client: Client) -> None:
    told = admin_client.get(f"/api/launches/{launch.uid}/engine").json()
    assert told.pop("why").keys() == told.keys()
    assert set(told.values()) == {None}


def test_browsers_are_told_what_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(engine_live.live, "publish", lambda key, frame: told.append((key, frame)))
    entry = {"launch": "a" * 16, "member": "b" * 16, "engine": FIGURES}
    engines_publish("spark-9", [entry])
    engines_publish("spark-9", [entry])
    assert [key for key, _ in told] == [f"engine:{'b' * 16}"]
    assert told[0][1]["engine"] == FIGURES
    engines_publish("spark-9", [entry | {"engine": FIGURES | {"requests_running": 3}}])
    assert told[-1][1]["engine"]["requests_running"] == 3
    engines_publish("spark-9", [{"member": 5, "engine": FIGURES}, {"member": "c" * 16, "engine": None}])
    assert len(told) == 2
