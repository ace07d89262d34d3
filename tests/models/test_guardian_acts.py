"""What control makes of a guardian's acts: evidence kept once, the launch failed, ranks told to nodes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from models_app import guardian_acts, observing, services
from models_app.models import GuardianAct, Launch, LaunchMember, LaunchState
from models_app.node.identity import identity_of_labels
from models_app.tasks import housekeeping
from models_app.transitions import launch_move
from tests.factories import DefinitionFactory, NodeFactory

S = LaunchState
pytestmark = pytest.mark.django_db(transaction=True)
SENTENCE = "stopped by the memory guardian: 2.1 GiB of memory were available, less than the floor of 3.0 GiB"


@pytest.fixture
def launch(node, someone, nudges) -> Launch:  # type: ignore[no-untyped-def]
    return services.launch_create(definition=DefinitionFactory(), node=node, actor=someone)[0]


def member_of(launch: Launch) -> LaunchMember:
    return LaunchMember.objects.filter(attempt__launch=launch).order_by("-pk")[0]


def act(**fields: Any) -> dict[str, Any]:
    return {
        "act": "00000000000000ac", "at": 1.0, "action": "kill", "cause": "below_floor", "sentence": SENTENCE,
        "available_bytes": 2_254_857_830, "total_bytes": 130_000_000_000, "stall_percent": None,
        "floors": {"floor_bytes": 3 * 2**30, "lower_floor_bytes": 3 * 2**29},
        "readings": [[-0.1, 3_300_000_000, None], [0.0, 2_254_857_830, 1.5]],
        "victim": {"key": "m", "kind": "start", "name": "qwen"}, "signalled": 3, "left": 0,
    } | fields  # fmt: skip


def tell(launch: Launch, node: str = "", **fields: Any) -> Launch:
    fact = {"launch": launch.uid, "member": member_of(launch).uid, "generation": 1, "act": act(**fields)}
    guardian_acts.guardian_acted(node or launch.node_name, fact)
    launch.refresh_from_db()
    return launch


def exited(launch: Launch) -> Launch:
    fact = {"member": member_of(launch).uid, "exit_code": 137, "reason": "killed with SIGKILL: by someone"}
    observing.container_exited(launch.node_name, fact)
    launch.refresh_from_db()
    return launch


def test_start_that_was_ended_fails_with_the_sentence_and_its_evidence(launch: Launch) -> None:
    tell(launch)
    assert (launch.state, launch.failure_code, launch.failure_reason) == (
        S.FAILED,
        "memory_guardian",
        SENTENCE,
    )
    row = GuardianAct.objects.get()
    assert (row.launch, row.definition_slug, row.victim_kind) == (launch, launch.definition_slug, "start")
    assert (row.available_bytes, row.floor_bytes) == (2_254_857_830, 3 * 2**30)
    assert row.readings == [[-0.1, 3_300_000_000, None], [0.0, 2_254_857_830, 1.5]]
    assert launch.events.filter(kind="guardian", data__act=row.uid).exists()
    # How it exited comes after, and changes nothing of the reason.
    exited(launch)
    assert (launch.failure_code, member_of(launch).exit_code) == ("memory_guardian", 137)


def test_ready_one_is_not_started_again_into_the_same_shortage(launch: Launch) -> None:
    launch_move(launch, S.READY)
    tell(launch)
    assert (launch.state, launch.retry_at, launch.failure_code) == (S.FAILED, None, "memory_guardian")


def test_exit_that_was_told_first_gets_its_true_reason(launch: Launch) -> None:
    exited(launch)
    assert launch.failure_code == "exited"
    tell(launch)
    assert (launch.state, launch.failure_code, launch.failure_reason) == (
        S.FAILED,
        "memory_guardian",
        SENTENCE,
    )
    assert launch.attempts.get().failure_reason == SENTENCE


def test_planned_attempt_is_called_off_when_the_guardian_is_told_late(launch: Launch) -> None:
    launch_move(launch, S.READY)
    exited(launch)
    assert launch.retry_at is not None
    tell(launch)
    assert (launch.state, launch.retry_at, launch.failure_code) == (S.FAILED, None, "memory_guardian")


def test_stop_that_was_asked_for_stays_a_stop(launch: Launch, someone: Any) -> None:
    services.launch_stop(launch=launch, actor=someone)
    tell(launch)
    assert (launch.state, launch.failure_reason) == (S.STOPPED, "")


def test_spared_one_goes_on_with_an_event(launch: Launch) -> None:
    launch_move(launch, S.READY)
    tell(launch, action="spare", sentence="It would have been the next to go")
    assert launch.state == S.READY
    assert launch.events.filter(kind="guardian", message="It would have been the next to go").exists()


def test_act_is_stored_once_and_only_from_the_node_it_is_about(launch: Launch) -> None:
    NodeFactory(name="spark-2")
    tell(launch, node="spark-2")
    row = GuardianAct.objects.get()
    assert (row.node_name, row.launch, launch.state) == ("spark-2", None, S.REQUESTED)
    tell(launch, act="00000000000000ad")
    tell(launch, act="00000000000000ad")
    assert GuardianAct.objects.count() == 2 and launch.state == S.FAILED
    assert launch.events.filter(kind="guardian").count() == 1


def test_what_a_node_makes_up_is_stored_as_nothing(node: Any) -> None:
    odd = act(action="explode", sentence="a\0b" + "x" * 5000, available_bytes=-1, total_bytes="many",
              floors=None, victim=[], left=10**30,
              readings=[[1, 2, 3, 4], "x", [float("inf"), True]])  # fmt: skip
    guardian_acts.guardian_acted("spark-1", {"act": odd})
    guardian_acts.guardian_acted("spark-1", {"act": "text"})
    guardian_acts.guardian_acted("spark-1", {})
    row = GuardianAct.objects.get()
    assert (row.action, row.available_bytes, row.total_bytes, row.floor_bytes) == ("nothing_left", 0, None, 0)
    assert (row.processes_left, row.definition_slug, len(row.sentence)) == (0, "", 1000)
    assert row.readings == [[1, 2, 3], [None, None]]


def test_priority_and_pin_reach_the_container_and_later_changes_the_node(
    launch: Launch, nudges: list[tuple[str, str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guardian_acts, "_ranks_asked_at", {})
    definition = launch.definition
    assert definition and "sparkweb.priority" not in member_of(launch).spec["labels"]
    definition.priority, definition.pinned = 7, True
    definition.save()
    uid = member_of(launch).uid
    known = {"victims": [{"key": uid, "kind": "ready", "priority": 0, "pinned": False}, {"key": 5}, None]}
    nudges.clear()
    guardian_acts.guardian_reported("spark-1", known, {})
    assert nudges == [("spark-1", "models.rank", {"member": uid, "priority": 7, "pinned": True})]
    guardian_acts.guardian_reported("spark-1", known, {})
    assert len(nudges) == 1  # not each second
    monkeypatch.setattr(guardian_acts, "_ranks_asked_at", {})
    known["victims"][0] = {"key": uid, "priority": 7, "pinned": True}
    guardian_acts.guardian_reported("spark-1", known, {})
    assert len(nudges) == 1
    for nothing in (None, {}, {"victims": "x"}, {"victims": []}):
        guardian_acts.guardian_reported("spark-1", nothing, {})


def test_next_launch_carries_them_as_labels(node: Any, someone: Any, nudges: Any) -> None:
    definition = DefinitionFactory(priority=-3, pinned=True)
    launch, _ = services.launch_create(definition=definition, node=node, actor=someone)
    labels = member_of(launch).spec["labels"]
    ours = {"sparkweb.installation": "i", "sparkweb.node": "n", "sparkweb.member": "m", **labels}
    identity = identity_of_labels(ours, "i", "n")
    assert identity and (identity.priority, identity.pinned) == (-3, True)
    odd = identity_of_labels({**ours, "sparkweb.priority": "high", "sparkweb.pinned": "yes"}, "i", "n")
    assert odd and (odd.priority, odd.pinned) == (0, False)


def test_old_acts_go_with_old_launches(launch: Launch) -> None:
    tell(launch)
    housekeeping()
    assert GuardianAct.objects.exists()
    GuardianAct.objects.update(at=timezone.now() - timedelta(days=4000))
    housekeeping()
    assert not GuardianAct.objects.exists()
