"""Containers that somebody else started: which can be adopted, what may be done to them, how it ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from metrics_app.models import Node
from models_app import adoption, attempts, idle, observing, schedules, services
from models_app.adoption_match import definitions_by_likelihood, host_ports, not_adoptable
from models_app.engines.spec import ProbeSpec
from models_app.exceptions import LaunchRefused
from models_app.models import Launch, LaunchMember, LaunchState, ModelDefinition
from models_app.models_schedules import Mode, Schedule
from models_app.node.adopted import Adopted, AdoptionRefused, AdoptOrder, probe_chosen
from models_app.observing import Observations
from models_app.reconcile import ENDED_AFTER_SECONDS, ORPHAN_AFTER_SECONDS, Reconciler
from models_app.transitions import launch_move
from models_app.usage import IdleWatch
from sparkweb.accounts.models import AuditEntry, User
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory

S = LaunchState
JSON = "application/json"
CONTAINER = "f" * 64
NUDGES = list[tuple[str, str, dict[str, Any]]]
READY = {"phase": "running", "probe": {"ready": True, "failures": 0}, "adopted": True}
LOADING = {
    "phase": "running",
    "probe": {"ready": False, "failures": 9, "message": "refused"},
    "adopted": True,
}


def reported(**fields: Any) -> dict[str, Any]:
    return {
        "id": CONTAINER,
        "name": "my-vllm",
        "image": "vllm/vllm-openai:v0.11",
        "state": "running",
        "status": "Up 3 hours",
        "ports": ["0.0.0.0:8000->8000/tcp", "[::]:8000->8000/tcp", "9000/tcp"],
        "ours": False,
        "adopted": False,
        "foreign": False,
    } | fields


# Which container, which definition: pure --------------------------------------------


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        (["0.0.0.0:8000->8000/tcp", "[::]:8000->8000/tcp"], [8000]),
        (["127.0.0.1:8104->8000/tcp", "127.0.0.1:53->53/udp", "9000/tcp"], [8104]),
        (["10.0.0.1:9000->1/tcp", "10.0.0.1:80->1/tcp"], [80, 9000]),
        ([], []),
        (None, []),
        ("0.0.0.0:8000->8000/tcp", []),
        ([7, None, "->", ":->1/tcp"], []),
    ],
)
def test_published_ports(ports: Any, found: list[int]) -> None:
    assert host_ports({"ports": ports}) == found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"state": "paused"}, ""),
        ({"ours": True}, "started by SparkWeb"),
        ({"foreign": True}, "another SparkWeb"),
        ({"adopted": True}, "adopted already"),
        ({"state": "exited"}, "does not run: it is exited"),
        ({"ports": ["8000/tcp"]}, "publishes no TCP port"),
    ],
)
def test_what_can_be_adopted(change: dict[str, Any], words: str) -> None:
    why = not_adoptable(reported(**change))
    assert words in why
    assert bool(why) == bool(words)


def test_definitions_whose_port_it_publishes_come_first_and_scripts_never() -> None:
    def definition(slug: str, port: int, **fields: Any) -> ModelDefinition:
        return ModelDefinition(slug=slug, port=port, **fields)

    known = [
        definition("other", 8100),
        definition("script", 8000, engine="script"),
        definition("two", 8000, node_count=2),
        definition("this", 8000),
    ]
    found = definitions_by_likelihood(reported(), known)
    assert [(one.slug, fits) for one, fits in found] == [("this", True), ("other", False)]


def order(kind: str = "openai", **fields: Any) -> AdoptOrder:
    probe = ProbeSpec(kind, 8000, model="" if kind == "http" else "qwen")
    names = ["qwen", "org/Qwen"]
    return AdoptOrder(**({"launch": "a" * 16, "member": "b" * 16, "generation": 1, "slug": "qwen",
                          "container_id": CONTAINER, "names": names, "probe": probe} | fields))  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "answers", "port", "model"),
    [
        ("openai", {8000: ["qwen"]}, 8000, "qwen"),
        ("openai", {9000: None, 9100: ["x", "org/Qwen"]}, 9100, "org/Qwen"),  # as vLLM without a served name
        ("openai", {8000: None}, 8000, "qwen"),  # its port, and it may still load
        ("openai", {8000: None, 8001: ["qwen"]}, 8001, "qwen"),
        ("ollama", {11434: ["QWEN:latest"]}, 11434, "qwen"),
        ("http", {8000: None}, 8000, ""),
        ("http", {8001: ["qwen"]}, 8001, ""),
    ],
)
def test_how_it_is_asked(kind: str, answers: dict[int, list[str] | None], port: int, model: str) -> None:
    probe = probe_chosen(order(kind), answers)
    assert (probe.kind, probe.port, probe.model) == (kind, port, model)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({8000: ["llama"]}, "port 8000 lists llama"),  # its port, but another model
        ({8000: []}, "port 8000 lists no model"),
        ({9000: None}, "port 9000 gave no model list"),
        ({}, "publishes no port"),
        ({8000: ["qwen:latest"]}, "lists qwen:latest"),
    ],
)
def test_what_serves_something_else_is_refused(answers: dict[int, list[str] | None], words: str) -> None:
    with pytest.raises(AdoptionRefused, match=words) as refused:
        probe_chosen(order(), answers)
    assert "expects qwen or org/Qwen, or port 8000" in str(refused.value)


def test_adopted_ones_outlive_the_agent_and_a_broken_file_is_none(tmp_path: Any) -> None:
    path = tmp_path / "agent" / "adopted.json"
    Adopted(path).add(CONTAINER, order().identity)
    again = Adopted(path)
    assert again.identity(CONTAINER) == order().identity
    assert again.container_of("b" * 16) == CONTAINER
    again.drop(CONTAINER)
    again.drop("never known")
    assert Adopted(path).identity(CONTAINER) is None
    for broken in ("", "[]", '{"a": 1}', '{"a": {"probe": {}}}', "\x00"):
        path.write_text(broken)
        assert Adopted(path).container_of("b" * 16) is None


def test_an_order_survives_json() -> None:
    data = {"kind": "adopted", "node": "spark-1"} | order().__dict__ | {"probe": order().probe.__dict__}
    assert AdoptOrder.from_json(data) == order()
    with pytest.raises(KeyError):
        AdoptOrder.from_json({})


# Services -------------------------------------------------------------------------


@pytest.fixture
def containers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the node reports; tests change it."""
    rows = [reported()]
    monkeypatch.setattr(adoption, "node_snapshot", lambda name: {"report": {"containers": rows}})
    return rows


@pytest.fixture
def definition(db: None) -> ModelDefinition:
    return DefinitionFactory(slug="qwen", name="Qwen", port=8000, model_id="org/Qwen")  # type: ignore[no-any-return]


@pytest.fixture
def launch(node, someone, nudges, containers, definition) -> Launch:  # type: ignore[no-untyped-def]
    return adopt(node, definition, someone)


def adopt(node: Node, definition: ModelDefinition, actor: Any, container_id: str = CONTAINER) -> Launch:
    return adoption.container_adopt(node=node, container_id=container_id, definition=definition, actor=actor)


def member_of(launch: Launch) -> LaunchMember:
    return LaunchMember.objects.get(attempt__launch=launch)


def created(launch: Launch, **probe: Any) -> None:
    told = {"kind": "openai", "port": 8000, "path": "/health", "model": "qwen", "host": "127.0.0.1"} | probe
    fact = {"member": member_of(launch).uid, "container_id": CONTAINER, "image_digest": "sha256:1",
            "adopted": True, "probe": told}  # fmt: skip
    observing.container_created(launch.node_name, fact)


def look(launch: Launch, entry: dict[str, Any] | None, **clock: Any) -> Reconciler:
    seen = Observations()
    entries = (
        [{"launch": launch.uid, "member": member_of(launch).uid, "generation": 1} | entry] if entry else []
    )
    seen.report("spark-1", entries, docker_ok=True)
    reconciler = Reconciler(seen, **clock)
    reconciler.launch_reconcile()
    launch.refresh_from_db()
    return reconciler


database = pytest.mark.django_db(transaction=True)


@database
def test_adoption_makes_a_launch_with_one_member_and_tells_the_node(launch, nudges, someone) -> None:  # type: ignore[no-untyped-def]
    member = member_of(launch)
    assert (launch.state, launch.adopted_foreign, launch.requested_by) == (S.REQUESTED, True, someone.user)
    assert (member.container_id, member.container_name, member.port) == (CONTAINER, "my-vllm", 8000)
    ((name, task, arguments),) = nudges
    assert (name, task) == ("spark-1", "models.container_adopt")
    told = AdoptOrder.from_json(arguments["order"])
    assert (told.container_id, told.names, told.probe.port) == (CONTAINER, ["qwen", "org/Qwen"], 8000)
    entry = AuditEntry.objects.get(action="container_adopt")
    assert (entry.actor_label, entry.detail["container"]) == (someone.label, "my-vllm")


@database
def test_its_state_is_what_is_observed_and_it_is_asked_for_again_until_seen(launch, nudges) -> None:  # type: ignore[no-untyped-def]
    nudges.clear()
    look(launch, None)  # a lost nudge, or an agent that lost its file
    assert [task for _, task, _ in nudges] == ["models.container_adopt"]
    nudges.clear()
    look(launch, LOADING)
    assert launch.state == S.LOADING
    look(launch, READY)
    assert launch.state == S.READY
    assert nudges == []


@database
def test_the_node_says_on_which_port_and_by_which_name_it_serves(launch) -> None:  # type: ignore[no-untyped-def]
    created(launch, port=9100, model="org/Qwen")
    member = member_of(launch)
    assert (member.port, member.image_digest) == (9100, "sha256:1")
    assert (member.spec["probe"]["port"], member.spec["probe"]["model"]) == (9100, "org/Qwen")
    for odd in ({"port": "x"}, {"port": 0}, {"port": 10**9}, {"port": None}):
        created(launch, **odd)
    MemberFactory(attempt=AttemptFactory(launch=LaunchFactory(node=launch.node)), port=9200)
    created(launch, port=9200)  # another live member has it: kept out of the way of its constraint
    assert member_of(launch).port == 9100


@database
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ours": True}, "started by SparkWeb"),
        ({"state": "exited"}, "does not run"),
        ({"id": "e" * 64}, "reports no container"),
    ],
)
def test_what_cannot_be_adopted_is_refused(
    node, someone, nudges, containers, definition, change, words
) -> None:  # type: ignore[no-untyped-def]
    containers[0] |= change
    with pytest.raises(LaunchRefused, match=words):
        adopt(node, definition, someone)
    assert (nudges, Launch.objects.count()) == ([], 0)


@database
def test_one_container_one_definition(launch, node, someone, definition) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(LaunchRefused, match="Qwen is requested on spark-1 already"):
        adopt(node, definition, someone)
    with pytest.raises(LaunchRefused, match="belongs to qwen on spark-1 already"):
        adopt(node, DefinitionFactory(port=8001), someone)
    with pytest.raises(LaunchRefused, match="is a script"):
        adopt(node, DefinitionFactory(port=8002, engine="script", script_dir="x"), someone)


@database
def test_a_model_that_is_not_there_fails_with_the_nodes_sentence(launch) -> None:  # type: ignore[no-untyped-def]
    fact = {"member": member_of(launch).uid, "code": "adoption_refused", "reason": "It does not serve qwen"}
    observing.start_refused("spark-1", fact)
    launch.refresh_from_db()
    assert (launch.state, launch.failure_code) == (S.FAILED, "adoption_refused")


@database
def test_stop_wants_the_containers_name_and_restart_is_refused(launch, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    nudges.clear()
    for confirm in ("", "qwen", "my-vllm2"):
        with pytest.raises(
            LaunchRefused, match=r"my-vllm \(vllm/vllm-openai.* not started by SparkWeb"
        ) as refused:
            services.launch_stop(launch=launch, actor=someone, confirm=confirm)
        assert refused.value.code == "confirm_foreign"
    with pytest.raises(LaunchRefused, match="not started again from here"):
        services.launch_restart(launch=launch, actor=someone)
    with pytest.raises(LaunchRefused, match="not started again from here"):
        attempts.attempt_again(launch, "again")
    assert nudges == []
    stopping = services.launch_stop(launch=launch, actor=someone, confirm="my-vllm")
    assert stopping.state == S.STOPPING
    assert [task for _, task, _ in nudges] == ["models.container_stop"]
    observing.container_exited("spark-1", {"member": member_of(launch).uid, "exit_code": 0})
    launch.refresh_from_db()
    assert launch.state == S.STOPPED


@database
@pytest.mark.parametrize(
    ("verb", "data", "words"),
    [
        ("container_exited", {"exit_code": 137, "reason": "killed with SIGKILL"}, "killed with SIGKILL"),
        ("container_gone", {"reason": "The container was removed by someone else"}, "removed by someone"),
    ],
)
def test_its_end_behind_our_back_ends_the_launch_and_nothing_starts_again(  # type: ignore[no-untyped-def]
    launch, nudges, verb, data, words
) -> None:
    look(launch, READY)
    nudges.clear()
    observing.FACTS[verb]("spark-1", {"member": member_of(launch).uid} | data)
    launch.refresh_from_db()
    assert (launch.state, launch.live, launch.retry_at) == (S.FAILED, False, None)
    assert words in launch.failure_reason
    assert (launch.attempts.count(), nudges) == (1, [])


@database
def test_released_it_ends_and_the_container_goes_on(launch, someone, nudges) -> None:  # type: ignore[no-untyped-def]
    look(launch, READY)
    nudges.clear()
    adoption.launch_release(launch=launch, actor=someone)
    launch.refresh_from_db()
    assert (launch.state, launch.live, member_of(launch).live) == (S.STOPPED, False, False)
    ((_, task, arguments),) = nudges
    assert (task, arguments["member"], arguments["generation"]) == (
        "models.container_release", member_of(launch).uid, 2,
    )  # fmt: skip
    assert AuditEntry.objects.filter(action="container_release").count() == 1
    adoption.launch_release(launch=launch, actor=someone)
    assert AuditEntry.objects.filter(action="container_release").count() == 1
    with pytest.raises(LaunchRefused, match="started by SparkWeb"):
        adoption.launch_release(launch=LaunchFactory(), actor=someone)


@database
def test_nothing_but_a_person_ends_it(launch, node, someone, nudges, definition) -> None:  # type: ignore[no-untyped-def]
    """Neither a start that stands still, nor a hang, nor idleness, nor a schedule, nor need of memory."""
    launch_move(launch, S.LOADING)
    definition.idle_minutes, definition.settings = 1, {"restart_on_hang": True}
    definition.save()
    Launch.objects.filter(pk=launch.pk).update(state_changed_at=timezone.now() - timedelta(days=2))
    nudges.clear()
    look(launch, LOADING)
    look(launch, READY)
    look(launch, READY | {"hang": "no token for 300 s"})
    assert (launch.state, launch.live) == (S.DEGRADED, True)
    look(launch, READY)
    figures = {"requests_running": 0, "requests_waiting": 0, "generation_tokens_total": 1}
    seen = Observations()
    seen.report("spark-1", [{"member": member_of(launch).uid, "engine": figures}], docker_ok=True)
    watch = IdleWatch()
    assert [idle.idle_unload(now, watch, seen) for now in (0, 1e6)] == [[], []]
    Schedule.objects.create(
        name="Only others", node=node, mode=Mode.EXCLUSIVE, days=list(range(7)), starts_at="00:00",
        ends_at="23:59",
    )  # fmt: skip
    turn = schedules.schedule_turn(node, timezone.now().replace(hour=12))
    assert turn is not None
    assert turn.steps == []
    launch.refresh_from_db()
    assert (launch.live, nudges) == (True, [])


# Orphans ---------------------------------------------------------------------------


def orphan_nudges(launch: Launch, nudges: NUDGES, entry: dict[str, Any], seconds: float) -> list[str]:
    """What a control that was just started sends, seeing an entry for a while."""
    now = [0.0]
    nudges.clear()
    reconciler = look(launch, entry, clock=lambda: now[0])
    now[0] = seconds
    reconciler.launch_reconcile()
    return [task for _, task, _ in nudges]


@database
def test_after_a_restart_of_control_an_adopted_one_is_no_orphan(launch, nudges) -> None:  # type: ignore[no-untyped-def]
    assert orphan_nudges(launch, nudges, READY, 10 * ORPHAN_AFTER_SECONDS) == []
    assert launch.state == S.READY


@database
def test_an_adopted_one_that_no_launch_claims_is_given_back_never_stopped(launch, nudges, someone) -> None:  # type: ignore[no-untyped-def]
    adoption.launch_release(launch=launch, actor=someone)  # and the node missed it
    told = orphan_nudges(launch, nudges, READY, ENDED_AFTER_SECONDS)
    assert told == ["models.container_release"]


@database
def test_orphans_with_our_label_are_stopped_only_when_no_launch_claims_them(node, nudges) -> None:  # type: ignore[no-untyped-def]
    member = MemberFactory(attempt=AttemptFactory(launch=LaunchFactory(node=node, state=S.READY)))
    runs = {"phase": "running", "probe": {"ready": True}, "generation": 1}
    stranger = {"launch": "0" * 16, "member": "1" * 16} | runs
    seen, now = Observations(), [0.0]
    seen.report("spark-1", [{"launch": "", "member": member.uid} | runs, stranger], docker_ok=True)
    reconciler = Reconciler(seen, clock=lambda: now[0])
    for seconds, stopped in ((0.0, []), (ORPHAN_AFTER_SECONDS - 1, []), (ORPHAN_AFTER_SECONDS, ["1" * 16])):
        now[0] = seconds
        reconciler.launch_reconcile()
        assert [arguments["member"] for _, _, arguments in nudges] == stopped
    assert nudges[0][1] == "models.container_stop"
    nudges.clear()
    member.attempt.launch.refresh_from_db()
    launch_move(member.attempt.launch, S.FAILED, message="given up")
    reconciler.launch_reconcile()
    now[0] += ENDED_AFTER_SECONDS
    reconciler.launch_reconcile()
    assert member.uid in [arguments["member"] for _, _, arguments in nudges]


# API and pages -----------------------------------------------------------------------


@database
def test_api(node, containers, definition, nudges, operator: User, bearer: Callable[..., Client]) -> None:  # type: ignore[no-untyped-def]
    api = bearer(operator, "operate")

    def post(path: str, **body: Any) -> Any:
        return api.post(path, body, content_type=JSON)

    made = post("/api/nodes/spark-1/adopt", container_id=CONTAINER[:12], definition="qwen")
    assert made.status_code == 202, made.json()
    assert made.json()["adopted_foreign"] is True
    uid = made.json()["uid"]
    for body in ({"container_id": "nothing", "definition": "qwen"}, {"container_id": CONTAINER}, {}):
        assert post("/api/nodes/spark-1/adopt", **body).status_code == 400
    assert post("/api/nodes/spark-9/adopt").status_code == 404
    refused = post(f"/api/launches/{uid}/stop")
    assert (refused.status_code, refused.json()["code"]) == (409, "confirm_foreign")
    assert post("/api/models/qwen/stop").status_code == 409
    assert post(f"/api/launches/{uid}/restart").json()["code"] == "adopted_foreign"
    assert post(f"/api/launches/{uid}/release").json()["state"] == "stopped"
    again = post("/api/nodes/spark-1/adopt", container_id=CONTAINER, definition="qwen").json()["uid"]
    assert post(f"/api/launches/{again}/stop", confirm="my-vllm").json()["state"] == "stopping"


@database
def test_pages(
    node, containers, definition, nudges, operator: User, client_of: Callable[..., Client]
) -> None:  # type: ignore[no-untyped-def]
    browser = client_of(operator)
    url = f"/nodes/spark-1/adopt/{CONTAINER[:12]}/"
    page = browser.get(url).content.decode()
    assert "my-vllm" in page
    assert "port 8000, which it publishes" in page
    answer = browser.post(url, {"definition": "qwen"})
    launch = Launch.objects.get()
    assert answer["Location"] == launch.get_absolute_url()
    shown = browser.get(launch.get_absolute_url()).content.decode()
    assert "was not started by SparkWeb" in shown
    assert "Stop my-vllm?" in shown
    assert f"/launches/{launch.uid}/restart/" not in shown
    assert browser.post(url, {"definition": "qwen"}).status_code == 409
    assert browser.get("/nodes/spark-1/adopt/0123456789ab/").status_code == 200
    assert browser.post(f"/launches/{launch.uid}/stop/").status_code == 409
    assert browser.post(f"/launches/{launch.uid}/release/").status_code == 204
    launch.refresh_from_db()
    assert launch.state == S.STOPPED
