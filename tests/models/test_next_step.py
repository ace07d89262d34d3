"""What reconcile decides for one launch: a table of situations and steps."""

from __future__ import annotations

from typing import Any

import pytest

from models_app.models import LaunchState
from models_app.reconcile import Step, next_step

S = LaunchState
READY = {"phase": "running", "probe": {"ready": True, "failures": 0}}
SILENT = {"phase": "running", "probe": {"ready": False, "failures": 3, "message": "connection refused"}}
LOADING = {"phase": "running", "probe": {"ready": False, "failures": 40, "message": "connection refused"}}


def step(**situation: Any) -> Step:
    return next_step(
        **({"state": S.REQUESTED, "desired": "running", "node_status": "online", "entry": None} | situation)
    )


@pytest.mark.parametrize(
    ("situation", "state", "nudge"),
    [
        ({}, "", "start"),  # nobody sees it: ask again
        ({"state": S.READY}, "", "start"),  # the agent forgot it: ask again, it is adopted
        ({"state": S.READY, "created": True, "docker_ok": False}, "", ""),  # Docker is away: it may well run
        ({"docker_ok": False}, "", "start"),  # nothing was made yet: the node says what is wrong
        ({"entry": {"phase": "pulling"}}, S.PULLING, ""),
        ({"entry": {"phase": "creating"}, "state": S.PULLING}, S.STARTING, ""),
        ({"entry": LOADING, "state": S.STARTING}, S.LOADING, ""),
        ({"entry": LOADING, "state": S.LOADING}, S.LOADING, ""),
        ({"entry": READY, "state": S.LOADING}, S.READY, ""),
        ({"entry": READY, "state": S.LOST}, S.READY, ""),
        ({"entry": READY, "state": S.DEGRADED}, S.READY, ""),
        ({"entry": SILENT, "state": S.READY}, S.DEGRADED, ""),
        ({"entry": {"phase": "running", "probe": {"failures": 1}}, "state": S.READY}, "", ""),
        ({"entry": {"phase": "exited"}, "state": S.READY}, "", ""),  # the fact tells how
        ({"node_status": "offline", "state": S.READY}, S.LOST, ""),
        ({"node_status": "offline", "state": S.REQUESTED}, "", ""),
        ({"node_status": "offline", "state": S.STOPPING, "desired": "stopped"}, "", ""),
        ({"node_status": "stale", "state": S.READY}, "", ""),
        ({"desired": "stopped", "state": S.STOPPING, "entry": READY}, "", "stop"),
        ({"desired": "stopped", "state": S.STOPPING}, "", "stop"),  # until the node confirms
        ({"restart_wanted": True, "state": S.STOPPING, "entry": READY}, "", "stop"),
        ({"retry_due": False}, "", ""),
        ({"retry_due": True}, "", "again"),
        ({"retry_due": True, "node_status": "offline"}, "", ""),
        ({"entry": {**LOADING, "stage": {"name": "download"}}, "state": S.STARTING}, S.LOADING, ""),
    ],
)
def test_step(situation: dict[str, Any], state: str, nudge: str) -> None:
    decided = step(**situation)
    assert (decided.state, decided.nudge) == (state, nudge)


def test_the_reason_for_degraded_is_the_probes() -> None:
    assert "connection refused" in step(entry=SILENT, state=S.READY).message
