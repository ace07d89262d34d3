"""Stages of a start: what progress is, when a stage is given up, and what is kept of it."""

from __future__ import annotations

from typing import Any

import pytest

from models_app.models import Launch, LaunchState, StageTiming
from models_app.observing import Observations, container_exited
from models_app.reconcile import Reconciler
from models_app.stage_clock import STAGES, StageClock, sighting_of
from models_app.start_stages import StageClocks
from tests.factories import AttemptFactory, LaunchFactory, MemberFactory

S = LaunchState


def entry(phase: str = "running", stage: str | None = None, done: int | None = None, **fields: Any) -> Any:
    told = {"name": stage, "done_bytes": done, "total_bytes": None, "message": fields.pop("message", "…")}
    return {"phase": phase, "stage": told if stage else None, "probe": {"ready": False}, **fields}


@pytest.mark.parametrize(
    ("entries", "stage"),
    [
        ([entry("pulling", "pull")], "pull"),
        ([entry("pulling")], "pull"),
        ([entry("creating")], "create"),
        ([entry("running", "download")], "download"),
        ([entry("running")], "load"),
        ([entry("running", "a stage of a later agent")], "load"),
        ([entry("running", "compile")], "compile"),
        ([entry("running", "warmup")], "warmup"),
        ([entry("exited")], None),
        ([entry("running", probe={"ready": True})], None),
        ([], None),
        # Several members: the last image, else whoever is furthest.
        ([entry("running", "load"), entry("pulling", "pull")], "pull"),
        ([entry("running", "warmup"), entry("running")], "warmup"),
        ([entry("running", probe={"ready": True}), entry("running", "compile")], "compile"),
    ],
)
def test_the_stage_that_counts(entries: list[dict[str, Any]], stage: str | None) -> None:
    seen = sighting_of(entries)
    assert (seen.stage if seen else None) == stage


def look(clock: StageClock, now: float, *entries: dict[str, Any]) -> bool:
    seen = sighting_of(list(entries))
    assert seen
    return clock.look(seen, now)


def test_bytes_and_milestones_are_progress_and_time_is_not() -> None:
    clock = StageClock()
    assert look(clock, 100, entry("pulling", "pull", 1))
    for now in range(101, 105):
        assert not look(clock, now, entry("pulling", "pull", 1))
    assert clock.stood_seconds(104) == 4
    look(clock, 105, entry("pulling", "pull", 2))
    assert clock.stood_seconds(105) == 0
    look(clock, 106, entry("pulling", "pull", 2, message="2 of 9 layers"))
    assert clock.stood_seconds(107) == 1
    assert look(clock, 108, entry("creating"))
    assert (clock.seconds_in("pull", 109), clock.seconds_in("create", 109)) == (8, 1)


def test_progress_of_any_member_is_progress() -> None:
    clock = StageClock()
    look(clock, 0, entry("running", "load", message="1"), entry("running", "load", message="1"))
    look(clock, 3, entry("running", "load", message="1"), entry("running", "load", message="2"))
    assert clock.stood_seconds(3) == 0


def test_what_was_not_seen_does_not_count() -> None:
    clock = StageClock()
    look(clock, 0, entry())
    look(clock, 1, entry())
    look(clock, 3601, entry())
    assert (clock.stood_seconds(3601), clock.seconds_in("load", 3601)) == (1, 1)


def test_a_stage_that_comes_again_goes_on() -> None:
    clock = StageClock()
    for now, stage in enumerate(["download", "load", "download", "load", "load"]):
        look(clock, now, entry("running", stage))
    assert (clock.seconds_in("download", 4), clock.seconds_in("load", 4)) == (2, 2)


# In the database -------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def launch(node: Any) -> Launch:
    launch = LaunchFactory(node=node, state=S.LOADING)
    MemberFactory(attempt=AttemptFactory(launch=launch), uid="m1", node=node)
    return launch


def watched(launch: Launch) -> tuple[StageClocks, Clock]:
    clock = Clock()
    return StageClocks(clock), clock


def walk(clocks: StageClocks, clock: Clock, launch: Launch, what: dict[str, Any], seconds: int) -> Any:
    """Look each second; the verdict of the first look that has one."""
    for _ in range(seconds):
        clock.now += 1
        if stood := clocks.look(launch, [what]):
            return stood
    return None


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_a_limit_of_its_own(launch: Launch, settings: Any, stage: str) -> None:
    settings.STAGE_LIMIT_SECONDS = dict.fromkeys(STAGES, 10000) | {stage: 60}
    what = {"pull": entry("pulling", "pull", 5), "create": entry("creating")}.get(stage) or entry(
        "running", stage
    )
    stood = walk(*watched(launch), launch, what, 100)
    assert stood.code == f"{stage}_timeout"
    assert "stood still for 1 min and was given up" in stood.reason
    assert f"SPARKWEB_LIMIT_{stage.upper()}_MINUTES" in stood.reason


def test_progress_begins_the_limit_anew(launch: Launch, settings: Any) -> None:
    settings.STAGE_LIMIT_SECONDS = dict.fromkeys(STAGES, 60)
    clocks, clock = watched(launch)
    for done in range(5):
        assert walk(clocks, clock, launch, entry("running", "download", done), 50) is None
    assert walk(clocks, clock, launch, entry("running", "download", 4), 50) is not None


def test_stages_are_kept_and_closed_when_it_is_ready(launch: Launch) -> None:
    clocks, clock = watched(launch)
    walk(clocks, clock, launch, entry("pulling", "pull", 1), 20)
    walk(clocks, clock, launch, entry("running", "load"), 30)
    launch.state = S.READY
    clock.now += 1
    clocks.look(launch, [entry("running", probe={"ready": True})])
    kept = dict(StageTiming.objects.values_list("name", "seconds"))
    assert kept == {"pull": 20, "load": 30}
    assert clocks.watched == {}
    clock.now += 500
    clocks.look(launch, [entry("running", probe={"ready": True})])
    assert dict(StageTiming.objects.values_list("name", "seconds")) == kept


def test_a_control_that_starts_anew_goes_on_measuring(launch: Launch) -> None:
    clocks, clock = watched(launch)
    walk(clocks, clock, launch, entry("pulling", "pull", 1), 20)
    walk(clocks, clock, launch, entry("running", "load"), 31)
    fresh, later = watched(launch)
    walk(fresh, later, launch, entry("running", "load"), 20)
    kept = dict(StageTiming.objects.values_list("name", "seconds"))
    assert kept["pull"] == 20
    assert 31 <= kept["load"] <= 51  # each ten seconds it is written down


def test_reconcile_stops_what_stands_still_and_it_has_failed_once_it_has_ended(
    launch: Launch, nudges: list[Any], settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.STAGE_LIMIT_SECONDS = dict.fromkeys(STAGES, 0)
    observed = Observations()
    told = entry("running", "compile", message="Compiling", member="m1", launch=launch.uid, generation=1)
    observed.report("spark-1", [told], docker_ok=True)
    with django_capture_on_commit_callbacks(execute=True):
        Reconciler(observed).launch_reconcile()
    launch.refresh_from_db()
    assert (launch.state, launch.live) == (S.STOPPING, True)
    assert [task for _, task, _ in nudges] == ["models.container_stop"]
    container_exited("spark-1", {"member": "m1", "exit_code": 137, "reason": "stopped as asked"})
    launch.refresh_from_db()
    assert (launch.state, launch.failure_code) == (S.FAILED, "compile_timeout")
    assert launch.failure_reason.startswith(
        "Compiling the model stood still for 0 s and was given up; the last it"
    )
