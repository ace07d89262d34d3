"""Containers that somebody else started, adopted on a real engine: watched, given back, never removed."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from models_app.engines.spec import ContainerSpec, ProbeSpec
from models_app.node.adopted import AdoptOrder
from models_app.node.adopting import models_listed
from tests.support.images import STANDIN
from tests.support.node import Node
from tests.support.stack import wait_for

pytestmark = pytest.mark.docker


@pytest.fixture
def node(docker_host: str, tmp_path: Path, installation: str) -> Iterator[Node]:
    node = Node(docker_host, tmp_path, installation)
    yield node
    node.close()


@pytest.fixture
def foreign(docker_client: docker.DockerClient, free_port: int) -> Iterator[Any]:
    """A stand-in that somebody started by hand, with no label of ours."""
    container = docker_client.containers.run(
        STANDIN,
        ["vllm", "serve", "test/model", "--served-model-name", "standin", "--port", "8000"],
        name=f"by-hand-{uuid.uuid4().hex[:8]}",
        environment={"STANDIN_LOAD_SECONDS": "0"},
        init=True,
        ports={"8000/tcp": ("127.0.0.1", free_port)},
        detach=True,
    )
    yield container
    with contextlib.suppress(docker.errors.NotFound):
        container.remove(force=True)


def serves(port: int) -> bool:
    return models_listed("127.0.0.1", port) == ["standin"]


def adopt(node: Node, container: Any, port: int, **fields: Any) -> ContainerSpec:
    """Have it adopted as a definition that expects another port; the spec only names the member."""
    spec = node.spec(port)
    order = {
        "launch": spec.launch,
        "member": spec.member,
        "generation": 1,
        "slug": "standin",
        "container_id": container.id,
        "names": ["standin"],
        "probe": ProbeSpec("openai", 9, model="standin"),
    }
    node.models.adoptions.adopt(AdoptOrder(**(order | fields)))
    return spec


def test_adopted_watched_stopped_and_still_there(
    node: Node, foreign: Any, free_port: int, docker_host: str, tmp_path: Path
) -> None:
    wait_for(lambda: serves(free_port), "the stand-in serves")
    spec = adopt(node, foreign, free_port)
    ready = node.wait_ready(spec)
    assert (ready["adopted"], ready["container_id"]) == (True, foreign.id)
    told = node.wait_fact(spec, "container_created")
    assert (told["adopted"], told["probe"]["port"]) == (True, free_port)
    wait_for(lambda: node.log_lines(spec), "its log is followed")
    shown = next(one for one in node.models.containers() if one["id"] == foreign.id)
    assert (shown["ours"], shown["adopted"], shown["member"]) == (False, True, spec.member)
    assert node.models.guarded.victims() == []
    adopt(node, foreign, free_port, launch=spec.launch, member=spec.member)  # the nudge, a second time
    foreign.reload()
    assert not any(name.startswith("sparkweb.") for name in foreign.labels)

    node.close()  # another agent takes over: it knows the container from the file
    later = Node(docker_host, tmp_path, node.installation)
    try:
        later.wait_ready(spec)
        later.stop(spec)
        assert later.wait_fact(spec, "container_exited")["reason"] == "stopped as asked (exit code 0)"
        wait_for(lambda: later.log(spec)[-1:] == [{"end": True}], "its log was read to the end")
        later.acknowledge_all()
        wait_for(lambda: later.entry(spec) is None, "it is nobody's here any more")
        foreign.reload()
        assert foreign.status == "exited"
        assert later.facts(spec, "container_removed") == []
    finally:
        later.close()


def test_released_it_goes_on_and_can_be_adopted_again(node: Node, foreign: Any, free_port: int) -> None:
    wait_for(lambda: serves(free_port), "the stand-in serves")
    spec = adopt(node, foreign, free_port)
    node.wait_ready(spec)
    node.models.adoptions.release(spec.launch, spec.member, 2)
    wait_for(lambda: node.entry(spec) is None, "it is given back")
    foreign.reload()
    assert foreign.status == "running"
    adopt(node, foreign, free_port, launch=spec.launch, member=spec.member)  # an old nudge: dropped
    second = adopt(node, foreign, free_port)
    node.wait_ready(second)
    wait_for(lambda: node.log_lines(second), "its log is followed for the second launch")
    assert node.entry(spec) is None
    foreign.remove(force=True)
    wait_for(
        lambda: node.facts(second, "container_gone") or node.facts(second, "container_exited"),
        "its end is told",
    )


def test_what_serves_another_model_or_is_ours_is_refused(node: Node, foreign: Any, free_port: int) -> None:
    wait_for(lambda: serves(free_port), "the stand-in serves")
    other = adopt(node, foreign, free_port, slug="llama", names=["llama"])
    refusal = node.wait_fact(other, "start_refused")
    assert refusal["code"] == "adoption_refused"
    assert f"port {free_port} lists standin" in refusal["reason"]
    gone = adopt(node, foreign, free_port, container_id="0" * 64)
    assert "no container 000000000000" in node.wait_fact(gone, "start_refused")["reason"]
    foreign.reload()
    assert foreign.status == "running"
    assert not node.adopted_file.exists()
