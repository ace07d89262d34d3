"""One model on two machines: two agents in network namespaces joined by a cable, with an engine each.

The agents reach Redis and their engines by Unix sockets, so the cable carries nothing
but what a fabric link carries: the echoes of the preflight, and the ranks' own meeting.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.support.fabric import INTERFACE, MTU, Cable
from tests.support.images import BUSYBOX, STANDIN, images_build
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.second_node import SecondNode
from tests.support.stack import Stack, wait_for

pytestmark = pytest.mark.docker
NAMES = ["fabric-1", "fabric-2"]
IMAGE = "sparkweb-test/two-nodes:latest"


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    with Cable() as joined:
        first, second = (end.engine.host for end in joined.ends)
        images_build(first)
        images_copy(first, second)
        for host in (first, second):
            tag(host, STANDIN)
        yield joined


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer(config={"requirepass": "the-central-password"}).start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, docker_host: str, redis_server: RedisServer, cable: Cable
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("span")
    url = redis_server.url_as("default", "the-central-password")
    with Stack(folder, docker_host=docker_host, REDIS_URL=url) as running:
        yield running


@pytest.fixture(scope="module")
def nodes(stack: Stack, redis_server: RedisServer, cable: Cable) -> Iterator[list[SecondNode]]:
    made = [
        SecondNode(stack, name, redis=redis_server, docker_host=end.engine.host, prefix=end.prefix)
        for name, end in zip(NAMES, cable.ends, strict=True)
    ]
    try:
        for node, end in zip(made, cable.ends, strict=True):
            changed = stack.call("PATCH", f"/api/nodes/{node.name}/", {"fabric_address": end.address})
            assert changed[0] == 200, changed
            node.start()
        for node in made:
            node.wait_status("online")
            node.wait_docker("ok")
        yield made
    finally:
        for node in made:
            node.close()


@pytest.fixture(scope="module")
def large(stack: Stack, nodes: list[SecondNode]) -> str:
    """A definition that lies on both."""
    settings = {"gpus": "none", "ulimit_memlock": None, "ulimit_stack": None}
    entry = {
        "name": "Large",
        "engine": "vllm",
        "port": free_port(),
        "model_id": "test/model",
        "image": IMAGE,
        "node_count": 2,
        "settings": settings,
    }
    status, answer = stack.call("POST", "/api/catalogue/", {"models": {"large": entry}})
    assert status == 200, answer
    return "large"


def images_copy(source: str, target: str) -> None:
    """Carry images over as they are: built twice, they would differ."""
    giver, taker = (docker.APIClient(base_url=host, timeout=60) for host in (source, target))
    try:
        for image in (STANDIN, BUSYBOX):
            for _ in taker.load_image(b"".join(giver.get_image(image))) or []:
                pass
    finally:
        giver.close()
        taker.close()


def tag(host: str, image: str) -> None:
    """Let IMAGE be that image on an engine."""
    client = docker.APIClient(base_url=host, timeout=60)
    try:
        client.tag(image, *IMAGE.split(":"), force=True)
    finally:
        client.close()


def containers(cable: Cable, place: int) -> list[Any]:
    """Our containers at one end, running or not."""
    client = docker.DockerClient(base_url=cable.ends[place].engine.host, timeout=30)
    try:
        return client.containers.list(all=True, filters={"label": "sparkweb.slug=large"}, ignore_removed=True)
    finally:
        client.close()


def both_gone(cable: Cable) -> bool:
    return not containers(cable, 0) and not containers(cable, 1)


def checks(stack: Stack) -> dict[str, tuple[str, str]]:
    """A preflight's checks: verdict and sentence by name."""
    status, answer = stack.call("POST", "/api/definitions/large/preflight/", {"nodes": NAMES})
    assert status == 200, answer
    return {one["name"]: (one["verdict"], one["sentence"]) for one in answer["checks"]}


def start(stack: Stack) -> tuple[int, Any]:
    return stack.call("POST", "/api/launches/", {"definition": "large", "nodes": NAMES})


def test_the_nodes_tell_of_their_link(stack: Stack, nodes: list[SecondNode], cable: Cable) -> None:
    for node, end in zip(nodes, cable.ends, strict=True):
        (link,) = [one for one in node.report()["agent"]["fabric"]["links"] if one["name"] == INTERFACE]
        assert (link["up"], link["mtu"], end.address in link["addresses"]) == (True, MTU, True)


def test_a_link_that_is_down_is_refused(stack: Stack, large: str, cable: Cable) -> None:
    cable.ends[1].link("down")
    try:
        status, answer = start(stack)
        assert (status, answer["code"]) == (409, "preflight_failed")
        assert f"The link {INTERFACE} of fabric-" in answer["error"]
    finally:
        cable.ends[1].link("up")
    wait_for(lambda: checks(stack)["link"][0] == "ok", "the link is up again", every=0.5)


def test_an_mtu_that_differs_is_refused(stack: Stack, large: str, cable: Cable) -> None:
    cable.ends[1].link("mtu", "1500")
    try:
        found = checks(stack)
        assert found["mtu"] == (
            "refused",
            f"The MTU differs: {MTU} on fabric-1, 1500 on fabric-2. Set the same on both ends.",
        )
        # Packets of the larger size do not come through: the echo says so by itself.
        assert found["echo"][0] == "refused"
    finally:
        cable.ends[1].link("mtu", str(MTU))


def test_another_image_under_the_same_name_is_refused(stack: Stack, large: str, cable: Cable) -> None:
    tag(cable.ends[1].engine.host, BUSYBOX)
    try:
        verdict, sentence = checks(stack)["image"]
        assert verdict == "refused"
        assert sentence.startswith(f"The image {IMAGE} differs: ")
    finally:
        tag(cable.ends[1].engine.host, STANDIN)


def test_ready_then_a_dead_rank_takes_both_down_and_both_start_again(
    stack: Stack, large: str, cable: Cable
) -> None:
    found = checks(stack)
    assert not [sentence for verdict, sentence in found.values() if verdict == "refused"]
    assert found["echo"][0] == "ok"
    status, answer = start(stack)
    assert (status, answer.get("nodes")) == (202, NAMES), answer
    uid = answer["uid"]
    stack.wait_state(uid, "ready")
    (head,), (follower,) = containers(cable, 0), containers(cable, 1)
    assert head.attrs["HostConfig"]["NetworkMode"] == "host"
    assert "--headless" in follower.attrs["Args"] + follower.attrs["Config"]["Cmd"]

    follower.kill()
    wait_for(
        lambda: not {head.id, follower.id} & {one.id for end in (0, 1) for one in containers(cable, end)},
        "both of the first attempt are gone",
    )

    def ready_again() -> bool:
        launch = stack.launch(uid)
        return launch["state"] == "ready" and len(launch["attempts"]) == 2

    wait_for(ready_again, "ready in a second attempt", 90)
    told = stack.get(f"/api/launches/{uid}/events/")["results"]
    assert any("Rank 1 on fabric-2" in event["message"] for event in told)
    assert len(containers(cable, 0)) == len(containers(cable, 1)) == 1

    assert stack.call("POST", f"/api/launches/{uid}/stop/")[0] == 202
    stack.wait_state(uid, "stopped")
    wait_for(lambda: both_gone(cable), "nothing of it is left at either end")
