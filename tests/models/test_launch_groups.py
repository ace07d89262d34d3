"""A launch on two nodes is one launch: started, ended, failed and started again together."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from metrics_app.models import Node, NodeStatus
from metrics_app.services import node_delete
from models_app import observing, services
from models_app.exceptions import LaunchRefused
from models_app.models import Desired, Launch, LaunchMember, LaunchState
from models_app.observing import Observations
from models_app.reconcile import Reconciler
from models_app.run_lines import docker_run_line_for
from models_app.selectors import definition_card_of, definition_cards, launches_filtered, live_on_node
from models_app.transitions import launch_move
from tests.factories import DefinitionFactory, NodeFactory

S = LaunchState
pytestmark = pytest.mark.django_db(transaction=True)
RUNS = {"phase": "running", "probe": {"ready": True, "failures": 0}}


@pytest.fixture(autouse=True)
def preflight_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a preflight refuses is test_preflights.py's."""
    monkeypatch.setattr(services, "preflight_require", lambda **_: None)


@pytest.fixture(autouse=True)
def first_fabric(node: Node) -> None:
    node.fabric_address = "192.168.100.10"
    node.save()


@pytest.fixture
def second(db: None) -> Node:
    return NodeFactory(name="spark-2", status=NodeStatus.ONLINE, fabric_address="192.168.100.11")


@pytest.fixture
def launch(node, second, someone, nudges) -> Launch:  # type: ignore[no-untyped-def]
    definition = DefinitionFactory(slug="large", port=8200, node_count=2)
    return services.launch_create(definition=definition, node=node, followers=[second], actor=someone)[0]


def ranks(launch: Launch) -> list[LaunchMember]:
    return list(launch.attempts.first().members.order_by("rank"))


def crash(member: LaunchMember, **data: object) -> None:
    fact = {"member": member.uid, "exit_code": 1, "reason": "exited with code 1: NCCL error"} | data
    observing.container_exited(member.node.name, fact)


def sent(nudges: list[Any], task: str) -> list[tuple[str, str]]:
    return [
        (node, arguments.get("member") or arguments["spec"]["member"])
        for node, name, arguments in nudges
        if name == f"models.{task}"
    ]


def observed(**entries: dict[str, Any]) -> Observations:
    """Reports of both nodes, by node name with _ for - and a list of one entry each."""
    view = Observations()
    for name in ("spark-1", "spark-2"):
        entry = entries.get(name.replace("-", "_"))
        view.report(name, [entry] if entry else [], docker_ok=True)
    return view


def seen(launch: Launch, *states: dict[str, Any]) -> Observations:
    first, second = ranks(launch)
    entries = [{"member": member.uid} | state for member, state in zip((first, second), states, strict=True)]
    return observed(spark_1=entries[0], spark_2=entries[1])


def test_both_nodes_get_their_rank(launch: Launch, nudges: list[Any]) -> None:
    first, second = ranks(launch)
    assert [(one.rank, one.node.name, one.port, one.live) for one in (first, second)] == [
        (0, "spark-1", 8200, True),
        (1, "spark-2", 8200, True),
    ]
    assert second.container_name == f"{first.container_name}-r1"
    assert sent(nudges, "container_start") == [("spark-1", first.uid), ("spark-2", second.uid)]
    assert launch.node_name == "spark-1"


def test_a_second_start_on_either_node_returns_the_first(launch: Launch, second: Node, someone) -> None:  # type: ignore[no-untyped-def]
    again, created = services.launch_create(definition=launch.definition, node=second, actor=someone)
    assert (again.uid, created) == (launch.uid, False)


def test_the_port_is_taken_on_both(launch: Launch, second: Node, someone) -> None:  # type: ignore[no-untyped-def]
    other = DefinitionFactory(slug="other", port=8200)
    with pytest.raises(LaunchRefused, match="port 8200 on spark-2 is used by large"):
        services.launch_create(definition=other, node=second, actor=someone)


def test_an_engine_for_one_node_is_refused(node, second, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    definition = DefinitionFactory(engine="sglang", node_count=2)
    with pytest.raises(LaunchRefused, match="cannot span several") as refusal:
        services.launch_create(definition=definition, node=node, followers=[second], actor=someone)
    assert refusal.value.code == "engine_single_node"
    assert not nudges


def test_a_silent_follower_is_refused(node, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    silent = NodeFactory(name="spark-2", status=NodeStatus.OFFLINE, fabric_address="192.168.100.11")
    definition = DefinitionFactory(node_count=2)
    with pytest.raises(LaunchRefused, match="spark-2 is offline"):
        services.launch_create(definition=definition, node=node, followers=[silent], actor=someone)


def test_ready_when_the_first_answers_and_all_run(launch: Launch) -> None:
    Reconciler(seen(launch, RUNS, {"phase": "creating"})).launch_reconcile()
    launch.refresh_from_db()
    assert launch.state == S.STARTING
    Reconciler(seen(launch, RUNS, RUNS)).launch_reconcile()
    launch.refresh_from_db()
    assert launch.state == S.READY


def test_stop_waits_for_both(launch: Launch, someone, nudges: list[Any]) -> None:  # type: ignore[no-untyped-def]
    first, second = ranks(launch)
    services.launch_stop(launch=launch, actor=someone)
    assert sent(nudges, "container_stop") == [("spark-1", first.uid), ("spark-2", second.uid)]
    observing.container_removed("spark-1", {"member": first.uid})
    launch.refresh_from_db()
    assert (launch.state, launch.live) == (S.STOPPING, True)
    crash(second, exit_code=0)
    launch.refresh_from_db()
    assert (launch.state, launch.live) == (S.STOPPED, False)


def test_restart_begins_when_both_have_ended(launch: Launch, someone, nudges: list[Any]) -> None:  # type: ignore[no-untyped-def]
    first, second = ranks(launch)
    services.launch_restart(launch=launch, actor=someone)
    crash(second)
    assert launch.attempts.count() == 1
    crash(first)
    launch.refresh_from_db()
    assert launch.state == S.REQUESTED
    assert [one.node.name for one in ranks(launch)] == ["spark-1", "spark-2"]
    assert sent(nudges, "container_start")[2:] == [
        ("spark-1", ranks(launch)[0].uid),
        ("spark-2", ranks(launch)[1].uid),
    ]


@pytest.mark.parametrize("dead", [0, 1])
def test_one_rank_dead_takes_the_other_down_and_both_start_again(
    launch: Launch, nudges: list[Any], dead: int
) -> None:
    launch_move(launch, S.READY)
    members = ranks(launch)
    crash(members[dead])
    launch.refresh_from_db()
    left = members[1 - dead]
    assert (launch.state, launch.desired) == (S.STOPPING, Desired.RUNNING)
    assert launch.failure_reason == (f"Rank {dead} on spark-{dead + 1}: exited with code 1: NCCL error")
    assert sent(nudges, "container_stop") == [(left.node.name, left.uid)]
    crash(left, exit_code=143, reason="stopped")
    launch.refresh_from_db()
    assert launch.state == S.REQUESTED
    assert launch.retry_at is not None
    assert "NCCL error" in launch.failure_reason
    Launch.objects.update(retry_at=timezone.now())
    Reconciler(observed()).launch_reconcile()
    launch.refresh_from_db()
    assert launch.attempts.count() == 2
    assert len(sent(nudges, "container_start")) == 4
    assert all(one.live for one in ranks(launch))


def test_one_rank_dead_before_ready_fails_the_launch_once_both_are_gone(launch: Launch) -> None:
    first, second = ranks(launch)
    fact = {"member": second.uid, "code": "image_missing", "reason": "There is no image x"}
    observing.start_refused("spark-2", fact)
    observing.container_removed("spark-1", {"member": first.uid})
    launch.refresh_from_db()
    assert (launch.state, launch.live, launch.failure_code) == (S.FAILED, False, "image_missing")
    assert launch.failure_reason == "Rank 1 on spark-2: There is no image x"


def test_stop_while_the_rest_is_taken_down_ends_it_for_good(launch: Launch, someone) -> None:  # type: ignore[no-untyped-def]
    launch_move(launch, S.READY)
    first, second = ranks(launch)
    crash(first)
    services.launch_stop(launch=launch, actor=someone)
    crash(second)
    launch.refresh_from_db()
    assert (launch.state, launch.live) == (S.STOPPED, False)


def test_reconcile_keeps_asking_for_the_end_of_what_is_left(launch: Launch, nudges: list[Any]) -> None:
    launch_move(launch, S.READY)
    first, second = ranks(launch)
    crash(first)
    nudges.clear()
    Reconciler(observed(spark_2={"member": second.uid} | RUNS)).launch_reconcile()
    assert sent(nudges, "container_stop") == [("spark-2", second.uid)]
    assert not sent(nudges, "container_start")


def test_an_end_that_nobody_concluded_from_is_found_by_reconcile(launch: Launch, nudges: list[Any]) -> None:
    first, second = ranks(launch)
    LaunchMember.objects.filter(pk=first.pk).update(live=False)
    Reconciler(observed(spark_2={"member": second.uid} | RUNS)).launch_reconcile()
    launch.refresh_from_db()
    assert launch.state == S.STOPPING
    assert sent(nudges, "container_stop") == [("spark-2", second.uid)]


def test_a_silent_node_loses_it_and_its_return_finds_it(launch: Launch, second: Node) -> None:
    launch_move(launch, S.READY)
    view = seen(launch, RUNS, RUNS)
    Node.objects.filter(pk=second.pk).update(status=NodeStatus.OFFLINE)
    Reconciler(view).launch_reconcile()
    launch.refresh_from_db()
    assert launch.state == S.LOST
    Node.objects.filter(pk=second.pk).update(status=NodeStatus.ONLINE)
    Reconciler(view).launch_reconcile()
    launch.refresh_from_db()
    assert launch.state == S.READY


def test_a_node_silent_for_a_minute_has_the_rest_taken_down(
    launch: Launch, second: Node, nudges: list[Any]
) -> None:
    launch_move(launch, S.READY)
    launch_move(launch, S.LOST)
    Launch.objects.update(state_changed_at=timezone.now() - timedelta(seconds=61))
    Node.objects.filter(pk=second.pk).update(status=NodeStatus.OFFLINE)
    Reconciler(seen(launch, RUNS, RUNS)).launch_reconcile()
    launch.refresh_from_db()
    assert launch.state == S.STOPPING
    assert "Nothing was heard of rank 1 on spark-2" in launch.failure_reason
    assert ("spark-1", ranks(launch)[0].uid) in sent(nudges, "container_stop")


def test_a_deleted_node_fails_it_and_names_the_node(launch: Launch, second: Node, someone) -> None:  # type: ignore[no-untyped-def]
    assert live_on_node(second) == ["large"]
    Node.objects.filter(pk=second.pk).update(status=NodeStatus.OFFLINE)
    second.refresh_from_db()
    node_delete(node=second, actor=someone)
    Reconciler(observed()).launch_reconcile()
    launch.refresh_from_db()
    assert (launch.state, launch.failure_code) == (S.FAILED, "node_deleted")
    assert "spark-2 was deleted" in launch.failure_reason


def test_it_is_shown_on_the_pages_of_both_nodes(launch: Launch, second: Node) -> None:
    assert [card.launch for card in definition_cards(second)] == [launch]
    assert definition_card_of(launch.definition, second).launch == launch
    assert list(launches_filtered(node="spark-2")) == [launch]


def test_a_port_taken_meanwhile_fails_the_next_attempt(launch: Launch, second: Node, someone) -> None:  # type: ignore[no-untyped-def]
    launch_move(launch, S.READY)
    for member in ranks(launch):
        crash(member)
    services.launch_create(definition=DefinitionFactory(slug="other", port=8200), node=second, actor=someone)
    Launch.objects.filter(pk=launch.pk).update(retry_at=timezone.now())
    Reconciler(observed()).launch_reconcile()
    launch.refresh_from_db()
    assert (launch.state, launch.failure_code) == (S.FAILED, "port_in_use")


# Where it is started -------------------------------------------------------------


def test_the_only_other_node_is_chosen(node, second, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    launch, _ = services.launch_create(definition=DefinitionFactory(node_count=2), node=second, actor=someone)
    assert [one.node.name for one in ranks(launch)] == ["spark-2", "spark-1"]


def test_a_choice_is_the_owners(node, second, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    NodeFactory(name="spark-3", status=NodeStatus.ONLINE, fabric_address="192.168.100.12")
    with pytest.raises(
        LaunchRefused, match="say which: beside spark-1 there are spark-2, spark-3"
    ) as refusal:
        services.launch_create(definition=DefinitionFactory(node_count=2), node=node, actor=someone)
    assert refusal.value.code == "nodes_wanted"


@pytest.mark.parametrize(
    ("count", "names", "words"),
    [
        (2, ["spark-1"], "beside spark-1 there is no other node online with a fabric address"),
        (1, ["spark-1", "spark-2"], "lies on one node, not on 2: spark-1, spark-2"),
        (3, ["spark-1", "spark-2"], "lies on 3 nodes, not on 2"),
        (2, ["spark-1", "spark-1"], "each node can be named once"),
    ],
)
def test_the_wrong_number_of_nodes(node, someone, nudges, count, names, words) -> None:  # type: ignore[no-untyped-def]
    made = {"spark-1": node, "spark-2": NodeFactory(name="spark-2", status=NodeStatus.ONLINE)}
    first, *rest = [made[name] for name in names]
    with pytest.raises(LaunchRefused, match=words):
        services.launch_create(
            definition=DefinitionFactory(node_count=count), node=first, followers=rest, actor=someone
        )


def test_each_node_needs_its_share_of_memory(node, second, someone, nudges, memory) -> None:  # type: ignore[no-untyped-def]
    memory(100)
    definition = DefinitionFactory(name="Large", node_count=2, estimated_memory_gb=160)
    launch, _ = services.launch_create(definition=definition, node=node, followers=[second], actor=someone)
    assert launch.state == S.REQUESTED
    too_large = DefinitionFactory(name="Larger", node_count=2, estimated_memory_gb=240)
    with pytest.raises(LaunchRefused, match="Larger needs 120 GiB; spark-1 has"):
        services.launch_create(definition=too_large, node=node, followers=[second], actor=someone)


def test_the_lines_of_all_ranks_are_shown(node, second) -> None:  # type: ignore[no-untyped-def]
    line, notes = docker_run_line_for(DefinitionFactory(node_count=2), node)
    head, follower = line.split("\n\n")
    assert head.startswith("# rank 0, on spark-1\ndocker run")
    assert follower.startswith("# rank 1, on spark-2\ndocker run")
    assert "--headless" in follower
    assert len(notes) == len(set(notes))


def test_several_nodes_are_refused_for_other_engines(db: None) -> None:
    with pytest.raises(ValidationError, match="only vLLM can span several"):
        DefinitionFactory.build(engine="ollama", node_count=2).full_clean()


def test_nodes_by_the_api(launch: Launch, bearer, operator, second: Node) -> None:  # type: ignore[no-untyped-def]
    api = bearer(operator, "operate")
    shown = api.get(f"/api/launches/{launch.uid}/").json()
    assert shown["nodes"] == ["spark-1", "spark-2"]
    other = DefinitionFactory(node_count=2, port=8300)
    asked = {"definition": other.slug, "nodes": ["spark-2", "spark-1"]}
    answer = api.post("/api/launches/", asked, content_type="application/json")
    assert (answer.status_code, answer.json()["nodes"]) == (202, ["spark-2", "spark-1"])
