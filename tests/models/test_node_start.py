"""Starting and finding containers on a real engine: once, by label, whatever dies in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from models_app.node.identity import container_labels
from tests.support.images import BUSYBOX
from tests.support.node import Node
from tests.support.stack import wait_for

pytestmark = pytest.mark.docker


@pytest.fixture
def node(docker_host: str, tmp_path: Path, installation: str) -> Iterator[Node]:
    node = Node(docker_host, tmp_path, installation)
    yield node
    node.close()


@pytest.fixture
def ours(docker_client: docker.DockerClient, installation: str) -> Callable[[], list]:
    """What the engine holds of this test, running or not."""
    labels = {"label": f"sparkweb.installation={installation}"}
    return lambda: docker_client.containers.list(all=True, filters=labels)


def test_started_found_ready_and_reported(node: Node, free_port: int) -> None:
    spec = node.start(node.spec(free_port, env={"STANDIN_LOAD_SECONDS": "0.5"}))
    created = node.wait_fact(spec, "container_created")
    assert created["adopted"] is False
    assert created["image_digest"].startswith("sha256:")
    entry = node.wait_ready(spec)
    assert entry["phase"] == "running"
    assert entry["container_id"] == created["container_id"]
    assert entry["probe"]["models"] == ["standin"]
    assert entry["probe"]["failures"] == 0
    assert entry["memory_bytes"] > 0
    engine = node.wait_entry(spec, lambda entry: entry["engine"], 60)["engine"]
    assert (engine["requests_running"], engine["kv_cache_percent"], engine["loaded"]) == (0, 0.0, None)
    assert engine["why"]["loaded"] == "unsupported"
    listed = [one for one in node.models.containers() if one["id"] == created["container_id"]]
    assert listed[0]["ours"] is True
    assert listed[0]["ports"] == [f"127.0.0.1:{free_port}->8000/tcp"]


def test_readiness_is_told_at_once_and_once(node: Node, free_port: int) -> None:
    spec = node.start(node.spec(free_port, env={"STANDIN_LOAD_SECONDS": "0"}))
    told = node.wait_fact(spec, "container_ready")
    assert (told["phase"], told["probe"]["ready"], told["probe"]["models"]) == ("running", True, ["standin"])
    node.wait_entry(spec, lambda entry: entry["engine"], 60)
    assert [verb for verb, _ in node.facts(spec)].count("container_ready") == 1


def test_container_is_hardened_and_bounded(node: Node, free_port: int, ours: Callable[[], list]) -> None:
    node.start(node.spec(free_port))
    host = ours()[0].attrs["HostConfig"]
    assert host["RestartPolicy"]["Name"] in ("", "no")
    assert host["Init"] is True
    assert "no-new-privileges" in host["SecurityOpt"]
    assert host["LogConfig"] == {"Type": "local", "Config": {"max-size": "20m", "max-file": "5"}}
    assert host["Privileged"] is False
    assert host["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(free_port)}]}


def test_second_delivery_starts_nothing(node: Node, free_port: int, ours: Callable[[], list]) -> None:
    spec = node.start(node.spec(free_port))
    node.start(spec)
    assert len(ours()) == 1
    assert len(node.facts(spec, "container_created")) == 1


def test_fifty_deliveries_at_once_start_one(node: Node, free_port: int, ours: Callable[[], list]) -> None:
    spec = node.spec(free_port)
    threads = [threading.Thread(target=node.start, args=[spec]) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ours()) == 1
    assert [verb for verb, _ in node.facts(spec)] == ["container_created"]


def test_two_agents_of_one_node_start_one(
    docker_host: str, tmp_path: Path, node: Node, free_port: int, ours: Callable[[], list]
) -> None:
    """The old agent may still live while the new one begins."""
    (tmp_path / "other").mkdir()
    other = Node(docker_host, tmp_path / "other", node.installation)
    try:
        spec = node.spec(free_port)
        threads = [one.start_in_background(spec) for one in (node, other)]
        for thread in threads:
            thread.join(60)
        assert len(ours()) == 1
        assert ours()[0].status == "running"
        assert not node.facts(spec, "start_refused") and not other.facts(spec, "start_refused")
    finally:
        other.close()


def test_agent_started_again_adopts_what_runs(
    docker_host: str, tmp_path: Path, installation: str, free_port: int, ours: Callable[[], list]
) -> None:
    first = Node(docker_host, tmp_path, installation)
    spec = first.start(first.spec(free_port))
    first.close()
    (tmp_path / "second").mkdir()
    second = Node(docker_host, tmp_path / "second", installation)
    try:
        assert second.wait_fact(spec, "container_created")["adopted"] is True
        assert second.wait_ready(spec)["generation"] == 1
        second.start(spec)
        assert len(ours()) == 1
        wait_for(lambda: second.log_lines(spec), "its log is followed")
    finally:
        second.close()


def test_killed_between_create_and_start_is_finished(
    docker_host: str, docker_client: docker.DockerClient, node: Node, free_port: int
) -> None:
    """An agent killed with -9 left this behind; the next one must neither forget nor double it."""
    spec = node.spec(free_port)
    docker_client.containers.create(
        spec.image, spec.command, name=spec.name, labels=container_labels(spec),
        ports={"8000/tcp": ("127.0.0.1", free_port)},
    )  # fmt: skip
    assert node.wait_fact(spec, "container_created")["adopted"] is True
    node.wait_ready(spec)


def test_killed_between_create_and_start_and_overtaken_is_removed(
    docker_client: docker.DockerClient, node: Node, free_port: int, ours: Callable[[], list]
) -> None:
    spec = node.spec(free_port)
    node.stop(spec, generation=5)
    docker_client.containers.create(spec.image, spec.command, name=spec.name, labels=container_labels(spec))
    wait_for(lambda: not ours(), "the leftover is removed")
    assert not node.facts(spec, "container_created")


def test_older_generation_starts_nothing(node: Node, free_port: int, ours: Callable[[], list]) -> None:
    spec = node.spec(free_port, generation=1)
    node.stop(spec, generation=2)
    node.start(spec)
    assert ours() == []


def test_start_after_its_stop_starts_nothing(node: Node, free_port: int, ours: Callable[[], list]) -> None:
    spec = node.spec(free_port, generation=3)
    node.stop(spec, generation=3)
    node.start(spec)
    assert ours() == []


def test_spec_of_another_node_is_dropped(node: Node, free_port: int, ours: Callable[[], list]) -> None:
    spec = node.start(node.spec(free_port, node="spark-2"))
    assert ours() == [] and node.facts(spec) == []


def test_spec_of_another_installation_is_refused(
    node: Node, free_port: int, ours: Callable[[], list]
) -> None:
    spec = node.start(node.spec(free_port, installation="0badf00d"))
    refusal = node.wait_fact(spec, "start_refused")
    assert refusal["code"] == "installation_differs"
    assert "SPARKWEB_INSTALLATION=0badf00d" in refusal["reason"]
    assert ours() == []


def test_spec_that_cannot_be_read_is_refused_in_words(node: Node, free_port: int) -> None:
    spec = node.spec(free_port)
    node.models.container_start({**spec.to_json(), "gpus": "every"})
    assert node.wait_fact(spec, "start_refused")["reason"] == "gpus='every': must be \"all\" or null"


@pytest.mark.parametrize("data", [None, [], {}, {"launch": "x"}, "text", {"member": 1, "launch": 2}])
def test_spec_that_is_none_is_dropped(node: Node, data: object) -> None:
    node.models.container_start(data)
    assert node.journal.last_sequence == 0


def test_secret_enters_as_file_and_shows_nowhere(
    node: Node, free_port: int, ours: Callable[[], list], docker_client: docker.DockerClient
) -> None:
    canary = "hf_canary0123456789"
    (node.secrets / "hf_token").write_text(canary)
    spec = node.spec(
        free_port,
        image=BUSYBOX,
        command=["sh", "-c", "cat $HF_TOKEN_PATH | tr a-z A-Z; echo x > /run/secrets/hf_token; sleep 60"],
        secret_env={"HF_TOKEN": "hf_token"},
    )
    node.start(spec)
    container = ours()[0]
    assert canary not in str(docker_client.api.inspect_container(container.id))
    assert (node.secrets / "hf_token").read_text() == canary
    assert "HF_TOKEN_PATH=/run/secrets/hf_token" in container.attrs["Config"]["Env"]
    wait_for(lambda: b"Read-only file system" in container.logs(), "the secret cannot be written to")


def test_writable_folder_below_home_is_made(
    node: Node, free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    source = tmp_path / ".cache" / "huggingface"
    mounts = [{"source": str(source), "target": "/cache"}]
    data = {**node.spec(free_port).to_json(), "mounts": mounts}
    node.models.container_start(data)
    assert source.is_dir()
    assert node.journal.last_sequence == 1


def test_foreign_containers_are_shown_and_left_alone(
    docker_client: docker.DockerClient, node: Node, free_port: int, docker_host: str, tmp_path: Path
) -> None:
    """A stranger's, and one of another node on the same engine, through a start and a stop of ours."""
    (tmp_path / "two").mkdir()
    second = Node(docker_host, tmp_path / "two", node.installation, name="spark-2")
    stranger = docker_client.containers.run(BUSYBOX, "sleep 300", detach=True)
    try:
        spec = node.start(node.spec(free_port))
        node.wait_ready(spec)
        mine = node.entry(spec)["container_id"]  # type: ignore[index]
        seen = wait_for(
            lambda: {one["id"]: one for one in second.models.containers()}.get(mine),
            "shown on the other node",
        )
        assert seen["ours"] is False and seen["foreign"] is True
        assert second.entry(spec) is None
        second.stop(spec)
        assert [verb for verb, _ in second.facts(spec)] == ["container_removed"]
        assert docker_client.containers.get(mine).status == "running"
        strangers = {one["id"]: one for one in node.models.containers()}[stranger.id]
        assert strangers["ours"] is False and strangers["foreign"] is False
        assert strangers["started_at"] is not None
        node.stop(spec)
        stranger.reload()
        assert stranger.status == "running"
    finally:
        stranger.remove(force=True)
        second.close()
