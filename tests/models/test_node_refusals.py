"""Starts that cannot be: each is refused in words, and leaves nothing behind."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from models_app.engines.spec import MountSpec, PortSpec
from tests.support.images import BUSYBOX
from tests.support.node import Node

pytestmark = pytest.mark.docker


@pytest.fixture
def node(docker_host: str, tmp_path: Path, installation: str) -> Iterator[Node]:
    node = Node(docker_host, tmp_path, installation)
    yield node
    node.close()


def refused(node: Node, docker_client: docker.DockerClient, port: int, **fields: Any) -> tuple[str, str]:
    """Start, and return code and reason of the refusal, having looked that nothing is left."""
    spec = node.start(node.spec(port, **fields))
    assert [verb for verb, _ in node.facts(spec)] == ["start_refused"]
    label = {"label": f"sparkweb.member={spec.member}"}
    assert docker_client.containers.list(all=True, filters=label) == []
    data = node.facts(spec)[0][1]
    return data["code"], data["reason"]


def test_port_held_by_a_program(node: Node, docker_client: docker.DockerClient, free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        code, reason = refused(node, docker_client, free_port)
    assert code == "port_in_use"
    assert f"Port {free_port} on 127.0.0.1 is in use by" in reason
    assert "(process " in reason


def test_port_held_by_a_container(node: Node, docker_client: docker.DockerClient, free_port: int) -> None:
    holder = docker_client.containers.run(
        BUSYBOX, "sleep 300", detach=True, ports={"80/tcp": ("127.0.0.1", free_port)}
    )
    try:
        code, reason = refused(node, docker_client, free_port)
    finally:
        holder.remove(force=True)
    assert code == "port_in_use"
    assert reason == (
        f"Port {free_port} on 127.0.0.1 is in use by container {holder.name}. "
        "Stop that, or choose another port."
    )


def test_port_free_again(node: Node, docker_client: docker.DockerClient, free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        refused(node, docker_client, free_port)
    spec = node.start(node.spec(free_port))
    node.wait_ready(spec)


def test_address_that_is_not_ours(node: Node, docker_client: docker.DockerClient, free_port: int) -> None:
    ports = [PortSpec(8000, free_port, "192.0.2.7")]
    code, reason = refused(node, docker_client, free_port, ports=ports)
    assert code == "create_failed"
    assert "192.0.2.7" in reason and "cannot assign requested address" in reason


def test_no_gpu(node: Node, docker_client: docker.DockerClient, free_port: int) -> None:
    code, reason = refused(node, docker_client, free_port, gpus="all")
    assert code == "gpu_missing"
    assert "turn GPUs off in the definition" in reason


def test_no_registry(node: Node, docker_client: docker.DockerClient, free_port: int) -> None:
    image = f"127.0.0.1:{free_port}/nobody/listens:v1"
    code, reason = refused(node, docker_client, free_port, image=image)
    assert code == "pull_failed"
    assert reason.startswith(f"Image {image} could not be pulled: ")
    assert "connection refused" in reason


def test_image_name_that_is_none(node: Node, docker_client: docker.DockerClient, free_port: int) -> None:
    code, reason = refused(node, docker_client, free_port, image="Not An Image!")
    assert code == "pull_failed"
    assert "Not An Image!" in reason and "invalid reference format" in reason


def test_no_secret(node: Node, docker_client: docker.DockerClient, free_port: int) -> None:
    code, reason = refused(node, docker_client, free_port, secret_env={"HF_TOKEN": "hf_token"})
    assert code == "secret_missing"
    assert f"The secret hf_token is not in {node.secrets}" in reason


def test_no_folder(node: Node, docker_client: docker.DockerClient, free_port: int) -> None:
    mounts = [MountSpec("/nowhere/models", "/models", read_only=True)]
    code, reason = refused(node, docker_client, free_port, mounts=mounts)
    assert code == "mount_missing"
    assert "There is no /nowhere/models on this node" in reason


def test_folder_that_cannot_be_made(
    node: Node, docker_client: docker.DockerClient, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/proc/self/fdinfo")
    mounts = [MountSpec("/proc/self/fdinfo/cache", "/cache")]
    code, reason = refused(node, docker_client, free_port, mounts=mounts)
    assert code == "mount_missing"
    assert "cannot be made" in reason


def test_name_of_a_stranger(node: Node, docker_client: docker.DockerClient, free_port: int) -> None:
    stranger = docker_client.containers.create(BUSYBOX, "true", name=f"mine-{free_port}")
    try:
        code, reason = refused(node, docker_client, free_port, name=stranger.name)
        assert docker_client.containers.get(stranger.id).status == "created"
    finally:
        stranger.remove()
    assert code == "name_taken"
    assert f"The name mine-{free_port} belongs to another container ({stranger.id[:12]}, created)" in reason


def test_program_that_is_not_in_the_image(node: Node, free_port: int) -> None:
    """With an init process Docker starts it all the same; it ends at once and says why."""
    spec = node.start(node.spec(free_port, image=BUSYBOX))
    end = node.wait_fact(spec, "container_exited")
    assert end["exit_code"] == 127
    assert "exec vllm failed: No such file or directory" in end["reason"]
