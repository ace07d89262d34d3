"""Each engine's container on the real Docker engine, made by its own spec, with a stand-in inside."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.registry import SPECS
from models_app.engines.spec import ContainerSpec
from models_app.models import uid_make
from tests.support.engine_images import engine_image, engine_images_build
from tests.support.node import Node
from tests.support.stack import wait_for

pytestmark = pytest.mark.docker
KEY = "nvapi-canary-0123456789"


@pytest.fixture(scope="module")
def images(docker_host: str) -> str:
    engine_images_build(docker_host)
    return docker_host


@pytest.fixture
def node(images: str, tmp_path: Path, installation: str) -> Iterator[Node]:
    node = Node(images, tmp_path, installation)
    (node.secrets / "ngc_api_key").write_text(KEY)
    (node.secrets / "hf_token").write_text("hf_canary")
    for folder in ("hf", "ollama", "nim"):
        (tmp_path / folder).mkdir()
    yield node
    node.close()


Make = Callable[..., ContainerSpec]


@pytest.fixture
def make(node: Node, tmp_path: Path, free_port: int, installation: str) -> Make:
    """The spec that control would send for a definition of an engine."""

    def spec(engine: str, model_id: str = "org/m", **settings: Any) -> ContainerSpec:
        definition = DefinitionData(
            slug="m",
            model_id=model_id,
            port=free_port,
            image=engine_image(engine),
            # No GPU here, and no right to raise the limit of locked memory.
            settings={"gpus": "none", "ulimit_memlock": None, "ulimit_stack": None, **settings},
        )
        place = NodeData(
            node.name,
            str(tmp_path / "hf"),
            ("hf_token", "ngc_api_key"),
            ollama_models=str(tmp_path / "ollama"),
            nim_cache=str(tmp_path / "nim"),
        )
        ids = LaunchIds(installation, uid_make(), uid_make(), 1, 1)
        return SPECS[engine](definition, {}, place, ids)[0]

    return spec


def container_of(client: docker.DockerClient, spec: ContainerSpec) -> Any:
    return client.containers.get(spec.name)


@pytest.mark.parametrize(
    ("engine", "settings", "models"),
    [
        ("sglang", {}, ["m"]),
        ("llamacpp", {}, ["m"]),
        ("trtllm", {}, ["org/m"]),
        ("nim", {}, []),
        ("custom", {"command": ["anything", "--port", "9"], "container_port": 9, "health_path": "/health"},
         []),
        ("custom", {"entrypoint": ["sleep"], "command": ["60"]}, []),
    ],
    ids=["sglang", "llamacpp", "trtllm", "nim", "custom", "custom-without-health"],
)  # fmt: skip
def test_started_and_found_ready(
    engine: str, settings: dict[str, Any], models: list[str], node: Node, make: Make
) -> None:
    spec = node.start(make(engine, **settings))
    entry = node.wait_ready(spec)
    assert entry["phase"] == "running"
    assert entry["probe"]["models"] == models


@pytest.mark.parametrize("engine", ["sglang", "llamacpp", "nim"])
def test_server_that_answers_while_it_loads_is_not_ready(engine: str, node: Node, make: Make) -> None:
    spec = node.start(make(engine, env={"STANDIN_LOAD_SECONDS": "60"}))
    seen = node.wait_entry(spec, lambda entry: (entry["probe"] or {}).get("health") == 503)
    assert seen["probe"]["ready"] is False


def test_key_that_a_program_reads_from_its_environment_shows_nowhere(
    node: Node, make: Make, docker_client: docker.DockerClient
) -> None:
    spec = node.start(make("nim"))
    node.wait_ready(spec)
    container = container_of(docker_client, spec)
    assert KEY not in str(docker_client.api.inspect_container(container.id))
    assert KEY not in str(container.top())
    log = container.logs().decode()
    assert f"key of {len(KEY)} characters" in log, "the program got it"
    assert KEY not in log


def test_program_of_the_image_runs_behind_the_exporting_shell(
    node: Node, make: Make, docker_client: docker.DockerClient
) -> None:
    """llama.cpp's arguments follow the image's entrypoint, though a shell comes first."""
    spec = node.start(make("llamacpp", ctx_size=4096))
    node.wait_ready(spec)
    lines = [" ".join(row) for row in container_of(docker_client, spec).top()["Processes"]]
    assert any("/usr/bin/llama-server --hf-repo org/m --alias m" in line for line in lines), lines


def test_secret_that_is_missing_is_named(node: Node, make: Make) -> None:
    (node.secrets / "ngc_api_key").unlink()
    spec = node.start(make("nim"))
    assert node.wait_fact(spec, "start_refused")["code"] == "secret_missing"


def test_failure_of_another_engine_is_told_in_its_words(node: Node, make: Make) -> None:
    spec = node.start(make("trtllm", env={"STANDIN_EXIT_CODE": "3"}))
    end = node.wait_fact(spec, "container_exited")
    assert end["reason"] == "exited with code 3: RuntimeError: the model could not be loaded"


# Ollama -------------------------------------------------------------------------


def asked_to_pull(client: docker.DockerClient, spec: ContainerSpec) -> int:
    return container_of(client, spec).logs().decode().count(f"pull {spec.probe.model}\n")


def test_ollama_pulls_its_model_with_progress(
    node: Node, make: Make, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    settings = {"keep_alive": "24h", "env": {"STANDIN_PULL_SECONDS": "2"}}
    spec = node.start(make("ollama", "qwen3:4b", **settings))
    half = node.wait_entry(spec, lambda entry: ((entry["stage"] or {}).get("done_bytes") or 0) > 0)
    assert half["stage"]["name"] == "download"
    assert half["stage"]["total_bytes"] == 1_000_000
    assert half["stage"]["message"] == "Downloading qwen3:4b"
    assert half["probe"]["message"] == "the server runs; qwen3:4b is not in it yet"
    ready = node.wait_ready(spec)
    assert ready["stage"] is None and ready["probe"]["models"] == ["qwen3:4b"]
    assert asked_to_pull(docker_client, spec) == 1
    assert "OLLAMA_KEEP_ALIVE:24h" in container_of(docker_client, spec).logs().decode()
    assert (tmp_path / "ollama" / "models" / "qwen3:4b").exists()


def test_ollama_that_has_its_model_pulls_nothing(
    node: Node, make: Make, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    (tmp_path / "ollama" / "models").mkdir()
    (tmp_path / "ollama" / "models" / "qwen3:latest").write_text("1")
    spec = node.start(make("ollama", "qwen3"))
    node.wait_ready(spec)
    assert asked_to_pull(docker_client, spec) == 0


def test_ollama_failure_takes_the_server_down_and_says_why(node: Node, make: Make) -> None:
    error = "pull model manifest: file does not exist"
    spec = node.start(make("ollama", "qwen9", env={"STANDIN_PULL_ERROR": error}))
    refused = node.wait_fact(spec, "start_refused")
    assert refused["code"] == "model_pull_failed"
    assert refused["reason"] == f"Ollama could not pull qwen9: {error}. Check the model's name and tag."
    node.wait_fact(spec, "container_exited")
    assert [verb for verb, _ in node.facts(spec)] == [
        "container_created",
        "start_refused",
        "container_exited",
    ]


def test_ollama_stopped_during_its_download(
    node: Node, make: Make, docker_client: docker.DockerClient
) -> None:
    spec = node.start(make("ollama", "big:70b", env={"STANDIN_PULL_SECONDS": "600"}))
    node.wait_entry(spec, lambda entry: (entry["stage"] or {}).get("name") == "download")
    node.stop(spec)
    end = node.wait_fact(spec, "container_exited")
    assert end["reason"] == "stopped as asked (exit code 0)"
    assert not node.facts(spec, "start_refused")


def test_ollama_download_goes_on_after_the_agent_was_restarted(
    images: str, node: Node, make: Make, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    spec = node.start(make("ollama", "big:8b", env={"STANDIN_PULL_SECONDS": "4"}))
    node.wait_entry(spec, lambda entry: ((entry["stage"] or {}).get("done_bytes") or 0) > 0)
    node.models.close()
    (tmp_path / "second").mkdir()
    second = Node(images, tmp_path / "second", node.installation)
    try:
        second.wait_ready(spec)
        assert asked_to_pull(docker_client, spec) == 2
        assert "resume big:8b at " in container_of(docker_client, spec).logs().decode()
    finally:
        second.close()


def test_ollama_line_that_breaks_half_way_is_taken_up_again(
    node: Node, make: Make, docker_client: docker.DockerClient
) -> None:
    spec = node.start(make("ollama", "qwen3:4b", env={"STANDIN_PULL_BREAK": "1"}))
    node.wait_ready(spec)
    assert asked_to_pull(docker_client, spec) == 2
    assert not node.facts(spec, "start_refused")


def test_ollama_model_deleted_while_it_serves_comes_back(
    node: Node, make: Make, docker_client: docker.DockerClient, tmp_path: Path, free_port: int
) -> None:
    spec = node.start(make("ollama", "qwen3:4b"))
    node.wait_ready(spec)
    (tmp_path / "ollama" / "models" / "qwen3:4b").unlink()
    wait_for(lambda: asked_to_pull(docker_client, spec) == 2, "it is pulled again")
    node.wait_ready(spec)
    with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/api/version", timeout=5) as answer:
        assert answer.status == 200
