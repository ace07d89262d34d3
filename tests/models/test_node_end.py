"""How containers end, by our command and behind our back, and what is told of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from models_app.node.identity import container_labels
from sparkweb.adapters.docker_errors import ContainerMissing
from tests.support.images import BUSYBOX
from tests.support.node import Node
from tests.support.stack import wait_for

pytestmark = pytest.mark.docker


@pytest.fixture
def node(docker_host: str, tmp_path: Path, installation: str) -> Iterator[Node]:
    node = Node(docker_host, tmp_path, installation)
    yield node
    node.close()


def shell(node: Node, port: int, script: str):  # type: ignore[no-untyped-def]
    return node.spec(port, image=BUSYBOX, command=["sh", "-c", script])


def test_exits_at_once(node: Node, free_port: int) -> None:
    spec = node.start(
        node.spec(
            free_port,
            env={
                "STANDIN_LOAD_SECONDS": "0",
                "STANDIN_EXIT_CODE": "3",
                "STANDIN_EXIT_MESSAGE": "ValueError: Free memory on device is less than desired",
            },
        )
    )
    end = node.wait_fact(spec, "container_exited")
    assert end["exit_code"] == 3
    assert end["signal"] is None
    assert end["oom_killed"] is False
    assert end["reason"] == "exited with code 3: ValueError: Free memory on device is less than desired"
    assert "Traceback" in end["log_tail"]
    assert end["started_at"] <= end["finished_at"]
    assert [verb for verb, _ in node.facts(spec)] == ["container_created", "container_exited"]
    wait_for(lambda: node.log(spec)[-1:] == [{"end": True}], "its log was read to the end")


def test_crash_names_the_signal(node: Node, free_port: int) -> None:
    spec = node.start(node.spec(free_port, env={"STANDIN_CRASH_AFTER": "0.2"}))
    end = node.wait_fact(spec, "container_exited")
    assert (end["exit_code"], end["signal"]) == (139, "SIGSEGV")
    assert end["reason"].startswith("ended by SIGSEGV (exit code 139)")


def test_memory_limit_reached_is_said(docker_client: docker.DockerClient, node: Node, free_port: int) -> None:
    """SparkWeb sets no limit of its own; an owner's wrapper or Docker's defaults may."""
    spec = node.spec(free_port, env={"STANDIN_OOM_MB": "256"})
    docker_client.containers.run(
        spec.image, spec.command, name=spec.name, labels=container_labels(spec), environment=spec.env,
        mem_limit="48m", memswap_limit="48m", detach=True,
    )  # fmt: skip
    end = node.wait_fact(spec, "container_exited", 60)
    assert end["oom_killed"] is True
    assert end["reason"].startswith("killed by the kernel because its memory limit was reached")


def test_killed_behind_our_back(docker_client: docker.DockerClient, node: Node, free_port: int) -> None:
    spec = node.start(node.spec(free_port))
    node.wait_ready(spec)
    docker_client.containers.get(spec.name).kill()
    end = node.wait_fact(spec, "container_exited")
    assert (end["exit_code"], end["signal"]) == (137, "SIGKILL")
    assert "the machine ran out of memory" in end["reason"]
    assert node.entry(spec)["phase"] == "exited"  # type: ignore[index]


def test_stopped_behind_our_back(docker_client: docker.DockerClient, node: Node, free_port: int) -> None:
    spec = node.start(node.spec(free_port))
    docker_client.containers.get(spec.name).stop()
    end = node.wait_fact(spec, "container_exited")
    assert end["exit_code"] == 0
    assert end["reason"] == "exited with code 0: INFO:     Application shutdown complete."


def test_removed_behind_our_back(docker_client: docker.DockerClient, node: Node, free_port: int) -> None:
    spec = node.start(node.spec(free_port))
    node.wait_entry(spec, lambda entry: entry["phase"] == "running")
    docker_client.containers.get(spec.name).remove(force=True)
    wait_for(lambda: node.facts(spec)[-1][0] in ("container_gone", "container_exited"), "an end")
    wait_for(lambda: node.entry(spec) is None, "it left the report")


def test_restarted_behind_our_back_ends_twice(
    docker_client: docker.DockerClient, node: Node, free_port: int
) -> None:
    spec = node.start(node.spec(free_port))
    container = docker_client.containers.get(spec.name)
    container.kill()
    node.wait_fact(spec, "container_exited")
    container.start()
    node.wait_ready(spec)
    container.kill()
    wait_for(lambda: len(node.facts(spec, "container_exited")) == 2, "the second end is told")


def test_stop_ends_tells_and_removes_after_the_acknowledgement(
    docker_client: docker.DockerClient, node: Node, free_port: int
) -> None:
    spec = node.start(node.spec(free_port))
    node.wait_ready(spec)
    node.stop(spec)
    end = node.wait_fact(spec, "container_exited")
    assert end["exit_code"] == 0
    assert end["reason"] == "stopped as asked (exit code 0)"
    wait_for(lambda: node.log(spec)[-1:] == [{"end": True}], "its log was read")
    assert docker_client.containers.get(spec.name).status == "exited"
    node.acknowledge_all()
    node.wait_fact(spec, "container_removed")
    with pytest.raises(docker.errors.NotFound):
        docker_client.containers.get(spec.name)
    assert node.entry(spec) is None


def test_nothing_is_removed_before_control_has_stored_its_end(
    docker_client: docker.DockerClient, node: Node, free_port: int
) -> None:
    """Two containers; control has stored the end of one: that one alone goes."""
    first, second = node.start(shell(node, free_port, "exit 4")), shell(node, free_port, "exit 5")
    node.wait_fact(first, "container_exited")
    node.acknowledge_all()
    node.start(second)
    node.wait_fact(second, "container_exited")
    node.wait_fact(first, "container_removed")
    assert docker_client.containers.get(second.name).attrs["State"]["ExitCode"] == 5


def test_stop_of_what_ignores_sigterm(node: Node, free_port: int) -> None:
    spec = node.start(node.spec(free_port, env={"STANDIN_IGNORE_SIGTERM": "1"}))
    node.wait_ready(spec)
    node.stop(spec, timeout_seconds=1)
    end = node.wait_fact(spec, "container_exited")
    assert end["reason"] == "stopped as asked: it ignored SIGTERM for 1 s and was killed"


def test_stop_of_nothing_says_so(node: Node, free_port: int) -> None:
    spec = node.spec(free_port)
    node.stop(spec)
    assert [verb for verb, _ in node.facts(spec)] == ["container_removed"]


def test_two_stops_at_once_end_it_once(node: Node, free_port: int) -> None:
    spec = node.start(node.spec(free_port))
    threads = [threading.Thread(target=node.stop, args=[spec]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    node.wait_fact(spec, "container_exited")
    node.acknowledge_all()
    node.wait_fact(spec, "container_removed")
    assert node.facts(spec, "container_exited") == []


def test_stop_of_an_older_generation_stops_nothing(
    docker_client: docker.DockerClient, node: Node, free_port: int
) -> None:
    spec = node.start(node.spec(free_port, generation=7))
    node.stop(spec, generation=6)
    assert docker_client.containers.get(spec.name).status == "running"


def test_ended_while_no_agent_looked(
    docker_client: docker.DockerClient, docker_host: str, tmp_path: Path, installation: str, free_port: int
) -> None:
    first = Node(docker_host, tmp_path, installation)
    spec = first.start(shell(first, free_port, "echo last words; sleep 300"))
    first.close()
    docker_client.containers.get(spec.name).kill()
    second = Node(docker_host, tmp_path, installation)
    try:
        end = second.wait_fact(spec, "container_exited")
        assert end["reason"].endswith("last words")
        assert wait_for(lambda: second.log_lines(spec), "its log can be read still")
    finally:
        second.close()


def test_hangs_after_being_ready(node: Node, free_port: int) -> None:
    spec = node.start(node.spec(free_port, env={"STANDIN_HANG_AFTER": "0.5"}))
    entry = node.wait_entry(spec, lambda entry: entry["probe"]["failures"] >= 3, 30)
    assert entry["phase"] == "running"
    assert entry["probe"]["ready"] is False
    assert entry["probe"]["message"] == "no answer within 1 s"


def test_dead_engine_core_is_not_ready(node: Node, free_port: int) -> None:
    spec = node.start(node.spec(free_port, env={"STANDIN_DEAD_AFTER": "0"}))
    entry = node.wait_entry(spec, lambda entry: entry["probe"]["health"] == 503, 30)
    assert entry["probe"]["ready"] is False
    assert entry["probe"]["message"] == "/health answered 503"


def test_another_model_than_asked_for_is_not_ready(node: Node, free_port: int) -> None:
    command = ["vllm", "serve", "test/model", "--served-model-name", "other"]
    spec = node.start(node.spec(free_port, command=command))
    entry = node.wait_entry(spec, lambda entry: entry["probe"]["models"] == ["other"])
    assert entry["probe"]["ready"] is False
    assert entry["probe"]["message"] == "/v1/models does not list standin"


def test_loading_is_told_by_log_milestones(node: Node, free_port: int) -> None:
    spec = node.start(node.spec(free_port, env={"STANDIN_LOAD_SECONDS": "6"}))
    told = "Weights loaded in 1.80 s"
    entry = node.wait_entry(spec, lambda entry: entry["stage"] and entry["stage"]["message"] == told)
    assert entry["stage"] == {"name": "load", "done_bytes": None, "total_bytes": None, "message": told}
    assert entry["probe"]["ready"] is False
    node.wait_ready(spec)
    assert node.entry(spec)["stage"] is None  # type: ignore[index]


def test_killed_and_removed_between_two_questions_is_gone(
    docker_client: docker.DockerClient, node: Node, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`docker rm -f` ends a container first: a look in between sees an end that nobody can be asked about."""
    spec = node.start(node.spec(free_port))
    container_id = node.wait_ready(spec)["container_id"]

    def removed_meanwhile(container: str, *_: object) -> list[str]:
        docker_client.containers.get(container).remove(force=True)
        raise ContainerMissing(container)

    monkeypatch.setattr(node.engine, "log_tail", removed_meanwhile)
    docker_client.containers.get(container_id).kill()
    assert "removed by someone else" in node.wait_fact(spec, "container_gone")["reason"]
