"""What pages and the API read about links between nodes and their tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from metrics_app.fabric.verdict import REFERENCE_GBITS, rails_read, together_gbits
from metrics_app.models import Node
from metrics_app.models_fabric import FabricTest, FabricTestState
from metrics_app.node_events import ChartEvent
from metrics_app.selectors import node_snapshots

FAST_MBPS = 25_000


def fabric_links() -> list[dict[str, Any]]:
    """Return each node with its links of the fabric: those with a fabric address, an RDMA adapter, or fast.

    A link: name, rail (1, 2 or None), up, mtu, speed_mbps, addresses, sent_bytes, received_bytes,
    errors (the kernel's counters above zero, by name), rdma: [{name, active, sent_bytes,
    received_bytes, errors}]. `links` is None where no report is at hand.
    """
    nodes = list(Node.objects.all())
    snapshots = node_snapshots([node.name for node in nodes])
    return [{"node": node, "links": _links(node, snapshots.get(node.name))} for node in nodes]


def _links(node: Node, snapshot: Mapping[str, Any] | None) -> list[dict[str, Any]] | None:
    report = (snapshot or {}).get("report") or {}
    told = (report.get("agent") or {}).get("fabric")
    if not isinstance(told, dict):
        return None
    counters = {row["name"]: row for row in _named(report.get("fabric"), "links")}
    links = [_link(node, row, counters.get(row["name"]) or {}) for row in _named(told, "links")]
    return sorted(
        (link for link in links if _belongs(link)), key=lambda link: (link["rail"] or 9, link["name"])
    )


def _named(section: Any, key: str) -> list[dict[str, Any]]:
    """The rows of a section that have a name; agents of other versions may tell something else."""
    rows = section.get(key) if isinstance(section, dict) else None
    return [row for row in rows or [] if isinstance(row, dict) and isinstance(row.get("name"), str)]


def _link(node: Node, row: Mapping[str, Any], counted: Mapping[str, Any]) -> dict[str, Any]:
    held = row.get("addresses") or []
    rails = enumerate((node.fabric_address, node.fabric_twin_address), 1)
    counters = {one["name"]: one for one in _named(counted, "rdma")}
    adapters = [_adapter(one, counters.get(one["name"]) or {}) for one in _named(row, "rdma")]
    errors = counted.get("errors") or {}
    speed = row.get("speed_mbps")
    return {
        **{name: row.get(name) for name in ("name", "up", "mtu")},
        "speed_mbps": speed,
        "speed_gbits": None if speed is None else speed / 1000,
        "addresses": held,
        "rail": next((number for number, address in rails if address and address in held), None),
        **{name: counted.get(name) for name in ("sent_bytes", "received_bytes")},
        "errors": errors,
        "is_clean": bool(counted) and not errors and not any(one["errors"] for one in adapters),
        "rdma": adapters,
    }


def _adapter(told: Mapping[str, Any], counted: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: told.get(name) for name in ("name", "active")},
        **{name: counted.get(name) for name in ("sent_bytes", "received_bytes")},
        "errors": counted.get("errors") or {},
    }


def _belongs(link: Mapping[str, Any]) -> bool:
    return bool(link["rail"] or link["rdma"] or (link["speed_mbps"] or 0) >= FAST_MBPS)


def rate_rows(test: FabricTest) -> list[dict[str, Any]]:
    """Return a row for each rail and for both at once: name, `gbits`, `percent` of the reference, `rail`."""
    if test.state == FabricTestState.RUNNING:
        return []
    rails = rails_read(test.steps, test.names)
    rows = [{"name": rail.name.capitalize(), "gbits": rail.gbits, "rail": rail} for rail in rails]
    together = together_gbits(test.steps, test.names)
    if together is not None:
        rows.append({"name": "Both at once", "gbits": together, "rail": None})
    return [row | {"percent": min(100.0, 100 * (row["gbits"] or 0) / REFERENCE_GBITS)} for row in rows]  # type: ignore[operator]


def fabric_pairs(tests: Sequence[FabricTest]) -> list[FabricTest]:
    """Return the newest ended test of each link among these, which come newest first."""
    newest: dict[str, FabricTest] = {}
    for test in tests:
        if test.state == FabricTestState.DONE:
            newest.setdefault(test.subject, test)
    return list(newest.values())


def fabric_events(nodes: list[str], start: datetime, end: datetime, most: int) -> list[ChartEvent]:
    """Marks on charts: the ends of tests, at both of their nodes."""
    rows = FabricTest.objects.filter(state=FabricTestState.DONE, ended_at__gte=start, ended_at__lte=end)
    return [
        ChartEvent(
            at=test.ended_at.timestamp() if test.ended_at else 0.0,
            node=name,
            kind="fabric",
            tone="calm" if test.tone == "good" else test.tone,
            title=f"Fabric test {test}: {test.sentence}",
            url=test.get_absolute_url(),
        )
        for test in rows[:most]
        for name in test.names
        if name in nodes
    ]
