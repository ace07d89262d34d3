"""The two engines of the contract, and the real one for launches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.real_engine.engine import Engine, Kind
from tests.real_engine.house import SCREENSHOTS, Eyes, eyes_open
from tests.support.images import STANDIN
from tests.support.stack import Stack

REAL = os.environ.get("SPARKWEB_TEST_REAL_IMAGE", "vllm-cpu:tiny")
KINDS = {
    "standin": Kind("standin", STANDIN, "test/model", 20, {"STANDIN_LOAD_SECONDS": "1"}),
    "real": Kind("real", REAL, "/models/tiny", 300, {}),
}
BOTH = [
    pytest.param("standin", marks=pytest.mark.docker),
    pytest.param("real", marks=pytest.mark.real_engine),
]


@pytest.fixture(scope="session")
def real_image(docker_host: str) -> str:
    """The tag of the real engine's image, which script/test --real-engine builds."""
    client = docker.DockerClient(base_url=docker_host, timeout=60)
    try:
        client.images.get(REAL)
    except docker.errors.ImageNotFound:
        pytest.fail(f"{docker_host} has no image {REAL}; script/test --real-engine builds it")
    finally:
        client.close()
    return REAL


@pytest.fixture(scope="module", params=BOTH)
def kind(request: pytest.FixtureRequest, docker_host: str) -> Kind:
    if request.param == "real":
        request.getfixturevalue("real_image")
    return KINDS[request.param]


@pytest.fixture(scope="module")
def engine(kind: Kind, docker_host: str) -> Iterator[Engine]:
    """A ready engine for all tests of a module; the module's last test stops it."""
    running = Engine(kind, docker_host)
    try:
        running.wait_ready()
        yield running
    finally:
        running.remove()


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    docker_host: str,
    real_image: str,
) -> Iterator[Stack]:
    """SparkWeb for all tests of a module, with the settings that the module names in `ENVIRONMENT`."""
    settings = getattr(request.module, "ENVIRONMENT", {})
    with Stack(tmp_path_factory.mktemp("real"), docker_host=docker_host, **settings) as running:
        running.wait_online()
        yield running


@pytest.fixture
def eyes(stack: Stack, tmp_path: Path) -> Iterator[Eyes]:
    with eyes_open(stack, Path(SCREENSHOTS) if SCREENSHOTS else tmp_path) as looking:
        yield looking
