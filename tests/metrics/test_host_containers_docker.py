"""Container figures from control groups, held against what Docker itself says of a real container."""

from __future__ import annotations

import time
from typing import Any

import docker
import pytest

from sparkweb.adapters.cgroups import ContainerCgroups, container_id_read
from tests.support.images import BUSYBOX

pytestmark = pytest.mark.docker
MIB = 1024**2


@pytest.fixture
def busy(docker_client: docker.DockerClient, installation: str) -> Any:
    """A container that holds 32 MiB in a tmpfs and turns in a loop."""
    return docker_client.containers.run(
        BUSYBOX,
        ["sh", "-c", "cat /dev/zero > /hold/file; while :; do :; done"],
        tmpfs={"/hold": "size=32m"},
        labels={"sparkweb.installation": installation},
        detach=True,
    )


def figures_where_full(groups: ContainerCgroups, container: Any) -> dict[str, Any]:
    """Return the figures once the container has filled its 32 MiB and turns."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        container.reload()
        figures = groups.figures(container.id, container.attrs["State"]["Pid"])
        if (figures["memory_bytes"] or 0) >= 32 * MIB and figures["cpu_percent"]:
            return figures
    raise AssertionError(f"the container never became busy: {figures}")


def test_figures_agree_with_docker(busy: Any) -> None:
    figures = figures_where_full(ContainerCgroups(), busy)
    stats = busy.stats(stream=False)["memory_stats"]
    counted = stats["usage"] - stats["stats"].get(
        "total_inactive_file", stats["stats"].get("inactive_file", 0)
    )
    assert figures["memory_bytes"] == pytest.approx(counted, rel=0.1)
    assert 1 < figures["cpu_percent"] <= 110
    assert figures["why"] == {}


def test_process_is_traced_to_its_container(busy: Any) -> None:
    busy.reload()
    assert container_id_read(busy.attrs["State"]["Pid"]) == busy.id


def test_stopped_container_has_no_figures(busy: Any, docker_client: docker.DockerClient) -> None:
    groups = ContainerCgroups()
    figures_where_full(groups, busy)
    pid = busy.attrs["State"]["Pid"]
    busy.kill()
    busy.wait()
    assert groups.figures(busy.id, pid)["memory_bytes"] is None
