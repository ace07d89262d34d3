"""The definition form with the settings of the chosen engine: shown by type, kept when the engine changes."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from metrics_app.models import Node
from models_app.engines.registry import ENGINES
from models_app.forms import DefinitionForm
from models_app.models import ModelDefinition
from models_app.setting_fields import form_names
from sparkweb.accounts.models import User
from tests.factories import DefinitionFactory

EMPTY: dict[str, Any] = {
    "name": "M",
    "slug": "m",
    "model_id": "org/m",
    "port": "8104",
    "publish": "local",
    "enabled": "on",
}


def posted(engine: str, **fields: str) -> dict[str, Any]:
    return {**EMPTY, "engine": engine, "settings_for": engine, **fields}


@pytest.fixture
def browser(client_of: Any, admin: User, node: Node) -> Client:
    return client_of(admin)  # type: ignore[no-any-return]


SAVED: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    ("sglang", {"set_context_length": "8192", "set_trust_remote_code": "true"},
     {"context_length": 8192, "trust_remote_code": True}),
    ("llamacpp", {"set_flash_attn": "on", "set_ctx_size": "0"}, {"flash_attn": "on", "ctx_size": 0}),
    ("trtllm", {"set_kv_cache_free_gpu_memory_fraction": "0.5"}, {"kv_cache_free_gpu_memory_fraction": 0.5}),
    ("nim", {"set_shm_size": "32g", "image": "nvcr.io/nim/a/b:1"}, {"shm_size": "32g"}),
    ("ollama", {"set_keep_alive": "-1"}, {"keep_alive": -1}),
    ("ollama", {"set_keep_alive": "24h", "set_env": "A=1\nB=x=y \n\n"},
     {"keep_alive": "24h", "env": {"A": "1", "B": "x=y"}}),
    ("custom", {"set_command": "serve\n--name\na b", "set_health_path": "/up", "image": "a:1"},
     {"command": ["serve", "--name", "a b"], "health_path": "/up"}),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "fields", "settings"), SAVED)
def test_each_engines_settings_are_saved_by_type_and_shown_again(
    engine: str, fields: dict[str, str], settings: dict[str, Any], browser: Client
) -> None:
    assert browser.post("/models/new/", posted(engine, **fields)).status_code == 302
    row = ModelDefinition.objects.get()
    assert (row.engine, row.settings) == (engine, settings)
    form = DefinitionForm(instance=row)
    assert form.initial["other_settings"] == ""
    assert {f"set_{name}" for name in settings} <= set(form.initial)
    again = {name: str(value) for name, value in form.initial.items() if name.startswith("set_")}
    assert browser.post(f"/models/{row.slug}/edit/", posted(engine, **{**fields, **again})).status_code == 302
    row.refresh_from_db()
    assert row.settings == settings


WRONG: list[tuple[str, dict[str, str], str]] = [
    ("ollama", {"set_keep_alive": "for ever"}, "keep_alive: expected seconds"),
    ("ollama", {"set_env": "no equals sign"}, "Expected NAME=value on each line"),
    ("ollama", {"set_env": "HF_TOKEN=hf_x"}, "expected no secrets"),
    ("sglang", {"set_mem_fraction_static": "60"}, "less than or equal to 1"),
    ("custom", {"other_settings": '{"command": "serve --port"}'}, "command: expected a list of texts"),
    ("custom", {"set_health_path": "up"}, "expected a path that begins with /"),
    ("llamacpp", {"settings_for": "nonsense", "other_settings": '{"ctx_size": -1}'}, "ctx_size: expected"),
]


@pytest.mark.parametrize(("engine", "fields", "sentence"), WRONG)
def test_wrong_values_are_refused_at_once(
    engine: str, fields: dict[str, str], sentence: str, browser: Client
) -> None:
    answer = browser.post("/models/new/", posted(engine, **fields))
    assert answer.status_code == 200 and sentence in answer.text
    assert not ModelDefinition.objects.exists()


def test_choosing_another_engine_brings_its_settings_and_keeps_what_was_filled_in(browser: Client) -> None:
    fields = {"set_max_model_len": "4096", "set_gpus": "none", "other_settings": '{"seed": 7}'}
    page = browser.post("/models/new/preview/", {**posted("ollama", **fields), "settings_for": "vllm"}).text
    assert 'id="setting-fields" hx-swap-oob="true"' in page
    assert 'name="set_keep_alive"' in page and 'name="set_max_model_len"' not in page
    assert "max_model_len is ignored: SparkWeb knows no Ollama setting of this name" in page
    form = DefinitionForm(
        instance=ModelDefinition(engine="ollama", settings={"max_model_len": 4096, "gpus": "none", "seed": 7})
    )
    assert form.initial["set_gpus"] == "none"
    assert '"max_model_len": 4096' in form.initial["other_settings"]


def test_and_back_again_nothing_is_lost(browser: Client) -> None:
    """As it comes without scripts too: the fields are still the other engine's."""
    away = posted("vllm", other_settings='{"max_model_len": 4096}', set_keep_alive="5m")
    assert browser.post("/models/new/", {**away, "settings_for": "ollama"}).status_code == 302
    assert ModelDefinition.objects.get().settings == {"max_model_len": 4096, "keep_alive": "5m"}
    assert DefinitionForm(instance=ModelDefinition.objects.get()).initial["set_max_model_len"] == 4096


def test_priority_and_pin_are_saved_and_shown_on_the_card(browser: Client) -> None:
    fields = posted("custom", image="a:1", priority="-20", pinned="on")
    assert browser.post("/models/new/", fields).status_code == 302
    row = ModelDefinition.objects.get()
    assert (row.priority, row.pinned) == (-20, True)
    for page in ("/models/", "/models/m/"):
        assert "priority -20" in browser.get(page).text
        assert "pinned" in browser.get(page).text
    assert browser.post("/models/m/edit/", posted("custom", image="a:1", priority="")).status_code == 302
    row.refresh_from_db()
    assert (row.priority, row.pinned) == (0, False)
    assert (
        "less than or equal to 1000" in browser.post("/models/new/", posted("custom", priority="1001")).text
    )


def test_same_engine_swaps_no_fields(browser: Client) -> None:
    assert "hx-swap-oob" not in browser.post("/models/new/preview/", posted("vllm")).text


def test_unknown_engine_breaks_nothing(browser: Client) -> None:
    page = browser.post("/models/new/preview/", posted("vlm")).text
    assert "Select a valid choice" in page


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engines_form_opens(engine: str, browser: Client) -> None:
    row = DefinitionFactory(engine=engine, slug="one", image="a:1", settings={"odd": [1]})
    page = browser.get("/models/one/edit/").text
    assert all(f'name="set_{name}"' in page for name in form_names(ENGINES[engine]))
    assert browser.get(row.get_absolute_url()).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    "settings",
    [
        {"keep_alive": "-1"},
        {"keep_alive": 1.5},
        {"env": {"A": 1}},
        {"env": {"A": "two\nlines"}},
        {"env": {}},
        {"gpus": 7},
    ],
)
def test_value_that_a_field_would_change_stays_as_it_is(settings: dict[str, Any]) -> None:
    form = DefinitionForm(instance=ModelDefinition(engine="ollama", settings=settings))
    assert not [name for name in form.initial if name.startswith("set_")]
    assert next(iter(settings)) in form.initial["other_settings"]


def test_every_engine_can_be_started(browser: Client) -> None:
    for number, engine in enumerate(ENGINES):
        DefinitionFactory(engine=engine, slug=engine, name=engine, image="a:1", port=9000 + number)
    cards = {card.definition.engine: card for card in browser.get("/models/").context["cards"]}
    assert set(cards) == set(ENGINES)
    assert not [engine for engine, card in cards.items() if card.start_blocked]
