"""What pages answer, without a browser: roles, refusals, bad input, and how often the database is asked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.test.utils import CaptureQueriesContext

from metrics_app.models import Node
from models_app.models import ENDED_STATES, Launch, LaunchState, ModelDefinition
from sparkweb.accounts.models import AuditEntry, User
from tests.e2e.browser import snapshot_store
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory, MemberFactory, NodeFactory
from tests.support import frames
from tests.support.redis import RedisServer

ClientOf = Callable[[User | None], Client]
HTMX = {"hx-request": "true"}
PAGES_OF_ALL = [
    "/",
    "/nodes/",
    "/nodes/spark-1/",
    "/models/",
    "/models/model-a/",
    "/models/export/",
    "/launches/",
]
PAGES_OF_ADMINS = ["/node-new/", "/models/new/", "/models/model-a/edit/", "/models/import/", "/audit/"]


@pytest.fixture
def node(db: None) -> Node:
    return NodeFactory(name="spark-1", status="online")


@pytest.fixture
def definition(db: None) -> ModelDefinition:
    return DefinitionFactory(slug="model-a", name="Model A", port=8101)


def events(response: Any) -> dict[str, Any]:
    return dict(json.loads(response.headers["HX-Trigger"]))


@pytest.mark.parametrize("path", PAGES_OF_ALL)
def test_viewer_sees(
    path: str, node: Node, definition: ModelDefinition, viewer: User, client_of: ClientOf
) -> None:
    assert client_of(viewer).get(path).status_code == 200


@pytest.mark.parametrize("path", PAGES_OF_ADMINS)
def test_only_admins_see(
    path: str, node: Node, definition: ModelDefinition, admin: User, operator: User, client_of: ClientOf
) -> None:
    assert client_of(admin).get(path).status_code == 200
    assert client_of(operator).get(path).status_code == 403
    assert client_of(None).get(path).status_code == 302


@pytest.mark.parametrize(
    "action", ["/models/model-a/start/", "/launches/{uid}/stop/", "/launches/{uid}/restart/"]
)
def test_viewer_cannot_press(
    action: str, node: Node, definition: ModelDefinition, viewer: User, client_of: ClientOf
) -> None:
    launch = LaunchFactory(definition=definition, node=node)
    path = action.format(uid=launch.uid)
    assert client_of(viewer).post(path, {"node": "spark-1"}).status_code == 403
    assert client_of(viewer).get(path).status_code == 405
    launch.refresh_from_db()
    assert launch.desired == "running"


def test_viewer_is_offered_no_buttons(
    node: Node, definition: ModelDefinition, viewer: User, operator: User, client_of: ClientOf
) -> None:
    assert "/start/" not in client_of(viewer).get("/").text
    assert "/models/model-a/start/" in client_of(operator).get("/").text
    assert "Define a model" not in client_of(operator).get("/models/").text


def test_start_answers_with_toast_and_redraw(
    node: Node, definition: ModelDefinition, operator: User, client_of: ClientOf
) -> None:
    response = client_of(operator).post("/models/model-a/start/", {"node": "spark-1"}, headers=HTMX)
    assert response.status_code == 204
    assert events(response)["toast"]["message"] == "Model A is starting on spark-1"
    assert events(response)["launch-changed"]["definition"] == "model-a"
    assert Launch.objects.get().requested_by == operator
    again = client_of(operator).post("/models/model-a/start/", {"node": "spark-1"}, headers=HTMX)
    assert events(again)["toast"]["message"] == "Model A runs on spark-1 already"


def test_refusal_is_shown_beside_the_button(
    node: Node, definition: ModelDefinition, operator: User, client_of: ClientOf
) -> None:
    Node.objects.update(status="offline")
    response = client_of(operator).post("/models/model-a/start/", {"node": "spark-1"}, headers=HTMX)
    assert response.status_code == 409
    assert "spark-1 is offline: nothing is heard from it; start its agent" in response.text
    assert "HX-Retarget" not in response.headers


def test_short_memory_offers_to_start_anyway_with_a_reason(
    node: Node, admin: User, operator: User, client_of: ClientOf, page_redis: RedisServer
) -> None:
    DefinitionFactory(slug="large", name="Large", estimated_memory_gb=500)
    snapshot_store(page_redis, "spark-1", frames.report(), time.time())
    press = client_of(operator).post
    response = press("/models/large/start/", {"node": "spark-1"}, headers=HTMX)
    assert response.status_code == 409
    assert response.headers["HX-Retarget"] == "#dialog-body"
    assert "needs 500 GiB" in response.text
    assert (
        press("/models/large/start/", {"node": "spark-1", "force_reason": "  "}, headers=HTMX).status_code
        == 409
    )
    forced = press("/models/large/start/", {"node": "spark-1", "force_reason": "I know"}, headers=HTMX)
    assert "dialog-close" in events(forced)
    assert Launch.objects.get().forced_reason == "I know"


@pytest.mark.parametrize("state", LaunchState.values)
def test_each_state_has_its_page_and_pieces(
    state: str, node: Node, definition: ModelDefinition, operator: User, client_of: ClientOf
) -> None:
    launch = LaunchFactory(definition=definition, node=node, state=state, live=state not in ENDED_STATES)
    MemberFactory(attempt=AttemptFactory(launch=launch), live=launch.live)
    client = client_of(operator)
    for path in ("", "panel/", "row/"):
        answer = client.get(f"/launches/{launch.uid}/{path}")
        assert answer.status_code == 200
        assert f'data-state="{state}"' in answer.text
    for query in ("node=spark-1", "as=row"):
        assert f'data-state="{state}"' in client.get(f"/models/model-a/card/?{query}").text


def test_unknown_node_or_model_is_404(
    node: Node, definition: ModelDefinition, operator: User, client_of: ClientOf
) -> None:
    press = client_of(operator)
    assert press.post("/models/model-a/start/", {"node": "nowhere"}).status_code == 404
    assert press.post("/models/nothing/start/", {"node": "spark-1"}).status_code == 404
    assert press.get("/launches/0123456789abcdef/").status_code == 404
    assert press.get("/nodes/nowhere/").status_code == 404


def test_filters_and_wrong_filters(
    node: Node, definition: ModelDefinition, viewer: User, client_of: ClientOf
) -> None:
    failed = LaunchFactory(
        definition=definition, node=node, state="failed", live=False, failure_reason="no room"
    )
    LaunchFactory(node=node, state="stopped", live=False)

    def listed(query: str) -> int:
        return client_of(viewer).get(f"/launches/?{query}").text.count('data-launch="')

    assert listed("") == 2
    assert listed("state=failed") == listed("text=room") == listed("definition=model-a") == 1
    assert listed("state=live") == listed("text=nothing") == 0
    assert listed("node=spark-1&since=2020-01-01") == 2
    page = client_of(viewer).get("/launches/?state=bogus&since=yesterday&text=%00")
    assert page.status_code == 200
    assert "Enter a valid date" in page.text
    assert failed.uid in page.text
    assert client_of(viewer).get("/launches/?page=99").status_code == 200


def test_import_names_line_and_key_then_imports(node: Node, admin: User, client_of: ClientOf) -> None:
    client = client_of(admin)
    bad = "models:\n  broken:\n    engine: vlm\n    port: 8100\n    model_id: a/b\n"
    response = client.post("/models/import/", {"text": bad, "step": "apply"}, headers=HTMX)
    assert response.status_code == 422
    assert "line 3" in response.text
    assert "models.broken.engine" in response.text
    assert not ModelDefinition.objects.exists()
    good = bad.replace("vlm", "vllm")
    assert "1 new" in client.post("/models/import/", {"text": good, "step": "preview"}, headers=HTMX).text
    assert not ModelDefinition.objects.exists()
    assert client.post("/models/import/", {"text": good, "step": "apply"}, headers=HTMX).headers[
        "HX-Redirect"
    ]
    assert ModelDefinition.objects.get().slug == "broken"
    assert b"broken:" in client.get("/models/export/").content


def definition_form(**changes: str) -> dict[str, str]:
    return {
        "name": "Model B",
        "slug": "model-b",
        "engine": "vllm",
        "model_id": "org/b",
        "port": "8102",
        "publish": "local",
        "enabled": "on",
        **changes,
    }


def test_definition_is_made_with_typed_settings(node: Node, admin: User, client_of: ClientOf) -> None:
    form = definition_form(
        set_max_model_len="4096", set_enforce_eager="false", other_settings='{"seed": 7, "odd": [1]}'
    )
    assert client_of(admin).post("/models/new/", form).status_code == 302
    row = ModelDefinition.objects.get()
    assert row.settings == {"seed": 7, "odd": [1], "max_model_len": 4096, "enforce_eager": False}
    assert AuditEntry.objects.filter(action="definition_create", target="model-b").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"port": "8101"}, "Port 8101 is Model A"),
        ({"port": "99999"}, "less than or equal to 65535"),
        ({"slug": "import"}, "is the address of a page"),
        ({"slug": "Not A Slug"}, "Lower-case letters"),
        ({"other_settings": "{"}, "Not JSON"),
        ({"other_settings": "[1]"}, "Expected an object"),
        ({"other_settings": '{"seed": "x"}'}, "seed: expected a whole number"),
        ({"set_gpu_memory_utilization": "1.5"}, "less than or equal to 1"),
        ({"set_dtype": "float7"}, "not one of the available choices"),
        ({"set_max_model_len": "9", "other_settings": '{"max_model_len": 8}'}, "stands in both"),
    ],
)
def test_definition_form_says_what_is_wrong(
    changes: dict[str, str], sentence: str, definition: ModelDefinition, admin: User, client_of: ClientOf
) -> None:
    response = client_of(admin).post("/models/new/", definition_form(**changes))
    assert response.status_code == 200
    assert sentence in response.text
    assert ModelDefinition.objects.count() == 1
    assert (
        sentence.split()[0] in client_of(admin).post("/models/new/preview/", definition_form(**changes)).text
    )


def test_editing_keeps_slug_order_and_unknown_settings(
    definition: ModelDefinition, admin: User, client_of: ClientOf
) -> None:
    definition.settings = {"zeta": 1, "max_model_len": 10, "swap_space": 16, "enforce_eager": "yes"}
    definition.save()
    page = client_of(admin).get("/models/model-a/edit/")
    form = page.context["form"]
    assert form.initial["set_max_model_len"] == 10
    data = definition_form(
        slug="other", port="8101", set_max_model_len="20", other_settings=form.initial["other_settings"]
    )
    assert client_of(admin).post("/models/model-a/edit/", data).status_code == 302
    definition.refresh_from_db()
    assert definition.slug == "model-a"
    assert list(definition.settings.items()) == [
        ("zeta", 1),
        ("max_model_len", 20),
        ("swap_space", 16),
        ("enforce_eager", "yes"),
    ]


def test_running_definition_is_not_deleted(
    node: Node, definition: ModelDefinition, admin: User, client_of: ClientOf
) -> None:
    launch = LaunchFactory(definition=definition, node=node, state="ready")
    page = client_of(admin).post("/models/model-a/delete/", follow=True)
    assert "stop it first" in page.text
    Launch.objects.filter(pk=launch.pk).update(live=False, state="stopped")
    assert "is deleted" in client_of(admin).post("/models/model-a/delete/", follow=True).text
    assert not ModelDefinition.objects.exists()


def test_new_node_shows_its_key_once(admin: User, client_of: ClientOf) -> None:
    response = client_of(admin).post("/node-new/", {"name": "spark-2", "label": "Spark 2"})
    assert "SPARKWEB_NODE=spark-2" in response.text
    assert Node.objects.get().label == "Spark 2"
    again = client_of(admin).post("/node-new/", {"name": "spark-2"})
    assert "already exists" in again.text
    assert "Not A Name" not in client_of(admin).get("/nodes/").text
    assert "Lower-case letters" in client_of(admin).post("/node-new/", {"name": "Not A Name"}).text


def test_audit_is_filtered(admin: User, client_of: ClientOf) -> None:
    AuditEntry.objects.create(
        actor_label="eve", via="page", action="launch_stop", target="model-a on spark-1"
    )
    page = client_of(admin).get("/audit/?text=eve&action=launch_stop")
    assert "model-a on spark-1" in page.text
    assert "Nothing matches" in client_of(admin).get("/audit/?text=zzz").text


def test_one_node_report_is_embedded_without_its_launches(
    node: Node, viewer: User, client_of: ClientOf, page_redis: RedisServer
) -> None:
    report = frames.report(
        launches=[{"member": "m"}], containers=[{"name": "</script><script>alert(1)</script>"}]
    )
    snapshot_store(page_redis, "spark-1", report, 123.0)
    text = client_of(viewer).get("/").text
    start = text.index('<script id="snapshot-spark-1"')
    embedded = json.loads(text[text.index(">", start) + 1 : text.index("</script>", start)])
    assert embedded["received_at"] == 123.0
    assert "launches" not in embedded["report"]
    assert "<script>alert(1)" not in text


def queries_of(client: Client, path: str, capture: Callable[..., CaptureQueriesContext]) -> int:
    with capture() as captured:
        assert client.get(path).status_code == 200
    return len(captured)


@pytest.mark.parametrize("path", ["/", "/models/", "/launches/", "/nodes/spark-1/"])
def test_queries_do_not_grow_with_the_house(path: str, node: Node, viewer: User, client_of: ClientOf) -> None:
    """20 definitions with many launches cost as many queries as one with one."""
    from django.db import connection

    def count() -> int:
        return queries_of(client, path, lambda: CaptureQueriesContext(connection))

    client = client_of(viewer)
    MemberFactory(attempt=AttemptFactory(launch=LaunchFactory(node=node)))
    few = count()
    for _ in range(19):
        definition = DefinitionFactory()
        for live in (False, False, True):
            launch = LaunchFactory(
                definition=definition, node=node, live=live, state="ready" if live else "stopped"
            )
            MemberFactory(attempt=AttemptFactory(launch=launch), live=live)
    assert count() <= few
    assert few <= 24
