"""Two agents over one Redis: `up` with its own node, and spark-2 with its clock an hour ahead.

The second one comes as from another machine: a Redis user with the rights of its agent
alone, its own folder and key, and a DATABASE_URL that nobody answers for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.support.redis import RedisServer
from tests.support.second_node import (
    Browsing,
    SecondNode,
    clock_shifted,
    events,
    launch_stopped,
    log_complaints,
    standins_import,
)
from tests.support.stack import Stack, wait_for

pytestmark = pytest.mark.docker
PASSWORD = "the-central-password"


@pytest.fixture(scope="module")
def redis_at_a_port() -> Iterator[RedisServer]:
    """A Redis as two machines share it: on TCP, with a password."""
    server = RedisServer(tcp=True, config={"requirepass": PASSWORD}).start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, docker_host: str, redis_at_a_port: RedisServer
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("two")
    with Stack(folder, docker_host=docker_host, REDIS_URL=redis_at_a_port.url) as running:
        standins_import(running, first={}, second={})
        running.wait_online()
        yield running


@pytest.fixture(scope="module")
def spark_2(stack: Stack, redis_at_a_port: RedisServer) -> Iterator[SecondNode]:
    hour_ahead = clock_shifted(stack.folder, 3600)
    with SecondNode(stack, "spark-2", redis=redis_at_a_port, **hour_ahead) as node:
        node.wait_status("online")
        yield node


def of_node(stack: Stack, name: str) -> list[Any]:
    return [one for one in stack.containers() if one.labels["sparkweb.node"] == name]


def test_both_are_online_in_the_api_and_on_the_page(stack: Stack, spark_2: SecondNode) -> None:
    statuses = {node["name"]: node["status"] for node in stack.get("/api/nodes/")["results"]}
    assert statuses == {"spark-1": "online", "spark-2": "online"}
    page = Browsing(stack).get("/nodes/")
    for name in statuses:
        assert f'data-node-badge="{name}" data-status="online"' in page


def test_a_clock_an_hour_ahead_is_shown_and_never_trusted(stack: Stack, spark_2: SecondNode) -> None:
    wait_for(lambda: spark_2.report()["sampled_at"], "the sampler's first line")
    snapshot = stack.get("/api/nodes/spark-2/snapshot/")
    ahead = snapshot["report"]["sampled_at"] - snapshot["received_at"]
    assert ahead == pytest.approx(3600, abs=30)
    assert abs(snapshot["received_at"] - time.time()) < 30
    wait_for(lambda: len(stack.get("/api/nodes/spark-2/history/")["t"]) >= 3, "three points")
    for name in ("spark-1", "spark-2"):
        times = stack.get(f"/api/nodes/{name}/history/")["t"]
        assert times == sorted(times)
        assert abs(times[-1] - time.time()) < 30


def test_the_agent_opens_no_database(stack: Stack, spark_2: SecondNode, redis_at_a_port: RedisServer) -> None:
    assert spark_2.process
    family = psutil.Process(spark_2.process.pid)
    assert "nobody:x@127.0.0.1:1" in family.environ()["DATABASE_URL"]
    peers = {end.raddr.port for end in family.net_connections("inet") if end.raddr}
    assert redis_at_a_port.port in peers
    assert peers <= {redis_at_a_port.port, stack.port}  # web, where transcripts and files go
    modules = [one.path for one in family.memory_maps(grouped=True)]
    assert not [path for path in modules if "psycopg" in path]


def _shown(node: SecondNode) -> dict[str, Any]:
    return {one["id"]: one for one in node.report()["containers"]}


def test_each_agent_leaves_the_other_s_containers_alone(stack: Stack, spark_2: SecondNode) -> None:
    here, there = stack.launch_start("first"), spark_2.launch_start("second")
    stack.wait_state(here, "ready")
    stack.wait_state(there, "ready")
    (mine,), (theirs,) = of_node(stack, "spark-1"), of_node(stack, "spark-2")
    # Ready is told at once, containers with the report of the next second.
    wait_for(lambda: {mine.id, theirs.id} <= set(_shown(spark_2)), "both are in a report")
    shown = _shown(spark_2)
    assert shown[theirs.id]["ours"]
    assert not shown[mine.id]["ours"]
    assert shown[mine.id]["foreign"]
    launch_stopped(stack, here)
    wait_for(lambda: not of_node(stack, "spark-1"), "nothing of spark-1 left")
    assert [one.id for one in of_node(stack, "spark-2")] == [theirs.id]
    assert stack.launch(there)["state"] == "ready"
    launch_stopped(stack, there)
    wait_for(lambda: not of_node(stack, "spark-2"), "nothing of spark-2 left")


def test_a_silent_node_is_stale_offline_and_back_with_its_container(
    stack: Stack, spark_2: SecondNode
) -> None:
    uid = spark_2.launch_start("second")
    stack.wait_state(uid, "ready")
    (container,) = of_node(stack, "spark-2")
    spark_2.freeze()
    try:
        spark_2.wait_status("stale", 9)
        spark_2.wait_status("offline", 7)
        stack.wait_state(uid, "lost", seconds=5)
        assert stack.get("/api/nodes/spark-1/")["status"] == "online"
        status, refusal = stack.call("POST", "/api/launches/", {"definition": "first", "node": "spark-2"})
        assert (status, refusal["code"]) == (409, "node_offline")
    finally:
        spark_2.thaw()
    spark_2.wait_status("online", 5)
    launch = stack.wait_state(uid, "ready", seconds=10)
    assert len(launch["attempts"]) == 1
    (same,) = of_node(stack, "spark-2")
    assert same.id == container.id
    assert same.attrs["State"]["StartedAt"] == container.attrs["State"]["StartedAt"]
    assert events(stack, uid)[-2:] == ["lost", "ready"]
    launch_stopped(stack, uid)


def test_an_agent_that_is_set_up_wrongly_says_so(stack: Stack, redis_at_a_port: RedisServer) -> None:
    with SecondNode(stack, "spark-4", redis=redis_at_a_port, SPARKWEB_INSTALLATION="") as node:
        node.wait_status("online")
        launch = stack.wait_state(node.launch_start("first"), "failed")
        assert launch["failure_code"] == "installation_differs"
        assert f"SPARKWEB_INSTALLATION={stack.installation}" in launch["failure_reason"]
        node.kill()
        (node.folder / "node.key").unlink()
        node.start()
        assert node.process
        assert node.process.wait(20) == 2
        assert "node.key: is missing" in node.log()
        assert "Traceback" not in node.log()


def test_a_node_is_not_deleted_under_a_running_model(stack: Stack, spark_2: SecondNode) -> None:
    uid = spark_2.launch_start("second")
    stack.wait_state(uid, "ready")
    status, refusal = stack.call("DELETE", "/api/nodes/spark-2/")
    assert (status, refusal["code"]) == (409, "node_in_use")
    assert "second" in refusal["error"]
    launch_stopped(stack, uid)


def test_an_old_key_is_refused_and_a_silent_node_deleted_and_its_return_cleans_up(
    stack: Stack, redis_at_a_port: RedisServer
) -> None:
    with SecondNode(stack, "spark-3", redis=redis_at_a_port) as node:
        node.wait_status("online")
        uid = node.launch_start("first")
        stack.wait_state(uid, "ready")
        node.key_renew()  # as `create_node spark-3` does; the agent keeps the key it has read
        node.wait_status("offline", 15)
        control = (stack.folder / "data" / "logs" / "control.log").read_text()
        assert "spark-3" in control
        assert "refused as forged" in control
        assert stack.call("DELETE", "/api/nodes/spark-3/")[0] == 204
        launch = stack.wait_state(uid, "failed")
        assert launch["failure_code"] == "node_deleted"
        assert "spark-3" in launch["failure_reason"]
        assert of_node(stack, "spark-3"), "nobody could reach the machine"
        assert node.stop() == 0
        node.key_renew()
        node.start()
        node.wait_status("online", 15)
        wait_for(lambda: not of_node(stack, "spark-3"), "what no launch claims is stopped", 20)
        assert stack.launch(uid)["state"] == "failed"


def test_nobody_complained_but_where_it_was_asked_for(stack: Stack, spark_2: SecondNode) -> None:
    expected = (
        "django.request",
        "refused as",
        "key is revoked",
        "no launch claims",
        "reports are dropped",
        "facts wait",
        "another installation",
        "cannot start",
        "logs wait in the spool",
        "piece of a log was refused",
        "a pool is not filled",  # the image of tools was not built here
    )
    assert log_complaints(stack.folder, *expected) == []
