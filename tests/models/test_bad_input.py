"""What owners and their programs may send by mistake or on purpose, by every door: form, API, file, start."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from metrics_app.models import Node
from models_app.catalogue import CatalogueError, catalogue_parse
from models_app.engines.images import image_problem
from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.registry import SPECS
from models_app.engines.settings_schema import SettingsInvalid
from models_app.engines.spec import ContainerSpec
from models_app.engines.specs import run_line
from models_app.models import ModelDefinition
from sparkweb.accounts.models import User

IDS = LaunchIds(installation="0a1b2c3d", launch="1a2b3c4d5e6f7081", member="aa" * 8, generation=3, attempt=2)
LONG = "x" * 100_000
BODY: dict[str, Any] = {"slug": "m", "name": "M", "engine": "vllm", "model_id": "org/m", "port": 8104}
FORM = {
    **BODY,
    "port": "8104",
    "settings_for": "vllm",
    "publish": "local",
    "node_count": "1",
    "priority": "0",
}

GOOD = [
    "busybox",
    "vllm/vllm-openai:v0.11.0",
    "nvcr.io/nvidia/vllm:25.11-py3",
    "localhost:5000/a/b_c/d__e-f.g:Tag_1",
    "a@sha256:" + "0f" * 32,
    "ghcr.io/ggml-org/llama.cpp:server-cuda",
]
BAD = [
    "a b",
    "a;id",
    "$(id)",
    "`id`",
    "--privileged",
    "-v/:/host",
    "a:b:c",
    "a//b",
    "/a",
    "a/",
    "Upper",
    "a:",
    "a@sha256:short",
    "http://a/b",
    "a\nb",
    "ä",
    LONG,
]


@pytest.mark.parametrize("image", GOOD)
def test_image_names(image: str) -> None:
    assert image_problem(image) is None


@pytest.mark.parametrize("image", BAD, ids=lambda image: image[:12])
def test_what_is_no_image_name_is_refused_before_anything_is_made(image: str) -> None:
    for definition, defaults in (
        (DefinitionData("m", "org/m", 8104, image), {}),
        (DefinitionData("m", "org/m", 8104), {"image": image}),
    ):
        with pytest.raises(SettingsInvalid, match="m: image: expected an image such as") as caught:
            SPECS["vllm"](definition, defaults, NodeData("spark-1"), IDS)
        assert len(str(caught.value)) < 250


@pytest.fixture
def api(bearer: Any, admin: User, node: Node) -> Client:
    return bearer(admin, "admin")  # type: ignore[no-any-return]


def refused(client: Client, **change: Any) -> str:
    answer = client.post("/api/definitions", {**BODY, **change}, content_type="application/json")
    assert answer.status_code == 400, answer.content[:300]
    assert not ModelDefinition.objects.exists()
    assert len(answer.content) < 3000
    return str(answer.json()["error"])


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"image": "a;id"}, "expected an image such as"),
    ({"image": LONG}, "image"),
    ({"name": LONG}, "name"),
    ({"slug": LONG}, "slug"),
    ({"slug": "../x"}, "slug"),
    ({"model_id": LONG}, "model_id"),
    ({"model_id": "--trust-remote-code"}, "model_id"),
    ({"description": LONG}, "at most 4000 characters"),
    ({"script_dir": LONG}, "script_dir"),
    ({"settings": {"odd": LONG}}, "at most 65536 characters"),
    ({"settings": {"chat_template": LONG}}, "chat_template"),
    ({"settings": {"max_model_len": "many"}}, "max_model_len: expected a whole number"),
    ({"settings": {"gpu_memory_utilization": 60}}, "gpu_memory_utilization: expected a number from"),
    ({"settings": [1]}, "settings"),
    ({"settings": {"odd": "a\0b"}}, "must not contain the character NUL"),
    ({"settings": {"o\0d": 1}}, "must not contain the character NUL"),
    ({"port": 0}, "port"),
    ({"port": "8104; id"}, "port"),
    ({"engine": "vlm"}, "engine"),
    ({"name": "a\0b"}, "name"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=[str(change)[:40] for change, _ in WRONG])
def test_api_refuses_with_the_field_named(api: Client, change: dict[str, Any], words: str) -> None:
    assert words.lower() in refused(api, **change).lower()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": "a b"}, "Expected an image such as"),
        ({"description": LONG}, "at most 4000 characters"),
        ({"other_settings": '{"odd": "' + LONG + '"}'}, "at most 65536 characters"),
        ({"model_id": "--help"}, "does not begin with a hyphen"),
    ],
)
def test_form_refuses_with_a_sentence(
    client_of: Any, admin: User, node: Node, change: dict[str, str], words: str
) -> None:
    answer = client_of(admin).post("/models/new/", {**FORM, **change})
    assert answer.status_code == 200 and words in answer.text
    assert not ModelDefinition.objects.exists()


def test_file_refuses_with_line_and_key() -> None:
    lines = ["engine: vllm", "port: 1", "model_id: x", "image: A b", f"description: {LONG}"]
    text = "models:\n  m:\n" + "".join(f"    {line}\n" for line in lines)
    with pytest.raises(CatalogueError) as caught:
        catalogue_parse(text.encode(), "models.yaml")
    said = "\n".join(map(str, caught.value.problems))
    assert "line 6" in said and "expected an image such as" in said
    assert "line 7" in said and "at most 4000 characters" in said and len(said) < 1000


def test_unknown_settings_are_kept_and_shown_as_ignored(api: Client) -> None:
    odd = {"future_flag": "$(touch /tmp/x); `id` | sh", "max_model_len": 4096}
    answer = api.post("/api/definitions", {**BODY, "settings": odd}, content_type="application/json")
    assert answer.status_code == 201 and answer.json()["settings"] == odd
    told = api.get("/api/definitions/m/docker-run").json()
    assert any("future_flag is ignored" in note for note in told["notes"])
    assert "touch" not in told["line"]


MORE_OF_THE_MACHINE: dict[str, Any] = {
    "mounts": [{"source": "/", "target": "/host"}],
    "volumes": ["/:/host"],
    "devices": ["/dev/sda"],
    "privileged": True,
    "cap_add": ["SYS_ADMIN"],
    "network": "host",
    "pid": "host",
    "security_opt": ["apparmor=unconfined"],
    "user": "root",
}


@pytest.mark.parametrize("engine", [engine for engine in SPECS if engine != "script"])
def test_no_setting_gives_more_of_the_machine(engine: str) -> None:
    definition = DefinitionData("m", "org/m", 8104, "img:1", dict(MORE_OF_THE_MACHINE))
    plain, _ = SPECS[engine](DefinitionData("m", "org/m", 8104, "img:1"), {}, NodeData("spark-1"), IDS)
    spec, notes = SPECS[engine](definition, {}, NodeData("spark-1"), IDS)
    assert spec == plain and isinstance(spec, ContainerSpec)
    assert not {name for name in MORE_OF_THE_MACHINE if not any(name in note for note in notes)}
    assert "/host" not in run_line(spec) and "privileged" not in run_line(spec).replace(
        "no-new-privileges", ""
    )
