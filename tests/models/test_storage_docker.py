"""Images on a real engine: listed with what uses them, pulled ahead, refused for want of room, deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from models_app.node.storage.areas import Areas
from models_app.node.storage.jobs import Place, StorageJobs
from models_app.node.storage.ollama_servers import OllamaServers
from sparkweb import config
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.node_link.journal import Journal
from tests.support.node import Node
from tests.support.registry import Registry

pytestmark = pytest.mark.docker


@pytest.fixture
def registry(docker_client: docker.DockerClient) -> Iterator[Registry]:
    """A registry of this test alone; what was pulled from it is removed."""
    with Registry() as registry:
        yield registry
    for image in docker_client.images.list():
        for tag in image.tags:
            if tag.startswith(registry.address):
                docker_client.images.remove(tag, force=True)


class House:
    """Storage jobs on the shared engine."""

    def __init__(self, docker_host: str, folder: Path, reserve_bytes: int = 0) -> None:
        engine = DockerEngine(docker_host)
        place = Place(folder / "hf", "http://127.0.0.1:1", folder, folder / "ollama", reserve_bytes)
        servers = OllamaServers(list, "http://127.0.0.1:1")
        self.journal = Journal(folder / "storage.sqlite3")
        self.areas = Areas(engine, servers, place.hf_cache, place.ollama)
        self.jobs = StorageJobs(engine, self.journal, self.areas, servers, place, lambda _: None)
        self._runs = 0

    def run(self, kind: str, subject: dict[str, Any]) -> dict[str, Any]:
        """One job; how it ended."""
        self._runs += 1
        self.jobs.run(f"{self._runs:016x}", 1, kind, subject)
        fact: dict[str, Any] = json.loads(self.journal.unacknowledged()[-1].payload)
        return fact["data"]  # type: ignore[no-any-return]

    def image(self, name: str) -> dict[str, Any] | None:
        images = next(area for area in self.areas.all() if area.name == "images")
        return next((entry for entry in images.look().entries if name in entry["tags"]), None)


def test_pulled_listed_used_and_deleted(
    docker_host: str, docker_client: docker.DockerClient, registry: Registry, tmp_path: Path
) -> None:
    house, image = House(docker_host, tmp_path), registry.add("ahead", layer_bytes=300_000)
    ended = house.run("image_pull", {"image": image})
    assert ended["outcome"] == "done", ended
    listed = house.image(image)
    assert listed
    assert listed["bytes"] > 300_000
    assert listed["containers"] == []
    container = docker_client.containers.create(image)
    try:
        used = house.image(image)
        assert used
        assert used["containers"] == [container.name]
        refused = house.run("delete", {"key": listed["key"]})
        assert (refused["outcome"], refused["code"]) == ("failed", "not_deletable")
        assert f"used by the container {container.name}" in refused["reason"]
    finally:
        container.remove(force=True)
    assert house.run("delete", {"key": listed["key"]})["outcome"] == "done"
    assert house.image(image) is None
    assert house.run("delete", {"key": listed["key"]})["reason"] == "It was gone already."


def test_a_pull_that_cannot_fit_ends_in_words(docker_host: str, registry: Registry, tmp_path: Path) -> None:
    registry.bytes_per_second = 1_500_000
    image = registry.add("large", layers=2, layer_bytes=3_000_000)
    ended = House(docker_host, tmp_path, reserve_bytes=10**18).run("image_pull", {"image": image})
    assert (ended["outcome"], ended["code"]) == ("failed", "disk_short")
    assert f"Image {image} needs" in ended["reason"]


def test_a_launch_whose_image_cannot_fit_is_refused(
    docker_host: str,
    registry: Registry,
    tmp_path: Path,
    installation: str,
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "DISK_RESERVE_GB", 10**9)
    registry.bytes_per_second = 1_500_000
    image = registry.add("launched", layers=2, layer_bytes=3_000_000)
    node = Node(docker_host, tmp_path, installation)
    try:
        spec = node.start(node.spec(free_port, image=image))
        fact = node.wait_fact(spec, "start_refused", 60)
        assert fact["code"] == "disk_short"
        assert "Delete something first" in fact["reason"]
    finally:
        node.close()


def test_an_image_that_is_nowhere_is_said(docker_host: str, registry: Registry, tmp_path: Path) -> None:
    ended = House(docker_host, tmp_path).run("image_pull", {"image": f"{registry.address}/nothing:latest"})
    assert ended["outcome"] == "failed"
    assert "could not be pulled" in ended["reason"]
