"""Addresses of this machine and of the networks it stands in, which a fetch for a model must not reach.

Private ones are refused anyhow; these are the public ones: an IPv6 prefix at home
gives every device a public address.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Sequence

import psutil

from sparkweb.adapters.egress_rules import Address, Network, address_read

# A wider network than this is a provider's, not the owner's: then the address alone counts.
_WIDEST = {4: 16, 6: 48}


def interface_networks() -> list[Network]:
    """The network of each address of each interface of this machine."""
    found: list[Network] = []
    for addresses in psutil.net_if_addrs().values():
        for entry in addresses:
            if entry.family in (socket.AF_INET, socket.AF_INET6):
                with contextlib.suppress(ValueError):
                    found.append(_network(address_read(entry.address), entry.netmask))
    return found


def host_networks(hosts: Sequence[str]) -> list[Network]:
    """The addresses of these hosts, each as a network of its own; unknown names have none."""
    found: list[Network] = []
    for host in hosts:
        with contextlib.suppress(OSError, UnicodeError):
            entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found.extend(ipaddress.ip_network(address_read(str(entry[4][0]))) for entry in entries)
    return found


def _network(address: Address, netmask: str | None) -> Network:
    whole = 32 if address.version == 4 else 128
    length = int(ipaddress.ip_address(netmask)).bit_count() if netmask else whole
    if length < _WIDEST[address.version]:
        length = whole
    return ipaddress.ip_network(f"{address}/{length}", strict=False)
