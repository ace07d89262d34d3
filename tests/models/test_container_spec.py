"""The container spec: through JSON and back, refusals in words, and its docker run line."""

from __future__ import annotations

import json
import shlex
import subprocess
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_app.engines.spec import (
    ContainerSpec,
    MountSpec,
    PortSpec,
    ProbeSpec,
    SpecInvalid,
    docker_run_line,
)
from models_app.node.identity import container_labels, identity_of_labels


def spec(**fields: Any) -> ContainerSpec:
    base: dict[str, Any] = {
        "launch": "l1",
        "member": "m1",
        "generation": 3,
        "installation": "0a1b2c3d",
        "node": "spark-1",
        "slug": "qwen3",
        "name": "sparkweb-qwen3-0a1b-1",
        "image": "vllm/vllm-openai:v0.11",
        "command": ["vllm", "serve", "Qwen/Qwen3"],
        "probe": ProbeSpec("openai", 8104, model="qwen3"),
    }
    return ContainerSpec(**{**base, **fields})


FULL = spec(
    entrypoint=["python3", "-m"],
    env={"B": "two words", "A": "x"},
    secret_env={"HF_TOKEN": "hf_token", "NGC_API_KEY": "ngc"},
    ports=[PortSpec(8000, 8104), PortSpec(8000, 8104, "192.168.100.10")],
    mounts=[MountSpec("/data/hf cache", "/root/.cache"), MountSpec("/models", "/models", read_only=True)],
    gpus="all",
    ipc="host",
    shm_bytes=1024,
    ulimits={"memlock": -1, "stack": 67108864},
    labels={"mine": "yes"},
)


@pytest.mark.parametrize("one", [spec(), FULL], ids=["plain", "full"])
def test_survives_json(one: ContainerSpec) -> None:
    assert ContainerSpec.from_json(json.loads(json.dumps(one.to_json()))) == one


@pytest.mark.parametrize(
    "field, value, sentence",
    [
        ("launch", "", "launch='': must be a text that is not empty"),
        ("image", None, "image=None: must be a text that is not empty"),
        ("generation", -1, "generation=-1: must be a whole number, 0 or more"),
        ("ttl_seconds", 0, "ttl_seconds=0: must be a whole number of seconds, 1 or more"),
        ("command", "vllm serve", "command: must be a list of texts, not 'vllm serve'"),
        ("command", ["a", 1], "command: must be a list of texts, not ['a', 1]"),
        ("gpus", "2", "gpus='2': must be \"all\" or null"),
        ("ipc", "container:x", "ipc='container:x': must be \"host\" or null"),
        ("network", "container:x", "network='container:x': must be \"host\" or null"),
        ("devices", ["/dev/sda"], "devices=['/dev/sda']: only /dev/infiniband may be handed in"),
        ("devices", "/dev/infiniband", "devices='/dev/infiniband': only /dev/infiniband may be"),
        ("ports", [{"container": 0, "host": 1}], "port 0: must be a whole number from 1 to 65535"),
        ("ports", [{"container": 1, "host": 70000}], "port 70000: must be a whole number from 1 to 65535"),
        ("mounts", [{"source": "a", "target": "/b"}], "mount 'a': must be an absolute path"),
        ("secret_env", {"A": "../key"}, "secret file '../key': must be a plain file name"),
        ("secret_env", {"A": ".."}, "secret file '..': must be a plain file name"),
        ("env", {"A": 1}, "env 'A'=1: must be a text"),
        ("probe", {"kind": "telepathy", "port": 1}, "probe kind='telepathy': must be openai, ollama,"),
    ],
)
def test_refusals_name_field_and_value(field: str, value: Any, sentence: str) -> None:
    with pytest.raises(SpecInvalid) as refusal:
        ContainerSpec.from_json({**spec().to_json(), field: value})
    assert str(refusal.value).startswith(sentence)


@pytest.mark.parametrize("data", [None, 1, "x", [], {}, {"probe": {}}, {"probe": 3}, {"ports": 7}])
def test_what_is_no_spec(data: Any) -> None:
    with pytest.raises(SpecInvalid, match=r"^container spec: "):
        ContainerSpec.from_json(data)


def test_unknown_field_is_refused() -> None:
    with pytest.raises(SpecInvalid, match="privileged"):
        ContainerSpec.from_json({**spec().to_json(), "privileged": True})


def test_run_line_is_one_command_with_everything_in_it() -> None:
    words = shlex.split(docker_run_line(FULL, "/etc/secrets").replace("\\\n", " "))
    assert words[:4] == ["docker", "run", "-d", "--init"]
    image = words.index("vllm/vllm-openai:v0.11")
    assert words[image:] == ["vllm/vllm-openai:v0.11", "-m", "vllm", "serve", "Qwen/Qwen3"]
    options = words[:image]
    for pair in [
        ("--name", "sparkweb-qwen3-0a1b-1"),
        ("-p", "127.0.0.1:8104:8000"),
        ("-p", "192.168.100.10:8104:8000"),
        ("--gpus", "all"),
        ("--ipc", "host"),
        ("--shm-size", "1024"),
        ("-v", "/data/hf cache:/root/.cache"),
        ("-v", "/models:/models:ro"),
        ("-v", "/etc/secrets/hf_token:/run/secrets/hf_token:ro"),
        ("-e", "HF_TOKEN_PATH=/run/secrets/hf_token"),
        ("-e", "NGC_API_KEY_FILE=/run/secrets/ngc"),
        ("-e", "B=two words"),
        ("--entrypoint", "python3"),
    ]:
        assert pair in list(pairwise(options)), pair
    assert "memlock=-1" in options and "stack=67108864" in options
    assert "sparkweb.member" not in docker_run_line(FULL)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1, max_size=5))
def test_run_line_reaches_docker_as_it_was_meant(command: list[str]) -> None:
    """A real shell reads it; `docker` there prints its arguments."""
    script = "docker() { printf '%s\\0' \"$@\"; }\n" + docker_run_line(spec(command=command))
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    words = done.stdout.decode().split("\0")[:-1]
    assert words[-len(command) :] == command


def test_labels_say_whose_it_is_and_win_over_the_specs_own() -> None:
    forged = spec(labels={"sparkweb.member": "other", "mine": "yes"})
    labels = container_labels(forged)
    assert labels["mine"] == "yes"
    identity = identity_of_labels(labels, "0a1b2c3d", "spark-1")
    assert identity is not None
    assert (identity.launch, identity.member, identity.generation) == ("l1", "m1", 3)
    assert identity.probe == forged.probe


@pytest.mark.parametrize(
    "installation, node, ours",
    [("0a1b2c3d", "spark-1", True), ("0a1b2c3d", "spark-2", False), ("ffffffff", "spark-1", False)],
)
def test_only_this_installation_and_node_are_ours(installation: str, node: str, ours: bool) -> None:
    assert (identity_of_labels(container_labels(spec()), installation, node) is not None) is ours


@pytest.mark.parametrize(
    "labels", [{"sparkweb.generation": "x"}, {"sparkweb.probe": "{"}, {"sparkweb.probe": "[1]"}]
)
def test_our_labels_with_unreadable_parts_stay_ours(labels: dict[str, str]) -> None:
    identity = identity_of_labels({**container_labels(spec()), **labels}, "0a1b2c3d", "spark-1")
    assert identity is not None and identity.member == "m1"
