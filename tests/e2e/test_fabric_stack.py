"""A test of the fabric for real: two agents in network namespaces joined by two cables, iperf3 at both ends.

The agents reach Redis by its Unix socket, so the cables carry echoes and iperf3 alone. Rates of a
busy machine say nothing, so a healthy link is asked what moved, and only sick ones for their verdict.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fabric import INTERFACE, MTU, TWIN, Cable
from tests.support.redis import RedisServer
from tests.support.second_node import SecondNode
from tests.support.stack import Stack, wait_for

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(shutil.which("iperf3") is None, reason="iperf3 is missing"),
]
NAMES = ["link-1", "link-2"]


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    with Cable(engines=False, rails=2) as joined:
        yield joined


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer(config={"requirepass": "the-central-password"}).start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, docker_host: str, redis_server: RedisServer
) -> Iterator[Stack]:
    settings = {"SPARKWEB_FABRIC_SECONDS": "1", "SPARKWEB_FABRIC_STREAMS": "2"}
    url = redis_server.url_as("default", "the-central-password")
    folder = tmp_path_factory.mktemp("link")
    with Stack(folder, docker_host=docker_host, REDIS_URL=url, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def nodes(stack: Stack, redis_server: RedisServer, cable: Cable) -> Iterator[list[SecondNode]]:
    made = [
        SecondNode(stack, name, redis=redis_server, prefix=end.prefix)
        for name, end in zip(NAMES, cable.ends, strict=True)
    ]
    try:
        for node, end in zip(made, cable.ends, strict=True):
            addresses = {"fabric_address": end.address, "fabric_twin_address": end.twin_address}
            changed = stack.call("PATCH", f"/api/nodes/{node.name}/", addresses)
            assert changed[0] == 200, changed
            node.start()
        for node in made:
            node.wait_status("online")
        yield made
    finally:
        for node in made:
            node.close()


def verdict_awaited(stack: Stack, nodes: list[SecondNode]) -> dict[str, Any]:
    """Test the link, wait for the verdict."""
    status, made = stack.call("POST", "/api/fabric-tests/", {"nodes": NAMES})
    assert status == 202, made

    def ended() -> dict[str, Any] | None:
        test = stack.get(f"/api/fabric-tests/{made['uid']}/")
        return test if test["state"] == "done" else None

    try:
        return wait_for(ended, "the test has ended", 180, every=0.2)  # type: ignore[no-any-return]
    except AssertionError as error:
        error.add_note(str(stack.get(f"/api/fabric-tests/{made['uid']}/")))
        for node in nodes:
            error.add_note(node.log()[-2000:])
        raise


def sent(test: dict[str, Any], step: int) -> dict[str, Any]:
    """What the sender told of a step."""
    return test["steps"][step]["answers"]["link-1"]  # type: ignore[no-any-return]


def test_both_rails_are_measured_by_both_agents(stack: Stack, nodes: list[SecondNode]) -> None:
    test = verdict_awaited(stack, nodes)
    for name in NAMES:
        rails = test["steps"][0]["answers"][name]["rails"]
        assert [(rail["name"], rail["mtu"], rail["large_came"]) for rail in rails] == [
            (INTERFACE, MTU, True),
            (TWIN, MTU, True),
        ]
        assert all(rail["received"] == rail["sent"] for rail in rails)
    for step, interface in ((1, INTERFACE), (2, TWIN)):
        told = sent(test, step)
        assert told["rails"][0]["bits_per_second"] > 0
        assert max(told["carried"], key=told["carried"].get) == interface
    assert all(rail["bits_per_second"] > 0 for rail in sent(test, 3)["rails"])
    assert test["gbits"] > 0
    assert test["cause"] in ("ok", "slow", "one_rail")
    links = {one["node"]: one["links"] for one in stack.get("/api/fabric/")}
    assert [(link["name"], link["rail"]) for link in links["link-1"]] == [(INTERFACE, 1), (TWIN, 2)]
    assert links["link-1"][0]["sent_bytes"] > 0


def test_a_link_held_down_is_slow(stack: Stack, nodes: list[SecondNode], cable: Cable) -> None:
    limit = ["tbf", "rate", "100mbit", "burst", "128kb", "latency", "100ms"]
    cable.ends[0].run("tc", "qdisc", "add", "dev", INTERFACE, "root", *limit)
    try:
        test = verdict_awaited(stack, nodes)
    finally:
        cable.ends[0].run("tc", "qdisc", "del", "dev", INTERFACE, "root")
    assert (test["tone"], test["cause"]) == ("warn", "slow")
    assert 0 < sent(test, 1)["rails"][0]["bits_per_second"] < 200e6
    assert test["sentence"].startswith("Slow: rail 1 moves ")


def test_a_blocked_port_leaves_one_rail_and_raises_an_alert(
    stack: Stack, nodes: list[SecondNode], cable: Cable
) -> None:
    blocked = ["INPUT", "-i", TWIN, "-p", "tcp", "--dport", "5202", "-j", "DROP"]
    cable.ends[1].run("iptables", "-A", *blocked)
    try:
        test = verdict_awaited(stack, nodes)
    finally:
        cable.ends[1].run("iptables", "-D", *blocked)
    assert (test["tone"], test["cause"]) == ("bad", "one_rail")
    assert test["sentence"].endswith("rail 2 nothing (connections get no answer).")
    firing = stack.get("/api/alerts/?state=firing")["results"]
    assert any("One rail only: rail 1 moves" in alert["message"] for alert in firing)
