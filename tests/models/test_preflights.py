"""Preflights: nodes asked and their answers stored; what is refused, forced, and shown on the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metrics_app.models import Node, NodeStatus
from models_app import preflights, services
from models_app.exceptions import LaunchRefused
from models_app.models import Launch
from models_app.models_preflight import Preflight
from models_app.node.group_checks import group_check, weights_revision
from sparkweb.accounts.models import AuditEntry
from sparkweb.adapters.docker_errors import EngineUnavailable, ImageMissing, PortInUse
from sparkweb.adapters.fabric import Echo
from sparkweb.node_link import commands
from tests.factories import DefinitionFactory, NodeFactory

pytestmark = pytest.mark.django_db(transaction=True)
DIGEST = "sha256:" + "ab" * 32
LINK = {"name": "fab0", "up": True, "mtu": 9000, "speed_mbps": None, "addresses": [], "rdma": []}


@pytest.fixture
def pair(node: Node) -> list[Node]:
    node.fabric_address = "192.168.100.10"
    node.save()
    second = NodeFactory(name="spark-2", status=NodeStatus.ONLINE, fabric_address="192.168.100.11")
    return [node, second]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Nodes that answer at once; what each says otherwise than well is put here by name."""
    amiss: dict[str, dict[str, Any]] = {}

    def send(node_name: str, task: str, **arguments: Any) -> bool:
        if task == "models.group_check" and amiss.get(node_name) != {"silent": True}:
            question = arguments["question"]
            answer = {
                "check": question["check"],
                "clock": 1000.0,
                "version": "0.1.0",
                "link": LINK,
                "echoes": {
                    peer: {"received": 3, "milliseconds": 0.1, "size": 9000} for peer in question["peers"]
                },
                "image_digest": DIGEST,
                "ports": [],
            }
            preflights.group_checked(node_name, answer | amiss.get(node_name, {}))
        return True

    monkeypatch.setattr(commands, "send", send)
    monkeypatch.setattr(preflights, "ANSWER_SECONDS", 0.3)
    return amiss


def start(pair: list[Node], actor: Any, **extra: Any) -> Launch:
    definition = DefinitionFactory(name="Large", node_count=2)
    return services.launch_create(
        definition=definition, node=pair[0], followers=pair[1:], actor=actor, **extra
    )[0]


def test_a_start_asks_first_and_keeps_the_answers(pair, someone, answering) -> None:  # type: ignore[no-untyped-def]
    launch = start(pair, someone)
    preflight = Preflight.objects.get()
    assert (preflight.passed, preflight.nodes) == (True, ["spark-1", "spark-2"])
    assert set(preflight.answers) == {"spark-1", "spark-2"}
    assert AuditEntry.objects.filter(action="preflight", detail__nodes=["spark-1", "spark-2"]).exists()
    assert launch.live


@pytest.mark.parametrize(
    ("amiss", "words"),
    [
        ({"link": LINK | {"up": False}}, "The link fab0 of spark-2 is down"),
        ({"link": LINK | {"mtu": 1500}}, "The MTU differs: 9000 on spark-1, 1500 on spark-2"),
        ({"image_digest": "sha256:" + "cd" * 32}, "differs"),
        ({"silent": True}, "spark-2 did not answer"),
    ],
)
def test_a_start_is_refused_with_the_reason(pair, someone, answering, amiss, words) -> None:  # type: ignore[no-untyped-def]
    answering["spark-2"] = amiss
    with pytest.raises(LaunchRefused, match=words) as refusal:
        start(pair, someone)
    assert refusal.value.code == "preflight_failed"
    assert {check["verdict"] for check in refusal.value.data["checks"]} >= {"refused"}
    assert not Launch.objects.exists()


def test_a_reason_forces_it(pair, someone, answering) -> None:  # type: ignore[no-untyped-def]
    answering["spark-2"] = {"image_digest": None}
    launch = start(pair, someone, force_reason="it pulls fast")
    assert (launch.live, launch.forced_reason) == (True, "it pulls fast")


def test_a_passed_one_counts_for_a_minute_a_failed_one_never(pair, someone, answering) -> None:  # type: ignore[no-untyped-def]
    definition = DefinitionFactory(node_count=2)
    again = {"definition": definition, "nodes": pair, "actor": someone}
    first = preflights.preflight_require(**again)
    assert preflights.preflight_require(**again) == first
    swapped = preflights.preflight_require(**(again | {"nodes": pair[::-1]}))
    assert swapped != first
    Preflight.objects.update(passed=False)
    assert preflights.preflight_require(**again) not in (first, swapped)


@pytest.mark.parametrize("data", [{}, {"check": None}, {"check": "x" * 500}, {"check": 7}])
def test_answers_to_nobody_are_harmless(db: None, data: dict[str, Any]) -> None:
    preflights.group_checked("spark-1", data)
    assert not Preflight.objects.exists()


def test_answers_come_from_those_asked_once_and_without_nul(db: None) -> None:
    preflight = Preflight.objects.create(definition_slug="m", nodes=["spark-1"])
    preflights.group_checked("spark-9", {"check": preflight.uid})
    preflights.group_checked("spark-1", {"check": preflight.uid, "docker": "a\0b", "ports": ["\\u0000"]})
    preflight.refresh_from_db()
    assert set(preflight.answers) == {"spark-1"}
    assert preflight.answers["spark-1"]["docker"] == "a\N{REPLACEMENT CHARACTER}b"
    assert preflight.answers["spark-1"]["ports"] == ["\\u0000"]
    Preflight.objects.update(passed=True)
    preflights.group_checked("spark-1", {"check": preflight.uid})
    preflight.refresh_from_db()
    assert "docker" in preflight.answers["spark-1"]


# API and page --------------------------------------------------------------------


def test_by_the_api(pair, operator, bearer, answering) -> None:  # type: ignore[no-untyped-def]
    definition = DefinitionFactory(slug="large", node_count=2)
    api, path = bearer(operator, "operate"), "/api/definitions/large/preflight"
    asked = {"nodes": ["spark-1", "spark-2"]}
    told = api.post(path, asked, content_type="application/json").json()
    assert (told["passed"], told["nodes"], told["definition"]) == (True, asked["nodes"], definition.slug)
    answering["spark-1"] = {"ports": ["Port 8100 is in use."]}
    told = api.post(path, asked, content_type="application/json").json()
    assert [check["name"] for check in told["checks"] if check["verdict"] == "refused"] == ["ports"]
    for wrong in ({"nodes": []}, {"nodes": ["spark-9"]}, {}):
        assert api.post(path, wrong, content_type="application/json").status_code == 400
    answer = api.post(path, {"nodes": ["spark-1"]}, content_type="application/json")
    assert answer.status_code == 200  # the only other node is taken
    launched = api.post("/api/launches", {"definition": "large", **asked}, content_type="application/json")
    assert (launched.status_code, launched.json()["code"]) == (409, "preflight_failed")


def test_on_the_page(pair, operator, client_of, answering) -> None:  # type: ignore[no-untyped-def]
    DefinitionFactory(slug="large", node_count=2)
    page, form = client_of(operator), {"nodes": ["spark-2", "spark-1"]}
    shown = page.get("/models/large/nodes/").content.decode()
    assert "Rank 0, on spark-1" in shown
    assert "Rank 1, on spark-2" in shown
    swapped = page.get("/models/large/nodes/?nodes=spark-2&nodes=spark-1").content.decode()
    assert "Rank 0, on spark-2" in swapped
    assert (
        "each node can be named once"
        in page.get("/models/large/nodes/?nodes=spark-2&nodes=spark-2").content.decode().lower()
    )
    answering["spark-2"] = {"link": LINK | {"up": False}}
    checked = page.post("/models/large/nodes/check/", form).content.decode()
    assert 'data-check="link" data-verdict="refused"' in checked
    refused = page.post("/models/large/nodes/start/", form)
    assert refused.status_code == 409
    assert "Start anyway" in refused.content.decode()
    forced = page.post("/models/large/nodes/start/", form | {"force_reason": "the cable comes"})
    launch = Launch.objects.get()
    assert forced.headers["HX-Redirect"] == launch.get_absolute_url()
    assert launch.node_name == "spark-2"
    row = page.get(launch.get_absolute_url()).content.decode()
    assert "# rank 1, on spark-1" in row
    assert "spark-2, spark-1" in row


def test_the_page_without_nodes_says_what_to_do(node, operator, client_of) -> None:  # type: ignore[no-untyped-def]
    DefinitionFactory(slug="large", node_count=2)
    shown = client_of(operator).get("/models/large/nodes/").content.decode()
    assert "No node can take part yet" in shown


# On the node ---------------------------------------------------------------------


class Engine:
    """Stands in for the Docker adapter."""

    def __init__(self, digest: str | Exception, held: int = 0) -> None:
        self.digest, self.held = digest, held

    def image_digest(self, image: str) -> str:
        if isinstance(self.digest, Exception):
            raise self.digest
        return self.digest

    def ports_check(self, ports: list[Any]) -> None:
        if any(port.host == self.held for port in ports):
            raise PortInUse(f"Port {self.held} is in use.")


QUESTION = {
    "check": "c1",
    "address": "192.168.100.10",
    "peers": {"spark-2": "192.168.100.11"},
    "image": "i:1",
    "ports": [["127.0.0.1", 8104], ["192.168.100.10", 28104]],
    "weights": None,
}


def answer_of(engine: Any, **question: Any) -> dict[str, Any]:
    told = {"links": [LINK | {"addresses": ["192.168.100.10"]}], "has_devices": False}

    def send(address: str, source: str, *, size: int) -> Echo:
        assert (address, source) == ("192.168.100.11", "192.168.100.10")
        return Echo(3, 3, float(size), None)

    return group_check(engine, QUESTION | question, read=lambda: told, send=send)


def test_what_a_node_answers() -> None:
    answer = answer_of(Engine(DIGEST, held=28104))
    assert (answer["check"], answer["image_digest"], answer["link"]["name"]) == ("c1", DIGEST, "fab0")
    assert answer["ports"] == ["Port 28104 is in use."]
    assert answer["echoes"]["spark-2"]["milliseconds"] == 9000.0
    assert answer["revision"] is None


@pytest.mark.parametrize(
    ("trouble", "docker"), [(ImageMissing("none"), None), (EngineUnavailable("away"), "away")]
)
def test_what_a_node_without_image_or_docker_answers(trouble: Exception, docker: str | None) -> None:
    answer = answer_of(Engine(trouble), address="192.168.100.99", peers={})
    assert (answer["image_digest"], answer["docker"], answer["link"]) == (None, docker, None)


def test_the_revision_of_weights(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models--org--m"
    weights = {"cache": str(tmp_path), "model": "org/m", "revision": "main"}
    assert weights_revision(weights) is None
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("c0ffee")
    assert weights_revision(weights) is None
    (folder / "snapshots/c0ffee").mkdir(parents=True)
    (folder / "snapshots/c0ffee/config.json").write_text("{}")
    assert weights_revision(weights) == "c0ffee"
    assert weights_revision(weights | {"revision": "c0ffee"}) == "c0ffee"
    assert weights_revision(weights | {"revision": "v2"}) is None
    (folder / "blobs").mkdir()
    (folder / "blobs/1.incomplete").touch()
    assert weights_revision(weights) is None
