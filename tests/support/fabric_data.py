"""Made-up links and tests of the fabric, for people to look at."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from metrics_app.fabric.plan import Place, rails_of, steps_of
from metrics_app.fabric.services import fabric_step_told
from metrics_app.models import Node
from metrics_app.models_fabric import FabricTest
from tests.factories import NodeFactory

INTERFACES = {1: "enp1s0f1np1", 2: "enP2p1s0f1np1"}
ADAPTERS = {1: "rocep1s0f1", 2: "roceP2p1s0f1"}


def fabric_report(place: int) -> dict[str, Any]:
    """What joins the report of one of two nodes: its links, and what they counted."""
    links, counted = [], []
    for rail, name in INTERFACES.items():
        adapter = {"name": ADAPTERS[rail], "active": True, "gid_index": 3}
        links.append({"name": name, "up": True, "mtu": 9000, "speed_mbps": 200_000,
                      "addresses": [f"192.168.{99 + rail}.{9 + place}"], "rdma": [adapter]})  # fmt: skip
        moved = {"sent_bytes": 812 * 2**30 // rail, "received_bytes": 640 * 2**30 // rail}
        errors = {"rx_dropped": 14} if rail == 2 else {}
        counted.append({"name": name, **moved, "errors": errors,
                        "rdma": [{"name": ADAPTERS[rail], **moved,
                                  "errors": {"out_of_sequence": 3} if rail == 2 else {}}]})  # fmt: skip
    return {"agent": {"fabric": {"links": links, "has_devices": True}}, "fabric": {"links": counted}}


def fabric_seed(now: datetime, admin: Any) -> FabricTest:
    """A second node, and what four tests of the link found; returns the newest."""
    NodeFactory(name="spark-2", label="Spark 2", status="online", fabric_address="192.168.100.11",
                fabric_twin_address="192.168.101.11", last_seen_at=now)  # fmt: skip
    Node.objects.filter(name="spark-1").update(fabric_twin_address="192.168.101.10")
    for days, gbits, extra in (
        (3, 12.9, {}),
        (2, 61.0, {"mtu": 1500}),
        (1, 97.0, {"received": 88}),
        (0, 98.4, {}),
    ):
        newest = _ended(now - timedelta(days=days, minutes=9), admin, gbits, extra)
    running = _made(now, admin)
    FabricTest.objects.filter(pk=running.pk).update(step=2)
    return newest


def _made(at: datetime, admin: Any) -> FabricTest:
    first, second = (
        Place(f"spark-{place}", (f"192.168.100.{9 + place}", f"192.168.101.{9 + place}")) for place in (1, 2)
    )
    return FabricTest.objects.create(
        first_node="spark-1", second_node="spark-2", requested_by=admin, created_at=at, port=5201, seconds=10,
        streams=4, steps=steps_of(rails_of(first, second)),
    )  # fmt: skip


def _ended(at: datetime, admin: Any, gbits: float, extra: dict[str, Any]) -> FabricTest:
    test = _made(at, admin)
    for number, step in enumerate(test.steps):
        for name in test.names:
            answer = _answer(step, name, gbits, extra)
            fabric_step_told(name, {"test": test.uid, "step": number, "answer": answer})
    FabricTest.objects.filter(pk=test.pk).update(ended_at=at + timedelta(seconds=33))
    test.refresh_from_db()
    return test


def _answer(step: dict[str, Any], name: str, gbits: float, extra: dict[str, Any]) -> dict[str, Any]:
    numbers = [rail["rail"] for rail in step["rails"]]
    if step["kind"] == "echo":
        end = {"up": True, "mtu": 9000, "speed_mbps": 200_000, "sent": 93, "received": 93,
               "milliseconds": 0.142, "problem": None, "large_came": True} | extra  # fmt: skip
        return {"rails": [{"rail": number, "name": INTERFACES[number], **end} for number in numbers]}
    if name == "spark-2":
        return {"rails": [{"rail": number, "problem": None} for number in numbers]}
    rate = gbits * 1e9 * (0.97 if len(numbers) > 1 else 1)
    return {
        "rails": [{"rail": number, "bits_per_second": rate, "bytes": rate} for number in numbers],
        "carried": {INTERFACES[number]: rate for number in numbers},
    }
