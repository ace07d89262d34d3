"""An agent killed with -9 at every step of a start, and the one after it: one container, and the truth."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from models_app.engines.spec import ContainerSpec, ProbeSpec
from sparkweb.failpoints import failpoint
from tests.support.node import Node
from tests.support.registry import Registry
from tests.support.stack import REPOSITORY, wait_for

STEPS = ("received", "fenced", "pulling", "image", "created", "started", "told")


@pytest.fixture
def registry(docker_client: docker.DockerClient) -> Iterator[Registry]:
    with Registry() as registry:
        yield registry
    for image in docker_client.images.list():
        for tag in image.tags:
            if tag.startswith(registry.address):
                docker_client.images.remove(tag, force=True)


def die_at(step: str, docker_host: str, folder: Path, installation: str, spec: ContainerSpec) -> int:
    """Run an agent that begins the start and dies at `step`; its exit status."""
    words = [docker_host, str(folder), installation, json.dumps(spec.to_json())]
    environment = {
        **os.environ,
        "SPARKWEB_DATA_DIR": str(folder),
        "SPARKWEB_DEBUG": "1",
        "SPARKWEB_FAILPOINT": f"start.{step}",
    }
    doomed = [sys.executable, "-m", "tests.support.doomed_agent", *words]
    return subprocess.run(doomed, cwd=REPOSITORY, env=environment, timeout=120).returncode


def members(docker_client: docker.DockerClient, spec: ContainerSpec) -> list[Any]:
    label = f"sparkweb.member={spec.member}"
    return docker_client.containers.list(all=True, filters={"label": label}, ignore_removed=True)


@pytest.mark.docker
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_every_step_of_a_start(
    docker_host: str,
    docker_client: docker.DockerClient,
    tmp_path: Path,
    installation: str,
    registry: Registry,
    free_port: int,
    step: str,
) -> None:
    image = registry.add(f"doomed-{step}")
    spec = ContainerSpec(
        launch=f"{installation}aaaaaaaa",
        member=f"{installation}bbbbbbbb",
        generation=1,
        installation=installation,
        node="spark-1",
        slug="doomed",
        name=f"sparkweb-doomed-{installation}",
        image=image,
        command=[],
        probe=ProbeSpec("none", free_port),
    )
    assert die_at(step, docker_host, tmp_path, installation, spec) == -signal.SIGKILL
    node = Node(docker_host, tmp_path, installation)
    try:
        node.start(spec)  # as control asks again, for it knows no better
        node.wait_ready(spec)
        (container,) = members(docker_client, spec)
        assert container.status == "running"
        node.wait_fact(spec, "container_created")
        told = {fact["container_id"] for _, fact in node.facts(spec, "container_created")}
        assert told == {container.id}
        assert node.entry(spec)["container_id"] == container.id
        node.stop(spec, timeout_seconds=1)
        wait_for(lambda: node.facts(spec, "container_exited"), "its end is told", 60)
        node.acknowledge_all()
        wait_for(lambda: not members(docker_client, spec), "nothing of it is left", 60)
    finally:
        node.close()


def test_a_failpoint_that_nobody_named_does_nothing() -> None:
    failpoint("start.created")


@pytest.mark.parametrize("debug", ["", "0"])
def test_a_failpoint_is_refused_where_people_work(tmp_path: Path, debug: str) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "SPARKWEB_DATA_DIR": str(tmp_path),
        "SPARKWEB_FAILPOINT": "start.created",
        "SPARKWEB_DEBUG": debug,
    }
    done = subprocess.run(
        [sys.executable, "-c", "import sparkweb.config"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert "SPARKWEB_FAILPOINT" in done.stderr
