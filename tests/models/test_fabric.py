"""From what a node reports of its links to the link that several nodes share."""

from __future__ import annotations

from typing import Any

import pytest

from models_app.engines.inputs import Fabric
from models_app.fabric import fabric_of

ADDRESS = "192.168.100.10"


def link(name: str, *addresses: str, rdma: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "up": True,
        "mtu": 9000,
        "speed_mbps": 200000,
        "addresses": list(addresses),
        "rdma": rdma or [],
    }


def adapter(name: str, active: bool = True, gid_index: int | None = 3) -> dict[str, Any]:
    return {"name": name, "active": active, "gid_index": gid_index}


# As a DGX Spark tells: one cable in port 1, each port with two functions.
SPARK = {
    "fabric": {
        "has_devices": True,
        "links": [
            link("enP2p1s0f0np0", rdma=[adapter("roceP2p1s0f0", active=False, gid_index=None)]),
            link("enP2p1s0f1np1", "169.254.3.4", rdma=[adapter("roceP2p1s0f1")]),
            link("enp1s0f1np1", ADDRESS, rdma=[adapter("rocep1s0f1", gid_index=5)]),
            link("enP7s7", "192.168.1.48"),
        ],
    }
}


def test_the_link_with_the_address_and_both_twins() -> None:
    assert fabric_of(SPARK, ADDRESS, "") == Fabric(
        ADDRESS, "enp1s0f1np1", True, 9000, 200000, ("rocep1s0f1", "roceP2p1s0f1"), 5, True
    )


def test_the_owners_interface_goes_first() -> None:
    found = fabric_of(SPARK, ADDRESS, "enP7s7")
    assert found is not None
    assert (found.interface, found.hcas, found.gid_index) == ("enP7s7", (), None)


def test_an_adapter_without_a_cable_is_left_out() -> None:
    found = fabric_of(SPARK, "169.254.3.4", "")
    assert found is not None
    assert "roceP2p1s0f0" not in found.hcas


@pytest.mark.parametrize("told", [{}, {"fabric": None}, {"fabric": {}}, {"fabric": {"links": None}}])
def test_a_node_that_tells_nothing(told: dict[str, Any]) -> None:
    assert fabric_of(told, ADDRESS, "eth1") == Fabric(ADDRESS, "eth1")


def test_without_an_address_there_is_none() -> None:
    assert fabric_of(SPARK, None, "enp1s0f1np1") is None
