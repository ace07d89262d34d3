"""Pulling from a registry: progress in bytes, and how it ends when it does not go well."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from models_app.engines.spec import ProbeSpec
from models_app.node.facts import Facts
from models_app.node.starts import Starts
from models_app.node.watch import Watch
from tests.support.node import Node
from tests.support.registry import Registry
from tests.support.stack import wait_for

pytestmark = pytest.mark.docker


@pytest.fixture
def node(docker_host: str, tmp_path: Path, installation: str) -> Iterator[Node]:
    node = Node(docker_host, tmp_path, installation)
    yield node
    node.close()


@pytest.fixture
def registry(docker_client: docker.DockerClient) -> Iterator[Registry]:
    """A registry of this test alone; what was pulled from it is removed."""
    with Registry() as registry:
        yield registry
    for image in docker_client.images.list():
        for tag in image.tags:
            if tag.startswith(registry.address):
                docker_client.images.remove(tag, force=True)


def pulled(node: Node, port: int, image: str, **fields: Any):  # type: ignore[no-untyped-def]
    return node.spec(port, image=image, command=[], probe=ProbeSpec("none", port), **fields)


def test_pulled_and_started_with_its_digest(
    docker_client: docker.DockerClient, node: Node, registry: Registry, free_port: int
) -> None:
    image = registry.add("plain")
    spec = node.start(pulled(node, free_port, image))
    created = node.wait_fact(spec, "container_created")
    assert f"/v2/plain/manifests/{created['image_digest']}" in registry.manifests
    node.wait_ready(spec)


def test_progress_counts_bytes_of_all_layers(node: Node, registry: Registry, free_port: int) -> None:
    registry.bytes_per_second = 1_500_000
    image = registry.add("slow", layers=2, layer_bytes=1_000_000)
    spec = pulled(node, free_port, image)
    thread = node.start_in_background(spec)
    seen = node.wait_entry(spec, lambda entry: (entry["stage"] or {}).get("total_bytes"))
    assert seen["phase"] == "pulling"
    assert seen["container_id"] is None
    stage = seen["stage"]
    # The first layer is busybox, the second that and a megabyte.
    assert stage["total_bytes"] > 1_000_000
    assert 0 < stage["done_bytes"] <= stage["total_bytes"]
    assert stage["message"].endswith(" of 2 layers")
    thread.join(60)
    node.wait_ready(spec)


def test_stop_ends_a_stuck_pull(node: Node, registry: Registry, free_port: int) -> None:
    registry.stall.set()
    spec = pulled(node, free_port, registry.add("stuck", layer_bytes=2_000_000))
    thread = node.start_in_background(spec)
    node.wait_entry(spec, lambda entry: entry["phase"] == "pulling" and entry["stage"])
    assert registry.reached_half.wait(20)
    node.stop(spec)
    thread.join(20)
    assert not thread.is_alive()
    assert [verb for verb, _ in node.facts(spec)] == ["container_removed"]
    wait_for(lambda: node.entry(spec) is None, "it left the report")


def test_stop_of_a_slow_pull_ends_the_traffic(node: Node, registry: Registry, free_port: int) -> None:
    registry.bytes_per_second = 400_000
    spec = pulled(node, free_port, registry.add("endless", layer_bytes=20_000_000))
    thread = node.start_in_background(spec)
    node.wait_entry(spec, lambda entry: (entry["stage"] or {}).get("done_bytes"))
    node.stop(spec)
    thread.join(20)
    assert registry.client_left.wait(20), "Docker goes on pulling"


def test_second_delivery_during_the_pull_returns_at_once(
    node: Node, registry: Registry, free_port: int
) -> None:
    registry.stall.set()
    spec = pulled(node, free_port, registry.add("twice"))
    thread = node.start_in_background(spec)
    assert registry.reached_half.wait(20)
    second = threading.Thread(target=node.start, args=[spec])
    second.start()
    second.join(10)
    assert not second.is_alive()
    registry.stall.clear()
    thread.join(30)
    assert [verb for verb, _ in node.facts(spec)] == ["container_created"]


def test_registry_without_the_image(node: Node, registry: Registry, free_port: int) -> None:
    spec = node.start(pulled(node, free_port, f"{registry.address}/absent:v9"))
    refusal = node.wait_fact(spec, "start_refused")
    assert refusal["code"] == "pull_failed"
    assert "manifest unknown" in refusal["reason"] and "absent:v9" in refusal["reason"]


def test_registry_that_fails(node: Node, registry: Registry, free_port: int) -> None:
    registry.broken = True
    spec = node.start(pulled(node, free_port, f"{registry.address}/any:v1"))
    assert node.wait_fact(spec, "start_refused")["code"] == "pull_failed"


def test_registry_that_dies_half_way(node: Node, registry: Registry, free_port: int) -> None:
    spec = pulled(node, free_port, registry.add("dying"))
    digest = next(iter(registry.blobs))
    registry.blobs = {key: value[:-7] if key != digest else value for key, value in registry.blobs.items()}
    node.start(spec)
    refusal = node.wait_fact(spec, "start_refused", 60)
    assert refusal["code"] == "pull_failed"


def test_start_that_woke_up_late_is_abandoned(
    node: Node, registry: Registry, free_port: int, docker_client: docker.DockerClient
) -> None:
    """The agent stood still for longer than the command's time to live; control may have given up."""
    now = [1000.0]
    watch = Watch(lambda: now[0])
    facts = Facts(node.journal)
    starts = Starts(node.engine, facts, watch, node.secrets, node.installation, node.name)
    registry.stall.set()
    spec = pulled(node, free_port, registry.add("late"), ttl_seconds=60)
    thread = threading.Thread(target=starts.run, args=[spec])
    thread.start()
    assert registry.reached_half.wait(20)
    now[0] += 61
    registry.stall.clear()
    thread.join(30)
    assert node.facts(spec) == []
    assert docker_client.containers.list(all=True, filters={"label": f"sparkweb.member={spec.member}"}) == []
    watch.beat()
    starts.run(spec)
    assert [verb for verb, _ in node.facts(spec)] == ["container_created"]
