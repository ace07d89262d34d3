"""The history of definitions: noted whoever changes them, shown field by field, taken back; and copies."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from metrics_app.models import Node
from models_app import services
from models_app.changes import FieldChange, field_changes
from models_app.definition_changes import definition_revert, draft_of_definition, draft_of_launch, picture
from models_app.exceptions import LaunchRefused
from models_app.models import CatalogueDefaults, Launch, ModelDefinition
from models_app.models_changes import DefinitionChange
from sparkweb.accounts.actor import SYSTEM, Actor
from sparkweb.accounts.models import AuditEntry, User
from tests.factories import AttemptFactory, DefinitionFactory, LaunchFactory

pytestmark = pytest.mark.django_db


def saved(**fields: Any) -> ModelDefinition:
    given = {"slug": "qwen", "name": "Qwen", "model_id": "org/m", "port": 8100}
    return services.definition_save(definition=ModelDefinition(**{**given, **fields}), actor=SYSTEM)


def edited(definition: ModelDefinition, actor: Actor = SYSTEM, **fields: Any) -> ModelDefinition:
    for name, value in fields.items():
        setattr(definition, name, value)
    return services.definition_save(definition=definition, actor=actor)


def newest() -> DefinitionChange:
    return DefinitionChange.objects.order_by("-pk")[0]


def test_differences_are_told_field_by_field() -> None:
    before = {"name": "A", "port": 1, "settings": {"x": 1, "y": [1]}, "description": ""}
    after = {"name": "A", "port": 2, "settings": {"y": [1, 2], "z": None}, "description": "d"}
    assert field_changes(before, after) == [
        FieldChange("port", "1", "2"),
        FieldChange("settings.y", "[1]", "[1, 2]"),
        FieldChange("settings.z", None, "null"),
        FieldChange("description", None, "d"),
        FieldChange("settings.x", "1", None),
    ]
    assert field_changes(None, {"name": "A", "image": ""}) == [FieldChange("name", None, "A")]
    [long] = field_changes({"a": "x" * 100_000}, {"a": "y"})
    assert long.before is not None and len(long.before) == 400


def test_every_change_is_noted_with_who_and_what(admin: User) -> None:
    definition = saved(settings={"max_model_len": 4096})
    edited(definition, Actor(admin, "admin", "page"), settings={"max_model_len": 8192}, port=8101)
    change = newest()
    assert (change.kind, change.actor, change.actor_label, change.via) == ("edited", admin, "admin", "page")
    assert field_changes(change.before, change.after) == [
        FieldChange("port", "8100", "8101"),
        FieldChange("settings.max_model_len", "4096", "8192"),
    ]
    edited(definition)
    assert newest() == change  # nothing differs, nothing is noted
    services.definition_delete(definition=definition, actor=SYSTEM)
    assert (newest().kind, newest().after, newest().definition) == ("deleted", None, None)
    kinds = list(DefinitionChange.objects.order_by("pk").values_list("kind", flat=True))
    assert kinds == ["created", "edited", "deleted"]


def test_an_import_is_noted_too() -> None:
    text = b"models: {m: {engine: vllm, port: 1, model_id: x, estimated_memory_gb: 1.5}}"
    services.catalogue_import(text=text, filename="x", actor=SYSTEM)
    assert (newest().kind, newest().before) == ("imported", None)
    services.catalogue_import(text=text, filename="x", actor=SYSTEM)
    assert DefinitionChange.objects.count() == 1
    services.catalogue_import(text=text.replace(b"1.5", b"2"), filename="x", actor=SYSTEM)
    assert field_changes(newest().before, newest().after) == [
        FieldChange("estimated_memory_gb", "1.5", "2.0")
    ]


def test_revert_is_a_change_that_can_be_reverted() -> None:
    definition = saved(estimated_memory_gb=Decimal("1.5"), settings={"seed": 1})
    before = picture(definition)
    edited(definition, estimated_memory_gb=None, settings={"seed": 2}, name="Other")
    definition_revert(change=newest(), actor=SYSTEM)
    assert picture(ModelDefinition.objects.get()) == before
    assert (newest().kind, AuditEntry.objects.order_by("-pk")[0].action) == ("reverted", "definition_edit")
    definition_revert(change=newest(), actor=SYSTEM)
    assert ModelDefinition.objects.get().name == "Other"


def test_deleted_definition_comes_back() -> None:
    definition = saved(settings={"seed": 1})
    services.definition_delete(definition=definition, actor=SYSTEM)
    again = definition_revert(change=newest(), actor=SYSTEM)
    assert (again.slug, again.settings, newest().kind) == ("qwen", {"seed": 1}, "reverted")


def test_birth_cannot_be_reverted() -> None:
    saved()
    with pytest.raises(LaunchRefused, match="did not exist before"):
        definition_revert(change=newest(), actor=SYSTEM)


def test_history_page_and_button(client_of: Any, admin: User, viewer: User) -> None:
    definition = saved()
    edited(definition, port=8101)
    page = client_of(viewer).get("/models/qwen/history/").text
    assert "<del>8100</del>" in page and "<ins>8101</ins>" in page and "/revert/" not in page
    browser: Client = client_of(admin)
    address = f"/models/changes/{newest().pk}/revert/"
    assert address in browser.get("/models/qwen/history/").text
    assert browser.post(address)["Location"] == "/models/qwen/"
    assert ModelDefinition.objects.get().port == 8100
    first = DefinitionChange.objects.order_by("pk")[0]
    assert browser.post(f"/models/changes/{first.pk}/revert/")["Location"] == "/models/qwen/history/"
    assert ModelDefinition.objects.count() == 1
    assert browser.get("/models/nothing/history/").status_code == 404


def test_revert_to_what_is_refused_now_says_so(client_of: Any, admin: User) -> None:
    definition = saved()
    ModelDefinition.objects.update(port=0)  # as an older version may have stored it
    definition.refresh_from_db()
    edited(definition, port=8101)
    answer = client_of(admin).post(f"/models/changes/{newest().pk}/revert/", follow=True)
    assert "It cannot go back" in answer.text and ModelDefinition.objects.get().port == 8101


def test_history_by_the_api(bearer: Any, admin: User, viewer: User) -> None:
    edited(saved(), port=8101)
    saved(slug="other", port=9)
    listed = bearer(viewer, "read").get("/api/definition-changes?definition=qwen").json()["results"]
    assert [row["kind"] for row in listed] == ["edited", "created"]
    assert listed[0]["fields_changed"] == [{"name": "port", "before": "8100", "after": "8101"}]
    address = f"/api/definition-changes/{listed[0]['id']}/revert"
    assert bearer(admin, "operate").post(address).status_code == 403
    assert bearer(admin, "admin").post(address).json()["port"] == 8100
    refused = bearer(admin, "admin").post(f"/api/definition-changes/{listed[1]['id']}/revert")
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_before")


# Copies ---------------------------------------------------------------------------


def test_copy_has_a_name_and_port_of_its_own() -> None:
    definition = DefinitionFactory(slug="qwen", port=65535, settings={"seed": 1}, extra={"team": "x"})
    DefinitionFactory(slug="qwen-copy", port=8100)
    draft = draft_of_definition(definition)
    assert (draft.slug, draft.pk, draft.settings, draft.extra) == (
        "qwen-copy-2",
        None,
        {"seed": 1},
        {"team": "x"},
    )
    assert draft_of_definition(DefinitionFactory(slug="y" * 80, port=8101)).port == 8102


def test_duplicate_by_the_form(client_of: Any, admin: User, node: Node) -> None:
    saved(settings={"max_model_len": 4096, "odd": 1}, extra={"team": "night"})
    browser: Client = client_of(admin)
    page = browser.get("/models/new/?copy=qwen")
    assert page.status_code == 200 and 'value="qwen-copy"' in page.text and 'value="4096"' in page.text
    initial = page.context["form"].initial
    fields = {
        "name": "Twin",
        "slug": "twin",
        "engine": "vllm",
        "settings_for": "vllm",
        "model_id": "org/m",
        "port": "8200",
        "publish": "local",
        "node_count": "1",
        "priority": "0",
        "set_max_model_len": "4096",
        "other_settings": initial["other_settings"],
    }
    assert browser.post("/models/new/?copy=qwen", fields).status_code == 302
    twin = ModelDefinition.objects.get(slug="twin")
    assert twin.settings == {"max_model_len": 4096, "odd": 1} and twin.extra == {"team": "night"}
    assert ModelDefinition.objects.count() == 2
    assert browser.get("/models/new/?copy=nothing").status_code == 404
    assert browser.get("/models/new/?copy=a%00b").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_launch_gives_a_definition_of_what_it_ran_with(
    node: Node, someone: Actor, nudges: list[Any], client_of: Any, admin: User
) -> None:
    CatalogueDefaults.objects.create(pk=1, defaults={"vllm": {"image": "a/b:1", "max_num_seqs": 8}})
    definition = saved(settings={"max_model_len": 4096})
    launch, _ = services.launch_create(definition=definition, node=node, actor=someone)
    CatalogueDefaults.objects.update(defaults={"vllm": {"image": "a/b:2", "max_num_seqs": 99}})
    edited(definition, settings={"max_model_len": 1}, model_id="org/other")
    draft = draft_of_launch(launch)
    assert (draft.image, draft.model_id, draft.slug) == ("a/b:1", "org/m", "qwen-as-run")
    assert draft.settings == {"max_num_seqs": 8, "max_model_len": 4096}
    browser = client_of(admin)
    assert f"?launch={launch.uid}" in browser.get(launch.get_absolute_url()).text
    page = browser.get(f"/models/new/?launch={launch.uid}").text
    assert 'value="a/b:1"' in page and 'value="4096"' in page


def test_launch_from_before_that_was_kept_says_so(client_of: Any, admin: User) -> None:
    launch: Launch = LaunchFactory()
    with pytest.raises(LaunchRefused, match="was not kept"):
        draft_of_launch(launch)
    AttemptFactory(launch=launch)
    answer = client_of(admin).get(f"/models/new/?launch={launch.uid}", follow=True)
    assert "was not kept" in answer.text


# Choosing -------------------------------------------------------------------------

FILE = b"""models:
  one: {engine: vllm, port: 1, model_id: x, settings: {seed: 1}}
  two: {engine: vllm, port: 2, model_id: x}
  three: {engine: vllm, port: 3, model_id: x}
"""


def test_some_of_a_file_are_imported_after_a_look(client_of: Any, admin: User) -> None:
    services.catalogue_import(text=FILE, filename="x", actor=SYSTEM, only={"one", "three"})
    assert set(ModelDefinition.objects.values_list("slug", flat=True)) == {"one", "three"}
    browser: Client = client_of(admin)
    changed = FILE.replace(b"seed: 1", b"seed: 7").replace(b"port: 3", b"port: 4").decode()
    page = browser.post("/models/import/", {"text": changed, "step": "preview"}).text
    assert "<del>1</del>" in page and "<ins>7</ins>" in page and page.count('name="slug"') == 3
    chosen = {"text": changed, "step": "apply", "chosen": "1", "slug": ["one", "two"]}
    browser.post("/models/import/", chosen)
    ports = dict(ModelDefinition.objects.values_list("slug", "port"))
    assert ports == {"one": 1, "two": 2, "three": 3}
    assert ModelDefinition.objects.get(slug="one").settings == {"seed": 7}
    browser.post("/models/import/", {"text": changed, "step": "apply", "chosen": "1"})
    assert ModelDefinition.objects.get(slug="three").port == 3


def test_problem_of_one_refuses_the_file_also_when_another_is_chosen() -> None:
    with pytest.raises(services.CatalogueInvalid):
        services.catalogue_import(
            text=FILE.replace(b"port: 2", b"port: 0"), filename="x", actor=SYSTEM, only={"one"}
        )
    assert not ModelDefinition.objects.exists()


def test_some_are_exported(client_of: Any, viewer: User) -> None:
    services.catalogue_import(text=FILE, filename="x", actor=SYSTEM)
    browser = client_of(viewer)
    assert browser.get("/models/export/choose/").text.count('name="slug"') == 3
    text = browser.get("/models/export/?slug=one&slug=three&slug=nothing").content
    assert b"one:" in text and b"three:" in text and b"two:" not in text


def test_some_by_the_api(bearer: Any, admin: User) -> None:
    client = bearer(admin, "admin")
    look = client.post("/api/catalogue?slug=one&preview=1", FILE, content_type="application/yaml")
    assert look.json()["created"] == ["one"] and not ModelDefinition.objects.exists()
    client.post("/api/catalogue?slug=one&slug=two", FILE, content_type="application/yaml")
    assert client.get("/api/catalogue?slug=two").content.count(b"engine:") == 1
