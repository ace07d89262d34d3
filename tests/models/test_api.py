"""Definitions, launches and the catalogue through the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from models_app.models import Launch, ModelDefinition
from sparkweb.accounts.models import AuditEntry, User
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory, NodeFactory

pytestmark = pytest.mark.django_db
JSON = "application/json"
Bearer = Callable[..., Client]
DEFINITION = {
    "slug": "qwen",
    "name": "Qwen",
    "model_id": "org/qwen",
    "port": 8100,
    "settings": {"dtype": "auto"},
}


@pytest.fixture
def api(bearer: Bearer, admin: User) -> Client:
    return bearer(admin, "admin")


@pytest.fixture
def node(db: None) -> Any:
    return NodeFactory(name="spark-1", status="online")


def start(api: Client, **body: Any) -> Any:
    return api.post("/api/launches", body, content_type=JSON)


# Definitions ---------------------------------------------------------------------


def test_definition_is_made_changed_and_deleted_with_audit(api: Client) -> None:
    made = api.post("/api/definitions", DEFINITION, content_type=JSON)
    assert made.status_code == 201, made.json()
    assert made.json()["settings"] == {"dtype": "auto"}
    assert api.get("/api/definitions/qwen").json()["port"] == 8100
    changed = api.patch(
        "/api/definitions/qwen", {"port": 8200, "estimated_memory_gb": 4.5, "priority": -5}, content_type=JSON
    )
    assert (changed.json()["priority"], changed.json()["pinned"]) == (-5, False)
    assert api.get("/api/definitions?pinned=true").json()["results"] == []
    assert (changed.json()["port"], changed.json()["estimated_memory_gb"]) == (8200, 4.5)
    assert api.delete("/api/definitions/qwen").status_code == 204
    actions = list(AuditEntry.objects.order_by("pk").values_list("action", "via"))
    assert actions[-3:] == [
        ("definition_create", "api"),
        ("definition_edit", "api"),
        ("definition_delete", "api"),
    ]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"port": "eighty"}, "port"),
        ({"port": None}, "port"),
        ({"slug": "Big Name"}, "slug"),
        ({"slug": "../etc"}, "slug"),
        ({"engine": "abacus"}, "engine"),
        ({"model_id": ""}, "model_id"),
        ({"settings": "text"}, "settings"),
        ({"settings": ["x"]}, "settings"),
        ({"estimated_memory_gb": -1}, "estimated_memory_gb"),
        ({"priority": 1001}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"pinned": "perhaps"}, "pinned"),
        ({"publish": "moon"}, "publish"),
        ({"name": "x" * 200}, "name"),
        ({"name": "a\x00b"}, "name"),
    ],
)
def test_wrong_definition_names_the_field_and_stores_nothing(
    api: Client, wrong: dict[str, Any], field: str
) -> None:
    answer = api.post("/api/definitions", {**DEFINITION, **wrong}, content_type=JSON)
    assert answer.status_code == 400
    body = answer.json()
    assert field in body["fields"]
    assert body["error"].startswith(field)
    assert body["code"] == "invalid"
    assert not ModelDefinition.objects.exists()


def test_slug_cannot_be_changed_or_used_twice(api: Client) -> None:
    DefinitionFactory(slug="qwen")
    assert "slug" in api.patch("/api/definitions/qwen", {"slug": "other"}, content_type=JSON).json()["fields"]
    assert "slug" in api.post("/api/definitions", DEFINITION, content_type=JSON).json()["fields"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'"text"', b"[1]", b"null"])
def test_body_that_is_no_object_is_a_400(api: Client, body: bytes) -> None:
    answer = api.generic("POST", "/api/definitions", body, content_type=JSON)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_other_content_types_are_refused(api: Client) -> None:
    answer = api.post("/api/definitions", DEFINITION)  # multipart
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_definition_in_use_is_not_deleted(api: Client, node: Any) -> None:
    definition = DefinitionFactory(slug="qwen")
    LaunchFactory(definition=definition, node=node)
    answer = api.delete("/api/definitions/qwen")
    assert (answer.status_code, answer.json()["code"]) == (409, "definition_in_use")


def test_definitions_are_filtered_and_paged(api: Client) -> None:
    for number in range(3):
        DefinitionFactory(slug=f"q{number}", enabled=number != 2)
    assert api.get("/api/definitions?enabled=true").json()["count"] == 2
    assert api.get("/api/definitions?search=q1").json()["count"] == 1
    page = api.get("/api/definitions?page_size=2").json()
    assert (len(page["results"]), page["count"]) == (2, 3)
    assert "page_size=2" in page["next"]
    assert api.get("/api/definitions?page=99").status_code == 404
    assert api.get("/api/definitions?engine=abacus").status_code == 400
    assert api.get("/api/definitions?search=%00").status_code == 400


def test_docker_run_line_is_shown(api: Client, node: Any) -> None:
    DefinitionFactory(slug="qwen")
    body = api.get("/api/definitions/qwen/docker-run").json()
    assert body["line"].startswith("docker run")
    assert api.get("/api/definitions/qwen/docker-run?node=moon").status_code == 404


# Launches ------------------------------------------------------------------------


def test_start_stop_and_the_way_between(api: Client, node: Any) -> None:
    DefinitionFactory(slug="qwen", estimated_memory_gb=None)
    made = start(api, definition="qwen")
    assert made.status_code == 202, made.json()
    uid = made.json()["uid"]
    assert (made.json()["state"], made.json()["node"], made.json()["requested_by"]) == (
        "requested",
        "spark-1",
        "admin",
    )
    again = start(api, definition="qwen", node="spark-1")
    assert (again.status_code, again.json()["uid"]) == (200, uid)
    assert api.get(f"/api/launches/{uid}/events").json()["results"][0]["kind"] == "requested"
    member = api.get(f"/api/launches/{uid}/members").json()["results"][0]
    assert (member["container_id"], member["node"], member["port"]) == (
        None,
        "spark-1",
        Launch.objects.get().definition.port,
    )
    assert member["argv"]
    assert api.get(f"/api/launches/{uid}/log").json() == {"lines": []}
    stopped = api.post(f"/api/launches/{uid}/stop")
    assert (stopped.status_code, stopped.json()["desired"]) == (202, "stopped")


def test_refused_start_says_why_with_409(api: Client, node: Any) -> None:
    DefinitionFactory(slug="off", enabled=False)
    DefinitionFactory(slug="script", engine="script")
    assert start(api, definition="off").json()["code"] == "definition_disabled"
    answer = start(api, definition="script")
    assert (answer.status_code, answer.json()["code"]) == (409, "settings_invalid")
    assert "script_dir" in answer.json()["error"]
    assert not Launch.objects.exists()


def test_start_on_an_offline_node_is_refused(api: Client) -> None:
    NodeFactory(name="spark-1", status="offline")
    DefinitionFactory(slug="qwen")
    assert start(api, definition="qwen").json()["code"] == "node_offline"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"definition": "ghost"},
        {"definition": 7},
        {"definition": ["x"]},
        {"definition": "qwen", "node": "moon"},
    ],
)
def test_start_of_what_is_not_there_is_a_400(api: Client, node: Any, body: dict[str, Any]) -> None:
    DefinitionFactory(slug="qwen")
    assert start(api, **body).status_code == 400


def test_restart_of_what_has_ended_is_refused(api: Client, node: Any) -> None:
    launch = LaunchFactory(node=node, live=False, state="stopped")
    answer = api.post(f"/api/launches/{launch.uid}/restart")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_live")


def test_launches_are_filtered(api: Client, node: Any, viewer: User) -> None:
    LaunchFactory(node=node, state="ready", requested_by=viewer)
    LaunchFactory(node=node, state="failed", live=False)
    LaunchFactory(node=node, state="stopped", live=False)
    count = lambda query: api.get(f"/api/launches?{query}").json()["count"]  # noqa: E731
    assert count("state=failed&state=stopped") == 2
    assert count("live=true") == 1
    assert count("person=viewer") == 1
    assert count("node=moon") == 0
    assert count("since=2000-01-01T00:00:00Z") == 3
    assert api.get("/api/launches?state=odd").status_code == 400
    assert api.get("/api/launches?since=yesterday").status_code == 400


@pytest.mark.parametrize("lines", ["0", "1001", "-1", "ten", "", "9" * 400, "١"])
def test_odd_number_of_lines_is_a_400(api: Client, node: Any, lines: str) -> None:
    launch = LaunchFactory(node=node)
    answer = api.get(f"/api/launches/{launch.uid}/log", {"lines": lines})
    assert (answer.status_code, "lines" in answer.json()["fields"]) == (400, True)


def test_log_of_an_ended_container_is_kept(api: Client, node: Any) -> None:
    launch = LaunchFactory(node=node)
    MemberFactory(attempt=AttemptFactory(launch=launch), last_log="one\ntwo\nthree")
    assert api.get(f"/api/launches/{launch.uid}/log?lines=2").json() == {"lines": ["two", "three"]}


def test_list_costs_the_same_for_many_launches(api: Client, node: Any) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            api.get("/api/launches")
        return len(asked)

    AttemptFactory(launch=LaunchFactory(node=node))
    queries()  # the first call of a key notes its use
    one = queries()
    for _ in range(9):
        AttemptFactory(launch=LaunchFactory(node=node))
    assert queries() == one


# The catalogue -------------------------------------------------------------------

CATALOGUE = b"""schema_version: "1.0"
models:
  qwen:
    name: Qwen
    engine: vllm
    port: 8104
    model_id: org/qwen
    unknown_key: kept
"""


def post_catalogue(api: Client, text: bytes) -> Any:
    return api.generic("POST", "/api/catalogue", text, content_type="application/yaml")


def test_catalogue_is_imported_and_exported(api: Client) -> None:
    assert post_catalogue(api, CATALOGUE).json() == {"created": ["qwen"], "updated": [], "unchanged": []}
    assert post_catalogue(api, CATALOGUE).json()["unchanged"] == ["qwen"]
    exported = api.get("/api/catalogue")
    assert exported["Content-Type"].startswith("application/yaml")
    assert b"unknown_key: kept" in exported.content
    assert AuditEntry.objects.filter(action="catalogue_import", via="api").exists()


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff\xfe\x00", b"models: [", b"- 1\n- 2", CATALOGUE.replace(b"8104", b"99999"), b"x" * 1_000_001],
    ids=["empty", "not utf-8", "broken", "a list", "port", "huge"],
)
def test_bad_catalogue_is_refused_whole(api: Client, text: bytes) -> None:
    answer = post_catalogue(api, text)
    assert answer.status_code == 400
    assert "models.yaml" in answer.json()["error"]
    assert not ModelDefinition.objects.exists()
