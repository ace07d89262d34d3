"""Start, stop, restart: what is written, what a node is told, what is refused in which words."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from metrics_app.models import NodeStatus
from models_app import services
from models_app.exceptions import LaunchRefused
from models_app.models import Desired, Launch, LaunchMember, LaunchState
from models_app.observing import container_exited, container_removed
from sparkweb.accounts.models import AuditEntry
from tests.factories import DefinitionFactory, NodeFactory

pytestmark = pytest.mark.django_db(transaction=True)


def start(definition, node, actor, **extra):  # type: ignore[no-untyped-def]
    return services.launch_create(definition=definition, node=node, actor=actor, **extra)


def test_start_writes_everything_and_nudges_the_node(node, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    definition = DefinitionFactory(slug="qwen", port=8104)
    launch, created = start(definition, node, someone)
    member = LaunchMember.objects.get()
    assert created
    assert launch.state == LaunchState.REQUESTED
    assert (member.port, member.live, member.attempt.number) == (8104, True, 1)
    assert AuditEntry.objects.get(action="launch_start").actor_label == someone.label
    ((node_name, task, arguments),) = nudges
    assert (node_name, task) == ("spark-1", "models.container_start")
    assert arguments["spec"]["member"] == member.uid
    assert arguments["spec"]["ports"][0]["address"] == "127.0.0.1"


def test_second_start_returns_the_first(node, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    definition = DefinitionFactory()
    first, _ = start(definition, node, someone)
    second, created = start(definition, node, someone)
    assert (second, created) == (first, False)
    assert len(nudges) == 1


def test_fifty_starts_at_once_yield_one_launch(node, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    definition = DefinitionFactory()
    barrier = threading.Barrier(50)
    results: list[tuple[str, bool]] = []

    def press() -> None:
        barrier.wait()
        try:
            launch, created = start(definition, node, someone)
            results.append((launch.uid, created))
        finally:
            connection.close()

    threads = [threading.Thread(target=press) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 50
    assert len({uid for uid, _ in results}) == 1
    assert sum(created for _, created in results) == 1
    assert Launch.objects.count() == 1
    assert len(nudges) == 1


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"enabled": False}, "definition_disabled", "enable it first"),
        ({"engine": "script"}, "settings_invalid", "script_dir: expected a folder"),
        ({"settings": {"max_model_len": "many"}}, "settings_invalid", "max_model_len"),
    ],
)
def test_refused_definitions(node, someone, nudges, change, code, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(LaunchRefused, match=words) as refusal:
        start(DefinitionFactory(**change), node, someone)
    assert refusal.value.code == code
    assert not nudges
    assert not Launch.objects.exists()


def test_a_silent_node_is_refused(someone, nudges) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(LaunchRefused, match="start its agent"):
        start(DefinitionFactory(), NodeFactory(status=NodeStatus.OFFLINE), someone)


def test_short_memory_names_both_figures_and_can_be_forced(node, someone, nudges, memory) -> None:  # type: ignore[no-untyped-def]
    memory(31)
    definition = DefinitionFactory(name="Qwen", estimated_memory_gb=45)
    with pytest.raises(LaunchRefused, match="needs 45 GiB; spark-1 has 31 GiB available") as refusal:
        start(definition, node, someone)
    assert refusal.value.data["available_gb"] == 31
    assert refusal.value.data["required_gb"] == 45
    launch, _ = start(definition, node, someone, force_reason="I closed the browser")
    assert launch.forced_reason == "I closed the browser"
    assert AuditEntry.objects.get(action="launch_start").detail["force_reason"] == "I closed the browser"


def test_a_port_of_another_launch_is_refused_by_name(node, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    start(DefinitionFactory(slug="first", port=8100), node, someone)
    with pytest.raises(LaunchRefused, match="port 8100 on spark-1 is used by first") as refusal:
        start(DefinitionFactory(slug="second", port=8100), node, someone)
    assert refusal.value.code == "port_in_use"


def test_stop_then_the_node_confirms(node, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    launch, _ = start(DefinitionFactory(), node, someone)
    member = LaunchMember.objects.get()
    launch = services.launch_stop(launch=launch, actor=someone)
    assert (launch.state, launch.desired, launch.generation) == (LaunchState.STOPPING, Desired.STOPPED, 2)
    assert nudges[-1][1] == "models.container_stop"
    assert nudges[-1][2]["generation"] == 2
    container_removed(node.name, {"member": member.uid})
    launch.refresh_from_db()
    assert (launch.state, launch.live) == (LaunchState.STOPPED, False)
    assert start(launch.definition, node, someone)[1]


def test_stop_pressed_twice_asks_once(node, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    launch, _ = start(DefinitionFactory(), node, someone)
    services.launch_stop(launch=launch, actor=someone)
    services.launch_stop(launch=launch, actor=someone)
    assert AuditEntry.objects.filter(action="launch_stop").count() == 1


def test_restart_is_a_new_attempt_of_the_same_launch(node, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    launch, _ = start(DefinitionFactory(), node, someone)
    first = LaunchMember.objects.get()
    services.launch_restart(launch=launch, actor=someone)
    container_exited(node.name, {"member": first.uid, "exit_code": 0})
    launch.refresh_from_db()
    second = LaunchMember.objects.get(live=True)
    assert launch.state == LaunchState.REQUESTED
    assert second.attempt.number == 2
    assert second.container_name != first.container_name
    assert nudges[-1][2]["spec"]["member"] == second.uid
    assert nudges[-1][2]["spec"]["generation"] > first.attempt.generation


def test_restart_of_an_ended_launch_is_refused(node, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    launch, _ = start(DefinitionFactory(), node, someone)
    member = LaunchMember.objects.get()
    services.launch_stop(launch=launch, actor=someone)
    container_removed(node.name, {"member": member.uid})
    launch.refresh_from_db()
    with pytest.raises(LaunchRefused, match="start it instead"):
        services.launch_restart(launch=launch, actor=someone)


def test_a_running_definition_cannot_be_deleted(node, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    definition = DefinitionFactory()
    start(definition, node, someone)
    with pytest.raises(LaunchRefused, match="stop it first"):
        services.definition_delete(definition=definition, actor=someone)
