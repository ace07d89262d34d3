"""How long a start will still take: from earlier ones, with its spread, and nothing without them."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from models_app.models import Launch, LaunchState, StageTiming
from models_app.selectors import launch_progress
from models_app.time_to_go import Spread, stage_times, time_to_go
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory, NodeFactory

RUNS = [{"load": 60.0, "compile": 60.0}, {"load": 90.0, "compile": 90.0}, {"load": 150.0, "compile": 150.0}]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ((180, 120, 300), "about 3 min, 2 to 5 min"),
        ((180, 180, 180), "about 3 min"),
        ((40, 20, 130), "about 40 s, 20 s to 2 min"),
        ((3, 1, 9), "about 3 s, 1 to 9 s"),
        ((59, 58, 61), "about 1 min"),
        ((4200, 3600, 7200), "about 1 h 10 min, 1 to 2 h"),
    ],
)
def test_words(seconds: tuple[float, float, float], words: str) -> None:
    assert Spread(*seconds).words == words


def test_nothing_is_claimed_without_an_earlier_start() -> None:
    assert time_to_go([], "load", {"load": 10}) is None


def test_before_the_first_stage_it_is_the_whole_way() -> None:
    found = time_to_go(RUNS, "", {})
    assert found and found.left == Spread(180, 120, 300)
    assert found.sentence == "about 3 min, 2 to 5 min, by 3 earlier starts"


def test_what_went_by_is_taken_off_and_no_stage_is_less_than_nothing() -> None:
    found = time_to_go(RUNS, "load", {"load": 75})
    assert found and found.left == Spread(105, 60, 225)
    assert not found.exceeded


def test_later_stages_alone_count_after_earlier_ones() -> None:
    found = time_to_go(RUNS, "compile", {"load": 5, "compile": 0})
    assert found and found.left == Spread(90, 60, 150)


def test_longer_than_ever_is_said_and_nothing_claimed() -> None:
    found = time_to_go(RUNS, "load", {"load": 156})
    assert found and found.exceeded and found.left is None
    assert found.sentence == "longer in this stage than 3 earlier starts: 1 to 2 min"
    late = time_to_go(RUNS, "load", {"load": 154})
    assert late and not late.exceeded  # by less than is worth a word


def test_a_stage_that_no_earlier_start_had_is_of_unknown_length() -> None:
    found = time_to_go(RUNS, "pull", {"pull": 5})
    assert found and found.left is None and not found.exceeded
    assert found.sentence == "about 3 min, 2 to 5 min after this stage, which 3 earlier starts had not"


def test_one_earlier_start_has_no_range() -> None:
    found = time_to_go(RUNS[:1], "load", {"load": 0})
    assert found and found.sentence == "about 2 min to go, by the one earlier start"


def test_stages_beside_earlier_ones() -> None:
    rows = stage_times(RUNS, {"pull": 7.0, "load": 80.0})
    assert [(row.stage, row.seconds, row.usual) for row in rows] == [
        ("pull", 7.0, None),
        ("load", 80.0, Spread(90, 60, 150)),
        ("compile", None, Spread(90, 60, 150)),
    ]


# Which starts are learned from -----------------------------------------------------


def start(ready: bool = True, digest: str = "sha256:a", image: str = "img:1", **fields: Any) -> Launch:
    """A launch with its stages: loading took 100 s."""
    launch = LaunchFactory(live=not ready, state="ready" if ready else "loading", **fields)
    attempt = AttemptFactory(launch=launch, ready_at=timezone.now() if ready else None)
    MemberFactory(attempt=attempt, image=image, image_digest=digest, live=not ready)
    StageTiming.objects.create(attempt=attempt, name="load", seconds=100 if ready else 40)
    return launch


@pytest.fixture
def same(db: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    reported = {"phase": "running", "probe": {"ready": False}, "stage": None}
    monkeypatch.setattr(
        "models_app.selectors._entries",
        lambda names: dict.fromkeys(_members(), reported),
    )
    return {"definition": DefinitionFactory(), "node": NodeFactory(name="spark-1")}


def _members() -> list[str]:
    from models_app.models import LaunchMember

    return list(LaunchMember.objects.filter(live=True).values_list("uid", flat=True))


def left(launch: Launch) -> float | None:
    to_go = launch_progress(launch).times.to_go
    return to_go.left.median_seconds if to_go and to_go.left else None


def test_learned_from_the_same_definition_image_and_node(same: dict[str, Any]) -> None:
    start(**same)
    now = start(ready=False, **same)
    assert 55 <= (left(now) or 0) <= 60


@pytest.mark.parametrize(
    "other",
    [
        {"definition": None},
        {"node": None},
        {"image": "img:2"},
        {"digest": "sha256:b"},  # the tag has moved
    ],
)
def test_not_learned_from_others(same: dict[str, Any], other: dict[str, Any]) -> None:
    made = {
        name: (DefinitionFactory() if name == "definition" else NodeFactory()) if value is None else value
        for name, value in other.items()
    }
    start(**{**same, **made})
    assert left(start(ready=False, **same)) is None


def test_not_learned_from_a_start_that_failed(same: dict[str, Any]) -> None:
    failed = start(**same)
    failed.attempts.update(ready_at=None)
    assert left(start(ready=False, **same)) is None


def test_shown_on_page_card_and_api(same: dict[str, Any], client_of: Any, viewer: Any) -> None:
    start(**same)
    now = start(ready=False, **same)
    client = client_of(viewer)
    for path in (f"/launches/{now.uid}/", f"/models/{now.definition_slug}/card/?node=spark-1"):
        page = client.get(path).content.decode()
        assert "to go, by the one earlier start" in page
    assert "about 2 min" in client.get(f"/launches/{now.uid}/").content.decode()  # the stage's own row
    answer = client.get(f"/api/launches/{now.uid}/").json()
    assert answer["time_to_go"]["starts"] == 1
    assert answer["time_to_go"]["stages"][0]["usual"]["median_seconds"] == 100
    assert answer["attempts"][0]["stages"][0]["name"] == "load"
    Launch.objects.filter(pk=now.pk).update(state=LaunchState.READY)
    assert client.get(f"/api/launches/{now.uid}/").json()["time_to_go"] is None
