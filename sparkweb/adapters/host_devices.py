"""Disks, networks and the CPU's temperature sensors of this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sparkweb.adapters.host_counters import disks_parse, link_counters
from sparkweb.adapters.slow_lane import SlowLane

MOUNTS_EVERY_SECONDS = 10.0
SIZES_EVERY_SECONDS = 5.0
LINKS_EVERY_SECONDS = 5.0

NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "glusterfs",
    "fuse.sshfs",
    "lustre",
    "9p",
    "virtiofs",
}
OTHER_FILE_SYSTEMS = {"zfs", "fuseblk", "bcachefs"}
READ_ONLY_IMAGES = {"squashfs", "iso9660", "udf", "erofs", "cramfs"}
CONTAINER_FOLDERS = ("/var/lib/docker/", "/var/lib/containers/", "/run/", "/snap/", "/var/lib/kubelet/")

# Docker, libvirt and Kubernetes make these by the dozen; physical, fabric, bond and tunnel links stay.
NOISE = re.compile(
    r"lo|veth.*|docker.*|br-[0-9a-f]{12}|virbr.*|vnet\d+|cni.*|flannel.*|cali.*|lxc.*|ifb\d+|dummy\d+|"
    r"sit\d+|gre\d+|gretap\d+|erspan\d+|tunl\d+|ip6tnl\d+|ip_vti\d+|ip6_vti\d+|ip6gre\d+|kube-.*|nodelocaldns"
)

CPU_SENSORS = (
    "coretemp",
    "k10temp",
    "zenpower",
    "cpu_thermal",
    "cpu-thermal",
    "x86_pkg_temp",
    "acpitz",
    "soc_thermal",
)


class OpenFile:
    """A file of /proc that is read again from its start each time."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> bytes:
        parts, offset = [], 0
        while part := os.pread(self._descriptor, 65536, offset):
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def close(self) -> None:
        os.close(self._descriptor)


class Rates:
    """Turns growing counters into rates by monotonic time; a counter that went back gives None."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, tuple[int, ...]]] = {}

    def per_second(self, key: str, now: float, counters: tuple[int, ...]) -> list[int | None]:
        """Return the rate of each counter since the last call for `key`; None on the first."""
        before = self._before.get(key)
        self._before[key] = (now, counters)
        if before is None or now <= before[0]:
            return [None] * len(counters)
        seconds = now - before[0]
        return [
            round((new - old) / seconds) if new >= old else None
            for old, new in zip(before[1], counters, strict=True)
        ]

    def keep_only(self, keys: set[str]) -> None:
        for key in self._before.keys() - keys:
            del self._before[key]


class Mount(NamedTuple):
    """A file system that an owner would call a disk."""

    point: str
    device: str
    number: str  # "254:0", as /proc/diskstats counts it


def mounts_parse(text: str) -> Iterator[Mount]:
    """Yield the real file systems of /proc/self/mountinfo, each device once, at its shortest mount point.

    Left out: what lives in memory or in the kernel, read-only images (snaps),
    bind mounts of the same device, and what container engines mount for themselves.
    Source: proc_pid_mountinfo(5).
    """
    found: dict[str, Mount] = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, source = left.split(), right.split()
        if len(fields) < 5 or len(source) < 2:
            continue
        point, number, kind, device = _unescape(fields[4]), fields[2], source[0], _unescape(source[1])
        if not _is_disk(kind, device, point):
            continue
        key = device if number.startswith("0:") else number
        if key not in found or len(point) < len(found[key].point):
            found[key] = Mount(point, device, number)
    return iter(sorted(found.values()))


def _is_disk(kind: str, device: str, point: str) -> bool:
    if point == "/":
        return True
    if kind in READ_ONLY_IMAGES or point.startswith(CONTAINER_FOLDERS):
        return False
    return device.startswith("/dev/") or kind in NETWORK_FILE_SYSTEMS or kind in OTHER_FILE_SYSTEMS


def _unescape(word: str) -> str:
    r"""Undo mountinfo's octal escapes: `\040` is a space."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), word)


class Disks:
    """Sizes of file systems, by the slow lane, and transfer rates of their devices."""

    def __init__(self, root: Path, slow: SlowLane) -> None:
        self._root = root
        self._slow = slow
        self._rates = Rates()
        self._diskstats = OpenFile(root / "proc" / "diskstats")
        self.counters: dict[str, dict[str, Any]] = {}

    def close(self) -> None:
        self._diskstats.close()

    def read(self, now: float) -> list[dict[str, Any]]:
        """Return the report's `disks`. One that does not answer has sizes None with `stale`."""
        mounts = self._slow.get("mounts", self._mounts, MOUNTS_EVERY_SECONDS) or []
        moved, self.counters = disks_parse(self._diskstats.read().decode())
        rows = [self._row(mount, device, moved, now) for mount, device in mounts]
        self._slow.keep_only(
            {"mounts", "links", "temperature", "sensors"} | {f"size {mount.point}" for mount, _ in mounts}
        )
        self._rates.keep_only({device for _, device in mounts})
        return rows

    def _row(
        self, mount: Mount, device: str, moved: dict[str, tuple[int, int]], now: float
    ) -> dict[str, Any]:
        sizes = self._slow.get(f"size {mount.point}", lambda: self._sizes(mount.point), SIZES_EVERY_SECONDS)
        row: dict[str, Any] = {"mount": mount.point, "device": mount.device}
        row |= sizes or dict.fromkeys(("total_bytes", "used_bytes", "free_bytes"))
        why = {} if sizes else dict.fromkeys(("total_bytes", "used_bytes", "free_bytes"), "stale")
        rates: list[int | None] = [None, None]
        reason = "unsupported"  # network file systems and ZFS have no block device
        if device in moved:
            rates, reason = self._rates.per_second(device, now, moved[device]), "stale"
        for name, rate in zip(("read_bytes_per_second", "write_bytes_per_second"), rates, strict=True):
            row[name] = rate
            if rate is None:
                why[name] = reason
        row["why"] = why
        return row

    def _mounts(self) -> list[tuple[Mount, str]]:
        text = (self._root / "proc" / "self" / "mountinfo").read_text(errors="replace")
        return [(mount, self._device_number(mount)) for mount in mounts_parse(text)]

    def _device_number(self, mount: Mount) -> str:
        """Return the block device's number; btrfs shows one of its own that is no device."""
        if not mount.number.startswith("0:") or not mount.device.startswith("/dev/"):
            return mount.number
        try:
            number = (self._root / mount.device.lstrip("/")).stat().st_rdev
        except OSError:
            return mount.number
        return f"{os.major(number)}:{os.minor(number)}"

    def _sizes(self, point: str) -> dict[str, int]:
        """As df counts: used is what is not free, free is what an ordinary user may write."""
        size = os.statvfs(self._root / point.lstrip("/"))
        return {
            "total_bytes": size.f_blocks * size.f_frsize,
            "used_bytes": (size.f_blocks - size.f_bfree) * size.f_frsize,
            "free_bytes": size.f_bavail * size.f_frsize,
        }


class Link(NamedTuple):
    """State of a network interface; speed in Mbit/s, None where the driver does not tell."""

    up: bool
    speed_mbps: int | None


class Networks:
    """Network interfaces that carry an owner's traffic, and their rates."""

    def __init__(self, root: Path, slow: SlowLane) -> None:
        self._sys = root / "sys" / "class" / "net"
        self._slow = slow
        self._rates = Rates()
        self._net_dev = OpenFile(root / "proc" / "net" / "dev")
        self.counters: dict[str, dict[str, Any]] = {}

    def close(self) -> None:
        self._net_dev.close()

    def read(self, now: float) -> list[dict[str, Any]]:
        """Return the report's `networks`, by name."""
        links = self._slow.get("links", self._links, LINKS_EVERY_SECONDS) or {}
        self.counters = self._counted()
        moved = {name: (one["receive_bytes"], one["transmit_bytes"]) for name, one in self.counters.items()}
        self._rates.keep_only(set(moved))
        return [self._row(name, links.get(name), moved[name], now) for name in sorted(moved)]

    def _row(self, name: str, link: Link | None, moved: tuple[int, int], now: float) -> dict[str, Any]:
        received, sent = self._rates.per_second(name, now, moved)
        row = {
            "name": name,
            "up": link.up if link else None,
            "speed_mbps": link.speed_mbps if link else None,
            "receive_bytes_per_second": received,
            "transmit_bytes_per_second": sent,
        }
        why = {key: "stale" for key, value in row.items() if value is None}
        if link and link.speed_mbps is None:
            why["speed_mbps"] = "unsupported"
        return {**row, "why": why}

    def _counted(self) -> dict[str, dict[str, Any]]:
        """Return {name: counters} of the interfaces that are shown."""
        counted = {}
        for line in self._net_dev.read().decode().splitlines()[2:]:
            name, _, figures = line.partition(":")
            name = name.strip()
            if not NOISE.fullmatch(name):
                counted[name] = link_counters(figures.split())
        return counted

    def _links(self) -> dict[str, Link]:
        return {path.name: link_state(path) for path in self._sys.iterdir() if not NOISE.fullmatch(path.name)}


def link_state(path: Path) -> Link:
    """Read an interface below /sys/class/net. `speed` is unreadable or -1 where unknown (sysfs-class-net)."""
    state = text_of(path / "operstate")
    carrier = text_of(path / "carrier")
    speed = text_of(path / "speed")
    up = state == "up" or (state == "unknown" and carrier == "1")
    return Link(up, int(speed) if speed and speed.isdigit() and 0 < int(speed) < 10_000_000 else None)


def text_of(path: Path) -> str | None:
    """The words of a small file of the kernel; None where it is absent or unreadable."""
    try:
        return path.read_text().strip()
    except OSError:
        return None


def temperature_celsius(root: Path = Path("/")) -> float | None:
    """Return the hottest reading of the CPU's sensors, °C; None where there is none.

    hwmon first, then thermal zones; on DGX Spark it is `acpitz`. Values are
    thousandths of a degree (sysfs-interface, hwmon). Readings outside 1–150 are
    taken for absent sensors.
    """
    for name in CPU_SENSORS:
        readings = [*_hwmon(root, name), *_zones(root, name)]
        sensible = [value for value in readings if 1 <= value <= 150]
        if sensible:
            return max(sensible)
    return None


def _hwmon(root: Path, name: str) -> Iterator[float]:
    for chip in (root / "sys" / "class" / "hwmon").glob("hwmon*"):
        if text_of(chip / "name") == name:
            yield from _celsius(chip.glob("temp*_input"))


def _zones(root: Path, name: str) -> Iterator[float]:
    for zone in (root / "sys" / "class" / "thermal").glob("thermal_zone*"):
        if (text_of(zone / "type") or "").replace("-", "_") == name.replace("-", "_"):
            yield from _celsius(iter([zone / "temp"]))


def _celsius(paths: Iterator[Path]) -> Iterator[float]:
    for path in paths:
        text = text_of(path)
        if text and text.lstrip("-").isdigit():
            yield int(text) / 1000
