"""May a model be laid over two nodes: what each told, and the sentences that follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models_app.engines.inputs import Fabric
from models_app.preflight import (
    ADVICE,
    OK,
    REFUSED,
    Check,
    Place,
    is_passed,
    preflight_checks,
    refusal_sentence,
)

DIGEST = "sha256:" + "ab" * 32
COMMIT = "0123456789abcdef" * 2
IMAGE = "nvcr.io/nvidia/vllm:26.05-py3"
ECHO = {"sent": 3, "received": 3, "milliseconds": 0.2, "problem": None, "size": 9000}


def place(number: int, **answer: Any) -> Place:
    peer = f"spark-{3 - number}"
    told = {
        "clock": 1000.0,
        "version": "0.1.0",
        "link": {"name": "enp1s0f1np1", "up": True, "mtu": 9000, "speed_mbps": 200000},
        "echoes": {peer: ECHO},
        "image_digest": DIGEST,
        "docker": None,
        "revision": COMMIT,
        "ports": [],
    } | answer
    address = f"192.168.100.{9 + number}"
    fabric = Fabric(address, "enp1s0f1np1", True, 9000, hcas=("rocep1s0f1", "roceP2p1s0f1"))
    return Place(f"spark-{number}", fabric, told)


def link(**changes: Any) -> dict[str, Any]:
    return {"name": "enp1s0f1np1", "up": True, "mtu": 9000, "speed_mbps": 200000} | changes


def checked(first: Place, second: Place, weights: str | None = "org/m") -> list[Check]:
    return preflight_checks([first, second], IMAGE, weights=weights)


def test_two_nodes_that_fit_together() -> None:
    checks = checked(place(1), place(2))
    assert [(check.name, check.verdict) for check in checks] == [
        (name, OK)
        for name in ("link", "mtu", "echo", "rdma", "image", "weights", "ports", "memory", "version", "clock")
    ]
    assert is_passed(checks)
    assert checks[0].sentence == (
        "The fabric link is up: spark-1 enp1s0f1np1 at 200 Gbit/s, spark-2 enp1s0f1np1 at 200 Gbit/s."
    )


@pytest.mark.parametrize(
    ("answer", "name", "verdict", "words"),
    [
        ({"link": link(up=False)}, "link", REFUSED, "The link enp1s0f1np1 of spark-2 is down"),
        ({"link": None}, "link", REFUSED, "No interface of spark-2 has the fabric address 192.168.100.11"),
        ({"link": link(mtu=1500)}, "mtu", REFUSED, "The MTU differs: 9000 on spark-1, 1500 on spark-2"),
        ({"link": link(mtu=None)}, "mtu", REFUSED, "unknown on spark-2"),
        (
            {"echoes": {"spark-1": ECHO | {"received": 0, "problem": "no answer"}}},
            "echo",
            REFUSED,
            "No echo comes back from spark-2 to spark-1 over the fabric (packets of 9000 bytes): no answer",
        ),
        (
            {"echoes": {"spark-1": ECHO | {"received": 0, "problem": "allow net.ipv4.ping_group_range"}}},
            "echo",
            ADVICE,
            "ping_group_range",
        ),
        ({"image_digest": None}, "image", REFUSED, f"The image {IMAGE} is not on spark-2; download it"),
        (
            {"image_digest": "sha256:" + "cd" * 32},
            "image",
            REFUSED,
            f"The image {IMAGE} differs: sha256:abababababab on spark-1, sha256:cdcdcdcdcdcd on spark-2",
        ),
        ({"docker": "Docker is away", "image_digest": None}, "image", REFUSED, "spark-2: Docker is away"),
        ({"revision": None}, "weights", REFUSED, "org/m is on spark-1, not whole on spark-2"),
        (
            {"revision": "fedcba" * 6},
            "weights",
            REFUSED,
            "different revisions: 0123456789ab on spark-1, fedcbafedcba on spark-2",
        ),
        ({"ports": ["Port 8104 is in use."]}, "ports", REFUSED, "spark-2: Port 8104 is in use."),
        ({"version": "0.2.0"}, "version", REFUSED, "0.1.0 on spark-1, 0.2.0 on spark-2"),
        ({"clock": 4600.0}, "clock", ADVICE, "3600 s apart"),
    ],
)
def test_one_thing_amiss(answer: dict[str, Any], name: str, verdict: str, words: str) -> None:
    checks = checked(place(1), place(2, **answer))
    (found,) = [check for check in checks if check.name == name]
    assert found.verdict == verdict
    assert words in found.sentence
    assert is_passed(checks) is (verdict == ADVICE)
    assert [check for check in checks if check.verdict != OK] == [found]


def test_echoes_are_not_judged_where_the_link_is_down() -> None:
    gone = {"echoes": {"spark-1": ECHO | {"received": 0, "problem": "network is unreachable"}}}
    checks = checked(place(1), place(2, link=link(up=False), **gone))
    assert [check.name for check in checks if check.verdict == REFUSED] == ["link"]


def test_a_small_mtu_on_both_is_advice() -> None:
    checks = checked(place(1, link=link(mtu=1500)), place(2, link=link(mtu=1500)))
    assert [(check.name, check.verdict) for check in checks if check.verdict != OK] == [("mtu", ADVICE)]


def test_weights_on_neither_are_downloaded_and_those_in_the_image_not_asked_for() -> None:
    neither = checked(place(1, revision=None), place(2, revision=None))
    assert [check.verdict for check in neither if check.name == "weights"] == [ADVICE]
    assert "weights" not in [check.name for check in checked(place(1), place(2), weights=None)]


def test_without_rdma_on_one_side_nccl_uses_tcp() -> None:
    second = replace(place(2), fabric=Fabric("192.168.100.11", "enp1s0f1np1"))
    (found,) = [check for check in checked(place(1), second) if check.name == "rdma"]
    assert (found.verdict, "on spark-2" in found.sentence) == (ADVICE, True)


def test_a_node_that_does_not_answer_is_all_there_is_to_say() -> None:
    silent = replace(place(2), answer=None, memory_problem="needs 120 GiB; spark-2 has 3 GiB available")
    checks = checked(place(1), silent)
    assert [(check.name, check.verdict) for check in checks] == [("answer", REFUSED), ("memory", REFUSED)]
    assert "spark-2 did not answer" in checks[0].sentence


def test_the_refusal_names_the_first_reason_and_how_many_more() -> None:
    checks = checked(place(1), place(2, image_digest=None, ports=["Port 8104 is in use."]))
    sentence = refusal_sentence("Large", ["spark-1", "spark-2"], checks)
    assert sentence == (
        f"Large cannot start on spark-1 and spark-2: The image {IMAGE} is not on spark-2; "
        "download it there first. (1 more)"
    )
