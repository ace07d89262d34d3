"""Services on the real Docker engine: brought up, taken down, started again, their logs read.

A stand-in of busybox takes SearXNG's place: it answers /healthz. tests/sandbox/test_web_search.py
speaks to the real one, with the same settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from metrics_app.models import Node
from sandbox_app import managed
from sandbox_app.exceptions import ToolRefused
from sandbox_app.models_services import ServiceName
from sandbox_app.node.service_desk import ServiceDesk
from sparkweb import config
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.node_link import commands
from sparkweb.node_link.journal import Journal
from sparkweb.streams import Streams
from tests.support.ports import free_port
from tests.support.searxng import searxng_standin

pytestmark = pytest.mark.docker

WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def standin(docker_host: str) -> str:
    return searxng_standin(docker_host)


Make = Callable[[], ServiceDesk]


@pytest.fixture
def make(
    docker_host: str,
    installation: str,
    standin: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Make]:
    monkeypatch.setattr(config, "SEARXNG_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(config, "SEARXNG_IMAGE", standin)
    engine, journal, streams = (
        DockerEngine(docker_host),
        Journal(tmp_path / "journal.sqlite3"),
        Streams(redis_url),
    )

    def desk() -> ServiceDesk:
        return ServiceDesk(engine, journal, streams, "spark-1", installation, tmp_path / "services")

    yield desk
    engine.close()
    journal.close()
    streams.close()


def entry(desk: ServiceDesk, wanted: Callable[[dict[str, Any]], bool] = lambda entry: True) -> dict[str, Any]:
    """What the desk says of SearXNG, once that is as wanted."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        desk.look()
        section = desk.section()
        assert section is not None
        if section and wanted(section[0]):
            return section[0]
        time.sleep(0.1)
    raise AssertionError(f"not as wanted: {desk.section()}")


def containers(client: docker.DockerClient, installation: str) -> list[Any]:
    return client.containers.list(all=True, filters={"label": f"sparkweb.installation={installation}"})


def test_up_with_few_rights_and_down_again(
    make: Make,
    docker_client: docker.DockerClient,
    installation: str,
    tmp_path: Path,
) -> None:
    desk = make()
    assert desk.section() is None
    desk.apply("searxng", 1, True)
    told = entry(desk, lambda entry: entry["health"] == "ok")
    assert (told["service"], told["generation"], told["state"]) == ("searxng", 1, "running")
    (container,) = containers(docker_client, installation)
    host = container.attrs["HostConfig"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert (host["CapDrop"], host["Memory"], host["MemorySwap"]) == (["ALL"], 2**30, 2**30)
    assert host["PidsLimit"] == 256
    assert "no-new-privileges" in host["SecurityOpt"][0]
    assert [port["HostIp"] for port in host["PortBindings"]["8080/tcp"]] == ["127.0.0.1"]
    settings = yaml.safe_load((tmp_path / "services/searxng/settings.yml").read_text())
    assert settings["search"]["formats"] == ["html", "json"]
    assert len(settings["server"]["secret_key"]) == 64
    assert settings["server"]["secret_key"] not in str(container.attrs)
    desk.apply("searxng", 2, False)
    assert containers(docker_client, installation) == []
    told = entry(desk)
    assert (told["generation"], told["state"]) == (2, "stopped")


def test_twice_is_once_and_old_commands_are_dropped(
    make: Make,
    docker_client: docker.DockerClient,
    installation: str,
) -> None:
    desk = make()
    desk.apply("searxng", 5, True)
    (first,) = containers(docker_client, installation)
    desk.apply("searxng", 5, True)
    desk.apply("searxng", 4, False)
    desk.apply("nothing", 9, True)
    assert [one.id for one in containers(docker_client, installation)] == [first.id]
    desk.apply("searxng", 6, True)  # a restart
    (second,) = containers(docker_client, installation)
    assert second.id != first.id


def test_another_agent_finds_what_runs(
    make: Make,
    docker_client: docker.DockerClient,
    installation: str,
) -> None:
    make().apply("searxng", 3, True)
    again = make()
    told = entry(again, lambda entry: entry["health"] == "ok")
    assert (told["generation"], told["state"]) == (3, "running")
    again.apply("searxng", 3, True)
    assert len(containers(docker_client, installation)) == 1


def test_docker_starts_one_again_that_died(
    make: Make,
    docker_client: docker.DockerClient,
    installation: str,
) -> None:
    desk = make()
    desk.apply("searxng", 1, True)
    (container,) = containers(docker_client, installation)
    container.exec_run(["/bin/sh", "-c", "kill -9 -1"])
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until and docker_client.containers.get(container.id).attrs["RestartCount"] == 0:
        time.sleep(0.1)
    assert entry(desk, lambda entry: entry["health"] == "ok")["state"] == "running"


def test_what_keeps_it_from_running_is_told(
    make: Make,
    docker_client: docker.DockerClient,
    installation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = make()
    holder = make()
    holder.apply("searxng", 1, True)
    port = config.SEARXNG_URL.rpartition(":")[2]
    monkeypatch.setattr(desk, "_installation", "ffffffff")
    desk.apply("searxng", 2, True)
    told = entry(desk)
    assert told["state"] == "failed"
    assert f"Port {port} on 127.0.0.1 is in use by container" in told["message"]
    monkeypatch.setattr(config, "SEARXNG_IMAGE", "127.0.0.1:1/no/such:image")
    desk.apply("searxng", 3, True)
    assert "could not be pulled" in entry(desk)["message"]
    monkeypatch.setattr(config, "SEARXNG_URL", "http://192.168.1.5:8080")
    desk.apply("searxng", 4, True)
    assert "asks the SearXNG at http://192.168.1.5:8080" in entry(desk)["message"]


@pytest.mark.django_db
def test_its_log_is_read_through_redis(
    make: Make, node: Node, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make()

    def send(node_name: str, task: str, **arguments: Any) -> bool:
        assert task == "service.logs"
        desk.logs(**arguments)
        return True

    monkeypatch.setattr(commands, "send", send)
    streams = Streams(redis_url)
    monkeypatch.setattr(managed, "shared_streams", lambda: streams)
    with pytest.raises(ToolRefused, match="no container of searxng"):
        managed.service_log(name=ServiceName.SEARXNG, node=node)
    desk.apply("searxng", 1, True)
    entry(desk, lambda entry: entry["health"] == "ok")
    assert managed.service_log(name=ServiceName.SEARXNG, node=node)[0] == "search engine begins"
    streams.close()
