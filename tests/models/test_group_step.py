"""What is decided for a launch on several nodes: a table of members' steps, and what follows for all."""

from __future__ import annotations

from typing import Any

import pytest

from models_app.groups import SILENT_SECONDS, GroupStep, Step, group_step
from models_app.models import LaunchState

S = LaunchState
LABELS = ("rank 0 on spark-1", "rank 1 on spark-2")
READY, LOADING, PULLING = Step(S.READY, message="Ready"), Step(S.LOADING), Step(S.PULLING, message="Pulling")
STARTING, NOTHING, START, STOP = Step(S.STARTING), Step(), Step(nudge="start"), Step(nudge="stop")
DEGRADED, LOST = Step(S.DEGRADED), Step(S.LOST)


def decide(*steps: Step, **situation: Any) -> GroupStep:
    return group_step(steps, **({"state": S.LOADING, "labels": LABELS, "silent": (False, False)} | situation))


@pytest.mark.parametrize(
    ("steps", "situation", "state", "nudges", "whole"),
    [
        # Ready when the first answers and all run; until then what the slowest does.
        ((READY, READY), {}, S.READY, ("", ""), ""),
        ((READY, STARTING), {}, S.STARTING, ("", ""), ""),
        ((LOADING, READY), {}, S.LOADING, ("", ""), ""),
        ((LOADING, PULLING), {}, S.PULLING, ("", ""), ""),
        ((READY, NOTHING), {}, "", ("", ""), ""),
        ((READY, START), {"state": S.READY}, "", ("", "start"), ""),
        ((START, START), {"state": S.REQUESTED}, "", ("start", "start"), ""),
        ((LOADING, START), {"state": S.STARTING}, S.LOADING, ("", "start"), ""),
        ((DEGRADED, READY), {"state": S.READY}, S.DEGRADED, ("", ""), ""),
        ((READY, READY), {"state": S.DEGRADED}, S.READY, ("", ""), ""),
        # One has ended: the other is taken down, and nobody nudges it to start meanwhile.
        ((READY,), {"some_ended": True}, "", (), "teardown"),
        ((START,), {"some_ended": True}, "", (), "teardown"),
        ((STOP,), {"some_ended": True, "state": S.STOPPING}, "", ("stop",), ""),
        ((STOP, STOP), {"state": S.STOPPING}, "", ("stop", "stop"), ""),
        # A silent node: lost, and after a minute torn down where somebody can be reached.
        ((READY, LOST), {"silent": (False, True), "state": S.READY}, S.LOST, (), ""),
        ((LOST, LOST), {"silent": (True, True), "state": S.READY}, S.LOST, (), ""),
        ((START, NOTHING), {"silent": (False, True), "state": S.REQUESTED}, "", (), ""),
        ((READY, NOTHING), {"silent": (False, True), "state": S.LOST}, "", (), ""),
        (
            (READY, NOTHING),
            {"silent": (False, True), "state": S.LOST, "seconds_in_state": SILENT_SECONDS + 1},
            "",
            (),
            "teardown",
        ),
        (
            (NOTHING, NOTHING),
            {"silent": (True, True), "state": S.LOST, "seconds_in_state": SILENT_SECONDS + 1},
            "",
            (),
            "",
        ),
        # Being ended goes on with the node that is heard.
        ((STOP, NOTHING), {"silent": (False, True), "state": S.STOPPING}, "", ("stop", ""), ""),
        # The node is back.
        ((READY, READY), {"state": S.LOST}, S.READY, ("", ""), ""),
    ],
)
def test_group(
    steps: tuple[Step, ...], situation: dict[str, Any], state: str, nudges: tuple[str, ...], whole: str
) -> None:
    decided = decide(*steps, **situation)
    assert (decided.state, decided.nudges, decided.whole) == (state, nudges, whole)


@pytest.mark.parametrize("step", [READY, LOADING, NOTHING, START, STOP, DEGRADED, LOST])
def test_one_member_is_done_as_it_needs(step: Step) -> None:
    decided = group_step([step], state=S.LOADING)
    assert (decided.state, decided.nudges, decided.whole) == (step.state, (step.nudge,), "")


def test_words_name_who_is_meant() -> None:
    assert decide(READY, PULLING).message == "Pulling (rank 1 on spark-2)"
    silent = decide(READY, LOST, silent=(False, True), state=S.READY)
    assert silent.message == "Nothing is heard of rank 1 on spark-2"
