"""What a node's report says about its fast link to the other nodes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from models_app.engines.inputs import Fabric

# On DGX Spark one port of the adapter has two PCIe functions, each with an RDMA device:
# rocep1s0f1 and, in another PCI domain, roceP2p1s0f1. One alone moves half (playbooks PR 103).
_DOMAIN = re.compile(r"P\d+(?=p\d)")


def fabric_of(capabilities: Mapping[str, Any], address: str | None, interface: str) -> Fabric | None:
    """The link that has `address`, or is named `interface` where the owner says so; None without an address.

    `capabilities` is what the node reported of itself: `fabric` with `links` and `has_devices`.
    """
    if not address:
        return None
    told = capabilities.get("fabric") or {}
    links: Sequence[Mapping[str, Any]] = told.get("links") or []
    has_address = (link for link in links if address in (link.get("addresses") or []))
    named = (link for link in links if link.get("name") == interface)
    link = next(named if interface else has_address, None)
    if link is None:
        return Fabric(address, interface)
    rdma = [one for one in link.get("rdma") or [] if one.get("active")]
    return Fabric(
        address=address,
        interface=str(link["name"]),
        up=link.get("up"),
        mtu=link.get("mtu"),
        speed_mbps=link.get("speed_mbps"),
        hcas=_with_twins([one["name"] for one in rdma], _active_names(links)),
        gid_index=next((one["gid_index"] for one in rdma if one.get("gid_index") is not None), None),
        has_devices=bool(told.get("has_devices")),
    )


def _active_names(links: Sequence[Mapping[str, Any]]) -> list[str]:
    return [one["name"] for link in links for one in link.get("rdma") or [] if one.get("active")]


def _with_twins(names: Sequence[str], all_names: Sequence[str]) -> tuple[str, ...]:
    """The RDMA devices of a port's functions: those whose names differ in the PCI domain alone."""
    ports = {_DOMAIN.sub("", name) for name in names}
    return tuple(sorted({name for name in all_names if _DOMAIN.sub("", name) in ports}, key=str.lower))
