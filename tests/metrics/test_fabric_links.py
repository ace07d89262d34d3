"""Links and RDMA adapters from a recorded tree, and echoes on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparkweb.adapters.fabric import FabricReader, addresses_read, echo, fabric_read

GIDS = {
    "0": ("RoCE v1", "fe80:0000:0000:0000:4ebb:47ff:fe2c:0001"),
    "1": ("RoCE v2", "fe80:0000:0000:0000:4ebb:47ff:fe2c:0001"),
    "2": ("RoCE v1", "0000:0000:0000:0000:0000:ffff:c0a8:640a"),
    "3": ("RoCE v2", "0000:0000:0000:0000:0000:ffff:c0a8:640a"),
}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def spark_tree(root: Path) -> Path:
    """Two interfaces as on a DGX Spark, one with a cable; a bridge of Docker's; /dev/infiniband."""
    net, rdma = root / "sys/class/net", root / "sys/class/infiniband"
    for name, state, mtu in (("enp1s0f1np1", "up", "9000"), ("enP2p1s0f1np1", "down", "1500")):
        write(net / name / "operstate", state)
        write(net / name / "mtu", mtu)
        write(net / name / "speed", "200000" if state == "up" else "-1")
    write(net / "docker0" / "operstate", "up")
    for name, interface, state in (
        ("rocep1s0f1", "enp1s0f1np1", "4: ACTIVE"),
        ("roceP2p1s0f1", "enP2p1s0f1np1", "1: DOWN"),
    ):
        (rdma / name / "device/net" / interface).mkdir(parents=True)
        write(rdma / name / "ports/1/state", state)
    port = rdma / "rocep1s0f1/ports/1"
    for index, (kind, gid) in GIDS.items():
        write(port / "gids" / index, gid)
        write(port / "gid_attrs/types" / index, kind)
        write(port / "gid_attrs/ndevs" / index, "enp1s0f1np1")
    (root / "dev/infiniband").mkdir(parents=True)
    return root


def held() -> dict[str, list[str]]:
    return {"enp1s0f1np1": ["192.168.100.10", "fe80::1"], "docker0": ["172.17.0.1"]}


def test_what_a_spark_tells(tmp_path: Path) -> None:
    told = fabric_read(spark_tree(tmp_path), held)
    assert told == {
        "has_devices": True,
        "links": [
            {
                "name": "enP2p1s0f1np1",
                "up": False,
                "mtu": 1500,
                "speed_mbps": None,
                "addresses": [],
                "rdma": [{"name": "roceP2p1s0f1", "active": False, "gid_index": None}],
            },
            {
                "name": "enp1s0f1np1",
                "up": True,
                "mtu": 9000,
                "speed_mbps": 200000,
                "addresses": ["192.168.100.10", "fe80::1"],
                "rdma": [{"name": "rocep1s0f1", "active": True, "gid_index": 3}],
            },
        ],
    }


def test_a_machine_without_any(tmp_path: Path) -> None:
    assert fabric_read(tmp_path, dict) == {"links": [], "has_devices": False}


def test_a_broken_entry_is_no_reason_to_fail(tmp_path: Path) -> None:
    root = spark_tree(tmp_path)
    write(root / "sys/class/infiniband/rocep1s0f1/ports/1/gids/3", "not an address")
    adapter = fabric_read(root, held)["links"][1]["rdma"][0]
    assert adapter["gid_index"] is None


def test_this_machines_own_addresses() -> None:
    assert "127.0.0.1" in addresses_read()["lo"]


def test_links_are_read_again_after_a_while() -> None:
    now, readings = [0.0], []

    def read() -> dict[str, Any]:
        readings.append(now[0])
        return {"links": []}

    reader = FabricReader(read, clock=lambda: now[0])
    for now[0] in (0.0, 1.0, 4.9, 5.0, 6.0):
        reader()
    assert readings == [0.0, 5.0]


def test_an_echo_comes_back() -> None:
    found = echo("127.0.0.1", "127.0.0.1", size=9000)
    assert (found.sent, found.received, found.problem) == (3, 3, None)
    assert found.milliseconds is not None


def test_an_address_that_is_not_ours_cannot_be_asked_from() -> None:
    found = echo("127.0.0.1", "192.0.2.77", size=100, count=1)
    assert (found.sent, found.received) == (0, 0)
    assert found.problem == "cannot assign requested address"
