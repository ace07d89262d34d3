"""The Docker adapter against engines that are missing, closed, frozen or dead."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from models_app.node.script_runs import ScriptRuns
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.adapters.docker_errors import ContainerBusy, ContainerMissing, EngineDown, ImageMissing
from sparkweb.adapters.docker_types import ContainerOrder
from tests.support.dockerd import Dockerd
from tests.support.images import BUSYBOX, images_build
from tests.support.node import Node
from tests.support.stack import wait_for

pytestmark = pytest.mark.docker


@pytest.fixture
def engine(docker_host: str) -> Iterator[DockerEngine]:
    engine = DockerEngine(docker_host)
    yield engine
    engine.close()


def test_status_of_an_engine_that_answers(engine: DockerEngine) -> None:
    status = engine.status()
    assert status.status == "ok"
    assert status.version and status.version[0].isdigit()
    assert status.message is None
    assert status.gpu_runtime is False


def test_no_socket(tmp_path: Path) -> None:
    status = DockerEngine(f"unix://{tmp_path}/docker.sock").status()
    assert status.status == "missing"
    assert status.message == (
        f"There is no Docker socket at unix://{tmp_path}/docker.sock. Install Docker, start it "
        "(sudo systemctl start docker), or set DOCKER_HOST."
    )


def test_socket_without_a_listener(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    status = DockerEngine(f"unix://{path}").status()
    assert status.status == "down"
    assert "Nobody answers" in str(status.message)


def test_something_else_listens(tmp_path: Path) -> None:
    """A socket whose owner answers, but not as Docker does."""
    path = tmp_path / "docker.sock"
    with socket.create_server(str(path), family=socket.AF_UNIX) as listener:
        code = (
            "import sys, socket\n"
            "connection, _ = socket.socket(fileno=int(sys.argv[1])).accept()\n"
            "connection.recv(999); connection.send(b'hello\\n')"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(listener.fileno())], pass_fds=[listener.fileno()]
        )
        assert DockerEngine(f"unix://{path}").status().status == "down"
        child.kill()
        child.wait()


@pytest.mark.parametrize("host", ["", "nonsense://x", "tcp://127.0.0.1:1", "unix://"])
def test_docker_host_that_leads_nowhere(host: str) -> None:
    status = DockerEngine(host).status()
    assert status.status in ("down", "missing")
    assert status.message


@pytest.mark.skipif(os.geteuid() != 0, reason="drops its rights, so it needs them first")
def test_user_outside_the_docker_group(docker_host: str, tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from sparkweb.adapters.docker_engine import DockerEngine\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "status = DockerEngine(sys.argv[1]).status(); print(status.status, status.message)"
    )
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code, docker_host], capture_output=True, text=True, cwd=root, timeout=30
    )
    assert done.stdout.startswith("denied This user may not use the Docker socket"), done.stderr
    assert "sudo usermod -aG docker $USER" in done.stdout


def test_frozen_engine_costs_a_call_three_seconds(own_dockerd: Dockerd) -> None:
    engine = DockerEngine(own_dockerd.host)
    engine.containers()
    own_dockerd.freeze()
    with pytest.raises(EngineDown, match="did not answer within 3 s"):
        engine.containers()
    own_dockerd.thaw()
    assert wait_for(lambda: engine.status().status == "ok", "it answers again")


def test_frozen_engine_does_not_hang_the_report(
    own_dockerd: Dockerd, tmp_path: Path, installation: str, free_port: int
) -> None:
    images_build(own_dockerd.host)
    node = Node(own_dockerd.host, tmp_path, installation)
    try:
        spec = node.start(node.spec(free_port))
        node.wait_ready(spec)
        own_dockerd.freeze()
        try:
            wait_for(lambda: node.models.docker_status()["status"] == "down", "the freeze is noticed", 10)
            entry = node.entry(spec)
            assert entry and entry["phase"] == "running" and entry["stale"] is True
            assert node.models.containers() == []
            assert node.facts(spec, "container_gone") == []
        finally:
            own_dockerd.thaw()
        node.wait_entry(spec, lambda entry: entry["stale"] is False)
        assert [verb for verb, _ in node.facts(spec)] == ["container_created", "container_ready"]
    finally:
        node.close()


def test_killed_engine_ends_its_containers_and_no_other_conclusion_is_drawn(
    own_dockerd: Dockerd, tmp_path: Path, installation: str, free_port: int
) -> None:
    images_build(own_dockerd.host)
    node = Node(own_dockerd.host, tmp_path, installation)
    try:
        spec = node.start(node.spec(free_port))
        node.wait_ready(spec)
        pid = own_dockerd.pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: node.models.docker_status()["status"] == "down", "its end is noticed", 10)
        assert node.facts(spec, "container_gone") == []
        assert node.entry(spec)["phase"] == "running"  # type: ignore[index]
        own_dockerd.start()
        wait_for(lambda: node.models.docker_status()["status"] == "ok", "it is back", 20)
        node.wait_fact(spec, "container_exited", 20)
        node.acknowledge_all()
        node.wait_fact(spec, "container_removed", 40)
    finally:
        node.close()


def test_nothing_is_known_before_the_first_answer(
    docker_host: str, tmp_path: Path, installation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptRuns, "is_used", False)  # where scripts may run, they are known without Docker
    path = tmp_path / "later.sock"
    node = Node(f"unix://{path}", tmp_path, installation)
    try:
        wait_for(lambda: node.models.docker_status()["status"] == "missing", "it is missing")
        assert node.models.launches() is None
        path.symlink_to(docker_host.removeprefix("unix://"))
        assert wait_for(lambda: node.models.launches() == [], "it answers")
    finally:
        node.close()


def test_start_waits_for_an_engine_that_comes_up_with_the_agent(
    docker_host: str, tmp_path: Path, installation: str, free_port: int
) -> None:
    path = tmp_path / "later.sock"
    node = Node(f"unix://{path}", tmp_path, installation)
    try:
        spec = node.spec(free_port)
        wait_for(lambda: node.models.docker_status()["status"] == "missing", "it is missing")
        thread = node.start_in_background(spec)
        path.symlink_to(docker_host.removeprefix("unix://"))
        thread.join(30)
        assert [verb for verb, _ in node.facts(spec)] == ["container_created"]
    finally:
        node.close()


@pytest.mark.parametrize("code, word", [("docker_missing", "There is no Docker socket")])
def test_start_without_docker_is_refused(
    tmp_path: Path, installation: str, free_port: int, code: str, word: str
) -> None:
    node = Node(f"unix://{tmp_path}/none.sock", tmp_path, installation)
    try:
        spec = node.start(node.spec(free_port))
        refusal = node.facts(spec, "start_refused")[0][1]
        assert refusal["code"] == code
        assert word in refusal["reason"]
    finally:
        node.close()


def test_what_is_not_there(engine: DockerEngine) -> None:
    with pytest.raises(ContainerMissing):
        engine.inspect("no-such-container")
    with pytest.raises(ContainerMissing):
        engine.stop("no-such-container", 1)
    with pytest.raises(ContainerMissing):
        engine.logs_follow("no-such-container", 10)
    with pytest.raises(ImageMissing):
        engine.image_digest("sparkweb-test/no-such-image:v0")
    with pytest.raises(ImageMissing):
        engine.create(ContainerOrder("sparkweb-test-none", "sparkweb-test/no-such-image:v0", []))


def test_what_cannot_be_done_now(engine: DockerEngine, docker_client: docker.DockerClient) -> None:
    container = docker_client.containers.run(BUSYBOX, "sleep 300", detach=True)
    try:
        with pytest.raises(ContainerBusy):
            engine.remove(container.id)
        engine.start(container.id)  # runs already: fine
        engine.stop(container.id, 0)
        engine.stop(container.id, 0)  # has ended already: fine
        assert engine.inspect(container.id).exit_code == 137
    finally:
        container.remove(force=True)


def test_fixed_fields_and_given_fields_arrive(
    engine: DockerEngine, docker_client: docker.DockerClient
) -> None:
    order = ContainerOrder(
        "sparkweb-test-fields", BUSYBOX, ["sleep", "1"], entrypoint=["/bin/env"], env={"A": "b c"},
        ipc="host", ulimits={"memlock": -1, "stack": 67108864}, labels={"x": "y"},
    )  # fmt: skip
    container = docker_client.containers.get(engine.create(order))
    try:
        config, host = container.attrs["Config"], container.attrs["HostConfig"]
        assert config["Entrypoint"] == ["/bin/env"] and config["Cmd"] == ["sleep", "1"]
        assert "A=b c" in config["Env"]
        assert config["Labels"]["x"] == "y"
        assert host["IpcMode"] == "host"
        assert {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in host["Ulimits"]} == {
            "memlock": (-1, -1),
            "stack": (67108864, 67108864),
        }
        assert host["CapAdd"] is None and host["Devices"] in (None, []) and host["PidMode"] == ""
    finally:
        container.remove()
