"""Containers that wait: taken once, exactly of their policy, refilled, given up when memory is short."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox_image import sandbox_image
from tests.support.sandbox_node import SandboxNode
from tests.support.stack import wait_for

pytestmark = pytest.mark.docker


def memory_write(folder: Path, available_kb: int) -> None:
    """What /proc/meminfo says to the node."""
    (folder / "meminfo").write_text(f"MemTotal: 100000000 kB\nMemAvailable: {available_kb} kB\n")


@pytest.fixture
def node(docker_host: str, installation: str, tmp_path: Path) -> Iterator[SandboxNode]:
    sandbox_image(docker_host)
    memory_write(tmp_path, 10**8)
    made = SandboxNode(
        docker_host,
        tmp_path,
        installation,
        pool=1,
        data_pool=1,
        reserve_bytes=2**20,
        meminfo=tmp_path / "meminfo",
    )
    yield made
    made.close()
    made.wait_clean()


def pools(node: SandboxNode) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node.sandbox.section()["pools"]
    return found


def wait_ready(node: SandboxNode, count: int = 1) -> None:
    wait_for(lambda: sum(pool["ready"] for pool in pools(node)) == count, f"{count} waiting")


def test_the_second_run_finds_one_waiting_and_nothing_of_the_first(node: SandboxNode) -> None:
    first = node.do("open('/tmp/left', 'w').write('x'); print('x')")
    wait_ready(node)
    second = node.do("import os; print(os.listdir('/tmp'))")
    assert (first["warm"], second["warm"], second["stdout"]) == (False, True, "[]\n")
    assert first["container_id"] != second["container_id"]
    wait_ready(node)


def test_another_policy_takes_no_container_of_this_one(node: SandboxNode) -> None:
    node.do()
    wait_ready(node)
    other = node.do(pids=65)
    assert other["warm"] is False
    assert other["limits"]["pids"] == 65


def test_control_may_ask_for_pools_before_anybody_calls(node: SandboxNode) -> None:
    job = node.job(flavour="data", memory_bytes=512 * 2**20)
    wanted = {"tool": job.tool, "tool_digest": job.tool_digest, "policy": job.to_json()["policy"]}
    node.sandbox.pools([wanted, {"tool": "nonsense"}])
    wait_ready(node)
    ending = node.wait_end(node.send(job))
    assert (ending["warm"], ending["stdout"]) == (True, "1\n")


def test_a_waiting_container_that_died_is_replaced(node: SandboxNode) -> None:
    node.do()
    wait_ready(node)
    for victim in node.sandbox.victims():
        node.engine.remove(victim.container_id, force=True)
    assert node.do()["outcome"] == "ok"
    wait_ready(node)


def test_a_pool_that_cannot_be_filled_says_why_and_rests(node: SandboxNode) -> None:
    ending = node.wait_end(node.send(node.job(image="sparkweb-test/no-such:1")))
    assert ending["outcome"] == "refused"
    assert "no-such" in ending["reason"]
    pool = wait_for(lambda: [one for one in pools(node) if one["message"]], "the pool says why")[0]
    assert (pool["ready"], pool["status"] in ("filling", "broken")) == (0, True)
    assert "no-such" in pool["message"]


def test_pools_are_given_up_when_memory_is_short(node: SandboxNode, tmp_path: Path) -> None:
    node.do()
    wait_ready(node)
    victims = node.sandbox.victims()
    assert [(one.kind, bool(one.pid), one.priority) for one in victims] == [("sandbox", True, 0)]
    memory_write(tmp_path, 10)
    wait_ready(node, 0)
    assert pools(node)[0]["status"] == "paused"
    refused = node.do()
    assert refused["outcome"] == "refused"
    assert "memory" in refused["reason"]
    memory_write(tmp_path, 10**8)
    wait_ready(node)


def test_an_agent_begins_with_the_pools_of_the_one_before(node: SandboxNode, docker_host: str) -> None:
    node.do()
    wait_ready(node)
    node.sandbox.close()
    node.wait_clean()
    after = SandboxNode(docker_host, node.folder, node.installation, pool=1)
    try:
        wait_for(lambda: sum(pool["ready"] for pool in pools(after)), "one waits before anybody calls")
        assert after.do()["warm"] is True
    finally:
        after.close()


def test_a_runtime_that_docker_does_not_have_is_refused(node: SandboxNode) -> None:
    ending = node.do(runtime="runsc")
    assert ending["outcome"] == "refused"
    assert "runsc" in ending["reason"]
