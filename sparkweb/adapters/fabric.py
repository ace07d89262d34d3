"""Links between nodes: state, MTU, addresses and RDMA adapters from sysfs, and an ICMP echo.

Sources: the kernel's sysfs-class-net and sysfs-class-infiniband; RFC 792.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from sparkweb.adapters.host_devices import NOISE, link_state, text_of

DEVICES = Path("dev") / "infiniband"
LINKS_EVERY_SECONDS = 5.0
_ECHO, _ECHO_REPLY = 8, 0
_HEADER = struct.Struct("!BBHHH")
_PROBE_MTU = 2  # IP_PMTUDISC_DO, linux/in.h: never fragment
_IP_MTU_DISCOVER = 10


def addresses_read() -> dict[str, list[str]]:
    """Return the IP addresses of each interface of this process's network."""
    families = (socket.AF_INET, socket.AF_INET6)
    return {
        name: [one.address.partition("%")[0] for one in rows if one.family in families]
        for name, rows in psutil.net_if_addrs().items()
    }


def bytes_sent_read() -> dict[str, int]:
    """Return the bytes that each interface of this process's network has sent so far."""
    return {name: row.bytes_sent for name, row in psutil.net_io_counters(pernic=True).items()}


def fabric_read(
    root: Path = Path("/"), addresses: Callable[[], dict[str, list[str]]] = addresses_read
) -> dict[str, Any]:
    """Return the report's `agent.fabric`: links that have an address or an RDMA adapter, by name.

    Shape: {"links": [{name, up, mtu, speed_mbps, addresses, rdma: [{name, active, gid_index}]}],
    "has_devices": whether /dev/infiniband is there}. MTU in bytes; None what the kernel does not tell.
    """
    held = addresses()
    adapters = _rdma_by_interface(root)
    links = []
    for path in sorted((root / "sys" / "class" / "net").glob("*")):
        name = path.name
        if NOISE.fullmatch(name) or not (held.get(name) or adapters.get(name)):
            continue
        state = link_state(path)
        links.append(
            {
                "name": name,
                "up": state.up,
                "mtu": _number(path / "mtu"),
                "speed_mbps": state.speed_mbps,
                "addresses": held.get(name, []),
                "rdma": [_adapter(one, name) for one in adapters.get(name, [])],
            }
        )
    return {"links": links, "has_devices": (root / DEVICES).is_dir()}


ERRORS = (
    *("rx_errors", "tx_errors", "rx_dropped", "tx_dropped", "rx_crc_errors", "rx_missed_errors"),
    *("tx_carrier_errors", "collisions"),
)
# mlx5's names: what was sent again, came out of order or was told to slow down.
RDMA_ERRORS = (
    *("symbol_error", "link_downed", "link_error_recovery", "port_rcv_errors", "port_xmit_discards"),
    *("out_of_sequence", "packet_seq_err", "local_ack_timeout_err", "rnr_nak_retry_err"),
    *("rx_icrc_encapsulated", "np_cnp_sent", "rp_cnp_handled"),
)
WORD_BYTES = 4


def counters_read(
    root: Path = Path("/"), addresses: Callable[[], dict[str, list[str]]] = addresses_read
) -> dict[str, Any]:
    """Return the report's `fabric`: what the links of `fabric_read` have counted since they came up.

    Shape: {"links": [{name, sent_bytes, received_bytes, errors, rdma: [{name, sent_bytes,
    received_bytes, errors}]}]}; `errors` holds the counters above zero by the kernel's name.
    Source: sysfs-class-net-statistics; sysfs-class-infiniband (data is counted in 4-byte words).
    """
    held, adapters = addresses(), _rdma_by_interface(root)
    links = []
    for path in sorted((root / "sys" / "class" / "net").glob("*")):
        if NOISE.fullmatch(path.name) or not (held.get(path.name) or adapters.get(path.name)):
            continue
        counted = path / "statistics"
        links.append(
            {
                "name": path.name,
                "sent_bytes": _number(counted / "tx_bytes"),
                "received_bytes": _number(counted / "rx_bytes"),
                "errors": _above_zero([counted], ERRORS),
                "rdma": [_rdma_counted(one) for one in adapters.get(path.name, [])],
            }
        )
    return {"links": links}


def _rdma_counted(path: Path) -> dict[str, Any]:
    port = path / "ports" / "1"
    sent, received = (_number(port / "counters" / name) for name in ("port_xmit_data", "port_rcv_data"))
    return {
        "name": path.name,
        "sent_bytes": None if sent is None else sent * WORD_BYTES,
        "received_bytes": None if received is None else received * WORD_BYTES,
        "errors": _above_zero([port / "counters", port / "hw_counters"], RDMA_ERRORS),
    }


def _above_zero(folders: list[Path], names: tuple[str, ...]) -> dict[str, int]:
    found = ((name, _number(folder / name)) for folder in folders for name in names)
    return {name: value for name, value in found if value}


class FabricReader:
    """Repeats the last reading for a few seconds: links change seldom, reports go out each second."""

    def __init__(
        self,
        read: Callable[[], dict[str, Any]] = fabric_read,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self._value: dict[str, Any] | None = None
        self._read_at = 0.0

    def __call__(self) -> dict[str, Any]:
        now = self._clock()
        if self._value is None or now - self._read_at >= LINKS_EVERY_SECONDS:
            self._value, self._read_at = self._read(), now
        return self._value


def _rdma_by_interface(root: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted((root / "sys" / "class" / "infiniband").glob("*")):
        for interface in (path / "device" / "net").glob("*"):
            found.setdefault(interface.name, []).append(path)
    return found


def _adapter(path: Path, interface: str) -> dict[str, Any]:
    port = path / "ports" / "1"
    return {
        "name": path.name,
        "active": (text_of(port / "state") or "").endswith("ACTIVE"),
        "gid_index": _gid_index(port, interface),
    }


def _gid_index(port: Path, interface: str) -> int | None:
    """The first RoCE v2 entry that stands for an IPv4 address of the interface."""
    entries = sorted(int(path.name) for path in (port / "gids").glob("*") if path.name.isdigit())
    for index in entries:
        kind = text_of(port / "gid_attrs" / "types" / str(index))
        device = text_of(port / "gid_attrs" / "ndevs" / str(index))
        if kind == "RoCE v2" and device in (None, interface) and _is_ipv4(port / "gids" / str(index)):
            return index
    return None


def _is_ipv4(path: Path) -> bool:
    try:
        return ipaddress.IPv6Address(text_of(path) or "").ipv4_mapped is not None
    except ValueError:
        return False


def _number(path: Path) -> int | None:
    text = text_of(path)
    return int(text) if text and text.isdigit() else None


# Echo ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Echo:
    """What came back: `milliseconds` is the fastest, `problem` why none could be sent or came."""

    sent: int
    received: int
    milliseconds: float | None
    problem: str | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def echo(address: str, source: str, *, size: int, count: int = 3, timeout_seconds: float = 1.0) -> Echo:
    """Send ICMP echoes of `size` bytes (with the IP header) that may not be fragmented, one by one.

    IPv4 only. Needs no rights where net.ipv4.ping_group_range includes the group of
    this process, as Ubuntu has it; else CAP_NET_RAW.
    """
    times: list[float] = []
    sent, problem = 0, None
    try:
        with _echo_socket(source) as (sock, raw):
            for sequence in range(count):
                began = time.monotonic()
                sock.sendto(_echo_packet(sequence, size - 28), (address, 0))
                sent += 1
                if _echo_wait(sock, raw, sequence, address, began + timeout_seconds):
                    times.append((time.monotonic() - began) * 1000)
    except PermissionError:
        problem = "this agent may not send ICMP; allow its group in net.ipv4.ping_group_range"
    except OSError as error:
        problem = (os.strerror(error.errno) if error.errno else str(error)).lower()
    if not times and problem is None:
        problem = "no answer"
    return Echo(sent, len(times), round(min(times), 3) if times else None, problem)


@contextlib.contextmanager
def _echo_socket(source: str) -> Iterator[tuple[socket.socket, bool]]:
    """A socket for echoes from `source`, and whether it is a raw one instead of the kernel's own kind."""
    try:
        sock, raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP), False
    except PermissionError:
        sock, raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), True
    with sock:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE_MTU)
        sock.bind((source, 0))
        yield sock, raw


def _echo_packet(sequence: int, payload_bytes: int) -> bytes:
    payload = bytes(max(payload_bytes, 0))
    identity = os.getpid() & 0xFFFF
    checksum = _checksum(_HEADER.pack(_ECHO, 0, 0, identity, sequence) + payload)
    return _HEADER.pack(_ECHO, 0, checksum, identity, sequence) + payload


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _echo_wait(sock: socket.socket, raw: bool, sequence: int, address: str, deadline: float) -> bool:
    """Wait for the answer to one echo. The kernel's own sockets get no other answer than theirs."""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([sock], [], [], left)[0]:
            return False
        data, (sender, *_) = sock.recvfrom(65536)
        if raw:
            data = data[(data[0] & 15) * 4 :]
        if len(data) < _HEADER.size or sender != address:
            continue
        kind, _, _, identity, number = _HEADER.unpack_from(data)
        if kind == _ECHO_REPLY and number == sequence and (not raw or identity == os.getpid() & 0xFFFF):
            return True
    return False
