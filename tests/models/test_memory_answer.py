"""What is counted for a start on a node: what its report says, what others hold or were promised."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from models_app import making_room, services
from models_app.exceptions import LaunchRefused
from models_app.memory import memory_check, memory_fit
from models_app.models import Desired, Launch, LaunchEvent, LaunchMember, LaunchState
from models_app.observing import OBSERVED, container_exited
from models_app.reconcile import Reconciler
from models_app.weights import weights_seen
from sparkweb.accounts.models import AuditEntry
from tests.factories import DefinitionFactory, LaunchFactory, MemberFactory, NodeFactory

pytestmark = pytest.mark.django_db(transaction=True)
GIB = 2**30


@pytest.fixture
def spark(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Set what an otherwise idle Spark reports: GiB available, and GiB that launches (by uid) hold."""

    def report(available_gib: float, **held: float) -> None:
        entries = [{"launch": uid[1:], "gpu_memory_bytes": round(gib * GIB)} for uid, gib in held.items()]
        snapshot = {
            "report": {
                "host": {
                    "memory_available_bytes": round(available_gib * GIB),
                    "memory_total_bytes": round(121.7 * GIB),
                },
                "gpu": {"status": "ok", "unified_memory": True},
                "gpus": [],
                "launches": entries,
            }
        }
        monkeypatch.setattr("models_app.memory.node_snapshot", lambda name: snapshot)

    return report


def launched(node: Any, slug: str, state: str, gib: float, **more: Any) -> Launch:
    launch = LaunchFactory(
        definition=DefinitionFactory(slug=slug, **more),
        node=node,
        state=state,
        memory_needed_bytes=round(gib * GIB),
    )
    MemberFactory(attempt__launch=launch)
    return launch


def test_what_a_node_read_of_the_weights_makes_the_sum(node, spark) -> None:  # type: ignore[no-untyped-def]
    spark(110)
    definition = DefinitionFactory(
        model_id="org/model", estimated_memory_gb=90, settings={"gpu_memory_utilization": 0.4}
    )
    assert memory_fit(definition, node).basis == "share"
    assert memory_check(definition, node).required_gb == 90
    answer = {"status": "ok", "weights_bytes": 17 * GIB, "files": 4, "kind": "safetensors", "config": {}}
    weights_seen("spark-1", {"engine": "vllm", "model_id": "org/model", "file": "", "answer": answer})
    found = memory_fit(definition, node)
    assert (found.basis, found.verdict) == ("weights", "yes")
    assert memory_check(definition, node).required_gb == pytest.approx(51.7)


def test_a_peak_of_the_same_command_counts_and_another_command_does_not(node, spark, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    spark(110)
    definition = DefinitionFactory(settings={"gpu_memory_utilization": 0.3})
    services.launch_create(definition=definition, node=node, actor=someone)
    LaunchMember.objects.update(peak_memory_bytes=70 * GIB)
    assert memory_check(definition, node).required_gb == 70
    definition.settings = {"gpu_memory_utilization": 0.35}
    definition.save()
    assert memory_check(definition, node).required_gb == pytest.approx(45.6, abs=0.1)


def test_a_launch_that_still_loads_keeps_what_it_was_promised(node, spark) -> None:  # type: ignore[no-untyped-def]
    loading = launched(node, "first", LaunchState.LOADING, 60)
    definition = DefinitionFactory(estimated_memory_gb=40, engine="custom", image="x")
    spark(100, **{f"u{loading.uid}": 20})
    found = memory_fit(definition, node)
    assert found.verdict == "tight" or found.verdict == "yes"
    assert [line.label for line in found.room][1] == "Promised to first"
    spark(100)
    found = memory_fit(definition, node)
    assert found.verdict == "no"
    assert "of which 60 GiB are promised to first" in found.sentence
    assert [row.name for row in found.stop] == ["first"]


def test_pinned_and_higher_priority_stay_and_the_refusal_names_what_to_stop(
    node, spark, someone, nudges
) -> None:  # type: ignore[no-untyped-def]
    keep = launched(node, "keep", LaunchState.READY, 30, pinned=True)
    high = launched(node, "high", LaunchState.READY, 30, priority=5)
    low = launched(node, "low", LaunchState.READY, 40)
    spark(10, **{f"u{keep.uid}": 30, f"u{high.uid}": 30, f"u{low.uid}": 40})
    definition = DefinitionFactory(name="Big", estimated_memory_gb=35, engine="custom", image="x")
    with pytest.raises(LaunchRefused, match="Big needs 35 GiB") as refusal:
        services.launch_create(definition=definition, node=node, actor=someone)
    assert refusal.value.data["stop"] == [low.uid]
    assert refusal.value.data["hint"].startswith("Stop low (40.0 GiB) first")


@pytest.fixture
def waiting(node, spark, someone, nudges):  # type: ignore[no-untyped-def]
    """A launch that waits for another to stop: (the one that stops, the one that waits)."""
    old = launched(node, "old", LaunchState.READY, 60)
    spark(10, **{f"u{old.uid}": 60})
    definition = DefinitionFactory(slug="new", estimated_memory_gb=40, engine="custom", image="x")
    launch, made = making_room.launch_after_stopping(
        definition=definition, node=node, actor=someone, stop=[old.uid]
    )
    assert made
    return old, launch


def reconcile() -> None:
    Reconciler(OBSERVED).launch_reconcile()  # a new one each time: control may have been restarted


def test_stop_and_start_waits_until_the_memory_is_back(waiting, spark, nudges) -> None:  # type: ignore[no-untyped-def]
    old, launch = waiting
    old.refresh_from_db()
    assert (old.state, old.desired) == (LaunchState.STOPPING, Desired.STOPPED)
    assert [sent[1] for sent in nudges] == ["models.container_stop"]
    assert (launch.state, launch.waits_for, launch.attempts.count()) == ("requested", "old to stop", 0)
    reconcile()
    assert launch.attempts.count() == 0

    services.launch_move(old, LaunchState.STOPPED, message="Stopped")
    reconcile()
    launch.refresh_from_db()
    assert launch.attempts.count() == 0
    assert launch.waits_for.startswith("memory: needs 40 GiB")

    spark(70)
    reconcile()
    launch.refresh_from_db()
    assert (launch.waits_for, launch.attempts.count()) == ("", 1)
    assert nudges[-1][1] == "models.container_start"
    assert AuditEntry.objects.filter(action__in=["launch_start", "launch_stop"]).count() == 2
    assert LaunchEvent.objects.filter(launch=old, message="Stopped to make room for new").exists()


def test_a_waiting_launch_can_be_stopped(waiting, someone) -> None:  # type: ignore[no-untyped-def]
    _, launch = waiting
    assert services.launch_stop(launch=launch, actor=someone).state == LaunchState.STOPPED
    reconcile()
    assert launch.attempts.count() == 0


def test_a_waiting_launch_can_be_restarted_at_once(waiting, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    _, launch = waiting
    services.launch_restart(launch=launch, actor=someone)
    reconcile()
    launch.refresh_from_db()
    assert (launch.waits_for, launch.attempts.count()) == ("", 1)


def test_memory_that_does_not_come_back_fails_it_in_words(waiting, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    old, launch = waiting
    services.launch_move(Launch.objects.get(pk=old.pk), LaunchState.STOPPED, message="Stopped")
    reconcile()
    monkeypatch.setattr(making_room, "MEMORY_BACK_SECONDS", 0)
    reconcile()
    launch.refresh_from_db()
    assert (launch.state, launch.failure_code) == (LaunchState.FAILED, "memory_short")
    assert "needs 40 GiB; spark-1 has 10 GiB available" in launch.failure_reason


def test_what_ended_meanwhile_cannot_be_stopped_for_it(node, spark, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    spark(10)
    definition = DefinitionFactory(estimated_memory_gb=40)
    with pytest.raises(LaunchRefused, match="does not run on spark-1 any more") as refusal:
        making_room.launch_after_stopping(definition=definition, node=node, actor=someone, stop=["0" * 16])
    assert refusal.value.code == "not_live"
    elsewhere = launched(NodeFactory(name="spark-2"), "far", LaunchState.READY, 10)
    with pytest.raises(LaunchRefused):
        making_room.launch_after_stopping(
            definition=definition, node=node, actor=someone, stop=[elsewhere.uid]
        )
    assert not Launch.objects.filter(definition=definition).exists()


def test_force_keeps_its_reason_and_the_sum(node, spark, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    spark(10)
    definition = DefinitionFactory(estimated_memory_gb=40, engine="custom", image="x")
    launch, _ = services.launch_create(
        definition=definition, node=node, actor=someone, force_reason="it is smaller than it says"
    )
    assert launch.memory_needed_bytes == 40 * GIB
    assert launch.memory_sum["verdict"] == "no"
    assert (
        AuditEntry.objects.get(action="launch_start").detail["force_reason"] == "it is smaller than it says"
    )


def test_the_api_gives_the_sum_and_takes_what_to_stop(node, spark, operator, nudges, bearer) -> None:  # type: ignore[no-untyped-def]
    api: Client = bearer(operator, "operate")
    old = launched(node, "old", LaunchState.READY, 60)
    spark(10, **{f"u{old.uid}": 60})
    DefinitionFactory(slug="new", estimated_memory_gb=40, engine="custom", image="x")
    answer = api.get("/api/definitions/new/memory-check?node=spark-1").json()
    assert (answer["verdict"], answer["can_start"], answer["required_gb"]) == ("no", False, 40.0)
    assert answer["demand"] == [
        {"label": "Estimate", "bytes": 40 * GIB, "source": "the definition", "within": False}
    ]
    (stop,) = answer["stop"]
    assert (stop["launch"], stop["name"]) == (old.uid, "old")
    old_call = api.get("/api/models/new/memory-check?node=spark-1").json()
    assert set(old_call) == {"can_start", "available_gb", "required_gb", "remaining_gb", "warning", "error"}
    body = {"definition": "new", "node": "spark-1", "stop": [old.uid]}
    started = api.post("/api/launches", body, content_type="application/json")
    assert started.status_code == 202
    assert started.json()["waits_for"] == "old to stop"
    refused = api.post("/api/launches", {**body, "stop": ["x'"]}, content_type="application/json")
    assert refused.status_code == 400


def test_the_end_of_a_member_keeps_its_peak_for_the_next_sum(node, spark, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    spark(110)
    definition = DefinitionFactory(estimated_memory_gb=None, engine="custom", image="x")
    services.launch_create(definition=definition, node=node, actor=someone)
    member = LaunchMember.objects.get()
    assert memory_fit(definition, node).verdict == "unknown"
    OBSERVED.peaks[member.uid] = 33 * GIB
    container_exited("spark-1", {"member": member.uid, "exit_code": 0})
    found = memory_fit(definition, node)
    assert (found.basis, found.required_bytes) == ("peak", 33 * GIB)
