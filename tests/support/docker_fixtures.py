"""Fixtures for tests on the real Docker engine whose socket SPARKWEB_TEST_DOCKER_HOST names.

script/test starts such an engine and sets the variable. By hand:

    export SPARKWEB_TEST_DOCKER_HOST=$(python -m tests.support.dockerd start /tmp/dockerd)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.support import ports
from tests.support.dockerd import Dockerd, DockerdUnavailable
from tests.support.images import images_build

__all__ = ["docker_client", "docker_host", "free_port", "installation", "own_dockerd"]


@pytest.fixture(scope="session")
def docker_host() -> str:
    """DOCKER_HOST of the shared test engine, with the test images in it."""
    host = os.environ.get("SPARKWEB_TEST_DOCKER_HOST", "")
    if not host:
        _missing("SPARKWEB_TEST_DOCKER_HOST is not set: start an engine with tests.support.dockerd")
    images_build(host)
    return host


@pytest.fixture
def docker_client(docker_host: str) -> Iterator[docker.DockerClient]:
    """The engine seen from outside: what an owner does behind our back."""
    client = docker.DockerClient(base_url=docker_host, timeout=60)
    yield client
    client.close()


@pytest.fixture
def installation(docker_client: docker.DockerClient) -> Iterator[str]:
    """An owner label of this test alone; its containers are removed at the end."""
    name = uuid.uuid4().hex[:8]
    yield name
    for container in docker_client.containers.list(
        all=True, filters={"label": f"sparkweb.installation={name}"}
    ):
        with contextlib.suppress(docker.errors.APIError):
            container.remove(force=True)


@pytest.fixture
def own_dockerd() -> Iterator[Dockerd]:
    """An engine of this test alone, to be frozen or killed."""
    folder = Path(tempfile.mkdtemp(prefix="swd"))
    engine = Dockerd(folder)
    try:
        engine.start()
    except DockerdUnavailable as error:
        _missing(str(error))
    yield engine
    engine.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on right now."""
    return ports.free_port()


def _missing(reason: str) -> None:
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(reason)
    pytest.skip(reason)
