"""The engine `script` as a pure function: what is run, what it is told, what is refused."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from django.test import Client

from metrics_app.models import Node
from models_app import attempts, services
from models_app.catalogue import CatalogueError, catalogue_parse
from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.script import ScriptSpec, script_spec
from models_app.engines.settings_schema import SettingsInvalid
from models_app.engines.spec import ProbeSpec, SpecInvalid
from models_app.engines.specs import run_line, spec_read
from models_app.models import LaunchEvent, ModelDefinition
from models_app.observing import OBSERVED, Observations, container_created, launches_reported
from sparkweb.accounts.models import User
from tests.factories import AttemptFactory, DefinitionFactory, MemberFactory, NodeFactory

IDS = LaunchIds(installation="0a1b2c3d", launch="1a2b3c4d5e6f7081", member="aa" * 8, generation=3, attempt=2)
NODE = NodeData("spark-1", hf_cache="/cache/hf", scripts_dir="/srv/scripts")
SETTINGS: dict[str, Any] = {"max_model_len": 8192, "env": {"A": "b c", "N": 1, "T": True, "PORT": "1"}}


def made(
    settings: dict[str, Any] | None = None, script_dir: str = "big/one", node: NodeData = NODE, **fields: Any
) -> tuple[ScriptSpec, list[str]]:
    definition = DefinitionData("qwen", "org/m", 8235, "", settings or {}, script_dir=script_dir, **fields)
    return script_spec(definition, {}, node, IDS)


def test_spec_of_a_definition() -> None:
    spec, notes = made(SETTINGS)
    assert (spec.name, spec.folder, spec.port) == (
        "sparkweb-qwen-1a2b3c4d-2",
        "big/one",
        8235,
    )
    assert spec.probe == ProbeSpec("openai", 8235, "/health", "qwen")
    assert spec.env == {
        "HF_HOME": "/cache/hf",
        "A": "b c",
        "N": "1",
        "T": "true",
        "PORT": "8235",
        "HOST": "127.0.0.1",
        "DEFINITION": "qwen",
        "MODEL_ID": "org/m",
        "LAUNCH": IDS.launch,
    }
    assert notes == [
        "max_model_len is ignored: serve.sh decides that; it is kept and shown",
        "env: PORT is set by SparkWeb itself",
    ]


def test_readiness_is_a_setting_and_publishing_is_not() -> None:
    spec, notes = made({"probe": "http", "health_path": "/up", "served_model_name": "x"}, publish="lan")
    assert spec.probe == ProbeSpec("http", 8235, "/up", "x")
    assert notes == ["Reachable from has no effect: serve.sh decides where it listens"]


def test_a_node_without_a_folder_is_noted() -> None:
    notes = made(node=NodeData("spark-2"))[1]
    assert notes == ["spark-2 names no scripts folder: set SPARKWEB_SCRIPTS_DIR there"]


def test_spec_goes_through_json_and_only_whole() -> None:
    spec = made(SETTINGS)[0]
    assert spec_read(spec.to_json()) == spec
    for change in ({"port": 0}, {"probe": {"kind": "ollama", "port": 1}}, {"odd": 1}, {"env": {"A": 1}},
                   {"member": "../x"}, {"generation": -1}, {"env": {"A": "\0"}}, {"slug": ""}):  # fmt: skip
        with pytest.raises(SpecInvalid):
            spec_read({**spec.to_json(), **change})
    with pytest.raises(SpecInvalid, match="is missing"):
        spec_read({"kind": "script"})


def test_line_is_quoted_for_a_shell() -> None:
    line = run_line(made({"env": {"A": "$(touch /tmp/x); `id`"}})[0])
    assert line.startswith('cd "$SPARKWEB_SCRIPTS_DIR"/big/one') and line.endswith("./serve.sh")
    assert "'A=$(touch /tmp/x); `id`'" in line
    assert subprocess.run(["sh", "-n", "-c", line], check=False).returncode == 0


FOLDERS = [
    "",
    "/etc",
    "..",
    "a/../b",
    "a//b",
    "a/",
    "-rf",
    ".hidden",
    "a b",
    "a;id",
    "$(id)",
    "a\nb",
    "x" * 201,
]


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_that_could_lead_elsewhere_is_refused(folder: str) -> None:
    with pytest.raises(SettingsInvalid, match="qwen: script_dir: expected a folder below") as caught:
        made(script_dir=folder)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"probe": "ollama"}, "expected one of openai, http, none"),
        ({"health_path": "up"}, "expected a path that begins with /"),
        ({"served_model_name": "x" * 100_000}, "at most 8192 characters"),
        ({"env": {"HF_TOKEN": "hf_x"}}, "expected no secrets"),
        ({"env": {"A;B": "1"}}, "names of letters, digits and underscores"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsInvalid, match=sentence):
        made(settings)


def test_import_and_form_refuse_a_folder_outside(client_of: Any, admin: User, node: Node) -> None:
    text = b"models: {m: {engine: script, port: 1, model_id: x, script_dir: ../up}}"
    with pytest.raises(CatalogueError, match="script_dir: expected a folder below"):
        catalogue_parse(text, "models.yaml")
    with pytest.raises(CatalogueError, match="script_dir: expected a folder below"):
        catalogue_parse(b"models: {m: {engine: script, port: 1, model_id: x}}", "models.yaml")
    browser: Client = client_of(admin)
    fields = {"name": "M", "slug": "m", "model_id": "x", "port": "1", "publish": "local", "engine": "script",
              "settings_for": "script", "script_dir": "/etc"}  # fmt: skip
    assert "Expected a folder below" in browser.post("/models/new/", fields).text
    assert browser.post("/models/new/", {**fields, "script_dir": "one"}).status_code == 302
    assert ModelDefinition.objects.get().script_dir == "one"
    assert "./serve.sh" in browser.get("/models/m/").text


def test_only_an_admin_defines_scripts(bearer: Any, operator: User, admin: User) -> None:
    body = {"slug": "m", "name": "M", "engine": "script", "model_id": "x", "port": 9, "script_dir": "one"}
    refused = bearer(operator, "operate").post("/api/definitions", body, content_type="application/json")
    assert refused.status_code == 403
    made_one = bearer(admin, "admin").post("/api/definitions", body, content_type="application/json")
    assert made_one.status_code == 201
    outside = {**body, "slug": "n", "port": 10, "script_dir": "../n"}
    answer = bearer(admin, "admin").post("/api/definitions", outside, content_type="application/json")
    assert answer.status_code == 400 and "script_dir: Expected a folder" in answer.json()["error"]


# In control -----------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_started_as_any_other_and_stopped_by_its_kind(node: Node, someone: Any, nudges: list[Any]) -> None:
    definition = DefinitionFactory(engine="script", script_dir="one", slug="qwen")
    launch, _ = services.launch_create(definition=definition, node=node, actor=someone)
    name, task, arguments = nudges[0]
    assert (name, task) == ("spark-1", "models.container_start")
    assert (arguments["spec"]["kind"], arguments["spec"]["folder"]) == ("script", "one")
    services.launch_stop(launch=launch, actor=someone)
    assert nudges[1][1:] == (
        "models.container_stop",
        {
            "launch": launch.uid,
            "member": arguments["spec"]["member"],
            "generation": 2,
            "timeout_seconds": attempts.STOP_TIMEOUT_SECONDS,
            "kind": "script",
        },
    )


@pytest.mark.django_db
def test_timeline_speaks_of_the_script() -> None:
    node = NodeFactory(name="spark-1")
    member = MemberFactory(attempt=AttemptFactory(launch__node=node), node=node)
    container_created("spark-1", {"member": member.uid, "container_id": None, "adopted": False})
    container_created("spark-1", {"member": member.uid, "container_id": None, "adopted": True})
    told = list(LaunchEvent.objects.order_by("pk").values_list("message", flat=True))
    assert told == ["serve.sh was started", "serve.sh was found again"]


def test_scripts_are_seen_while_docker_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models_app.observing.OBSERVED", Observations())
    assert OBSERVED is not None
    from models_app import observing

    down = {"agent": {"docker": {"status": "down"}}}
    fine = {"agent": {"docker": {"status": "ok"}}}
    box = {"member": "box", "phase": "running"}
    launches_reported("spark-1", [box, {"member": "s", "kind": "script", "phase": "running"}], fine)
    launches_reported("spark-1", [{"member": "s", "kind": "script", "phase": "exited"}], down)
    assert observing.OBSERVED.member("spark-1", "box") == box
    assert observing.OBSERVED.member("spark-1", "s")["phase"] == "exited"  # type: ignore[index]
    launches_reported("spark-1", None, down)
    assert observing.OBSERVED.member("spark-1", "s") is not None
    launches_reported("spark-1", [], down)
    assert observing.OBSERVED.member("spark-1", "s") is None
    assert not observing.OBSERVED.docker_ok("spark-1")
