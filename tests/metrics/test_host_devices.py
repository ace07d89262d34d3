"""Disks, networks and sensors, from recorded trees; a file system that never answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparkweb.adapters.host_devices import Disks, Networks, Rates, mounts_parse, temperature_celsius
from sparkweb.adapters.slow_lane import SlowLane

# A DGX Spark: NVMe root, EFI part, a snap, Docker's overlays, an NFS share with a space in its name.
MOUNTINFO = r"""22 28 0:21 / /proc rw - proc proc rw
28 1 259:2 / / rw,relatime - ext4 /dev/nvme0n1p2 rw
29 28 259:1 / /boot/efi rw - vfat /dev/nvme0n1p1 rw
30 28 7:1 / /snap/core22/1 ro - squashfs /dev/loop1 ro
31 28 0:50 / /var/lib/docker/overlay2/ab/merged rw - overlay overlay rw
32 28 259:2 /srv /mnt/again rw - ext4 /dev/nvme0n1p2 rw
33 28 0:51 / /models\040big rw - nfs4 10.0.0.2:/models rw
34 28 0:52 / /dev/shm rw - tmpfs tmpfs rw
35 28 0:53 / /data rw - btrfs /dev/sda1 rw
36 28 0:53 /sub /data/sub rw - btrfs /dev/sda1 rw
37 28 0:54 / /tank rw - zfs tank rw
38 28 0:55 / /run/user/1000/gvfs rw - fuse.gvfsd-fuse gvfsd-fuse rw
short line
"""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_real_file_systems_once_each() -> None:
    assert [(mount.point, mount.device) for mount in mounts_parse(MOUNTINFO)] == [
        ("/", "/dev/nvme0n1p2"),
        ("/boot/efi", "/dev/nvme0n1p1"),
        ("/data", "/dev/sda1"),
        ("/models big", "10.0.0.2:/models"),
        ("/tank", "tank"),
    ]


def test_root_of_a_container_is_shown_even_as_an_overlay() -> None:
    (mount,) = mounts_parse("1 0 0:60 / / rw - overlay overlay rw\n2 1 0:61 / /tmp rw - tmpfs tmpfs rw\n")
    assert mount.point == "/"


def disk_tree(root: Path, mountinfo: str, read_sectors: int, written_sectors: int) -> Path:
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/mountinfo").write_text(mountinfo)
    (root / "proc/diskstats").write_text(
        f" 259       2 nvme0n1p2 10 0 {read_sectors} 1 20 0 {written_sectors} 1 0 1 1\n"
    )
    return root


def test_transfer_rates_are_bytes_over_monotonic_time(tmp_path: Path) -> None:
    clock = Clock()
    root = disk_tree(tmp_path, "28 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw\n", 1000, 5000)
    disks = Disks(root, SlowLane(clock))
    (first,) = disks.read(clock.now)
    assert first["read_bytes_per_second"] is None
    assert first["why"] == {"read_bytes_per_second": "stale", "write_bytes_per_second": "stale"}
    assert first["total_bytes"] > first["used_bytes"] > 0
    disk_tree(tmp_path, "", 1200, 5000)
    clock.now += 2
    (second,) = disks.read(clock.now)
    assert (second["read_bytes_per_second"], second["write_bytes_per_second"]) == (51200, 0)
    assert second["why"] == {}
    disks.close()


def test_network_file_system_has_sizes_and_no_transfer_rates(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    root = disk_tree(tmp_path, "33 28 0:51 / /models rw - nfs4 10.0.0.2:/models rw\n", 0, 0)
    disks = Disks(root, SlowLane())
    (row,) = disks.read(1.0)
    assert row["total_bytes"] > 0
    assert row["why"] == {"read_bytes_per_second": "unsupported", "write_bytes_per_second": "unsupported"}
    disks.close()


class TestSlowLane:
    @pytest.fixture
    def gate(self) -> Iterator[threading.Event]:
        """Opens at the end, so that no blocked thread outlives the test."""
        made = threading.Event()
        yield made
        made.set()

    def test_reading_that_blocks_costs_nothing_and_is_not_doubled(self, gate: threading.Event) -> None:
        clock = Clock()
        lane = SlowLane(clock)
        started: list[int] = []

        def dead_server() -> str:
            started.append(1)
            gate.wait()
            return "alive"

        for _ in range(5):
            assert lane.get("nfs", dead_server, 5) is None
            clock.now += 30
        assert len(started) == 1

    def test_last_answer_holds_until_it_is_overdue(self, gate: threading.Event) -> None:
        clock = Clock()
        lane = SlowLane(clock, timeout_seconds=5)
        assert lane.get("disk", lambda: 7, 5) == 7

        def block() -> int:
            gate.wait()
            return 8

        clock.now += 6
        assert lane.get("disk", block, 5) == 7
        clock.now += 5
        assert lane.get("disk", block, 5) is None

    def test_answer_that_comes_late_is_taken(self, gate: threading.Event) -> None:
        lane = SlowLane()
        done = threading.Event()

        def slow() -> int:
            gate.wait()
            threading.Timer(0, done.set).start()
            return 3

        assert lane.get("disk", slow, 60) is None
        gate.set()
        assert done.wait(5)
        for thread in threading.enumerate():
            if thread.name == "slow-lane":
                thread.join(5)
        assert lane.get("disk", slow, 60) == 3

    def test_failure_is_no_answer(self) -> None:
        lane = SlowLane()

        def broken() -> int:
            raise OSError("stale file handle")

        assert lane.get("disk", broken, 5) is None

    def test_dead_mount_is_marked_and_the_others_are_not(self, tmp_path: Path, gate: threading.Event) -> None:
        clock = Clock()
        (tmp_path / "models").mkdir()
        root = disk_tree(
            tmp_path,
            "28 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw\n33 28 0:51 / /models rw - nfs4 nas:/models rw\n",
            0,
            0,
        )

        class DeadServer(SlowLane):
            def get(self, key, read, every_seconds):  # type: ignore[no-untyped-def]
                return super().get(key, gate.wait if key == "size /models" else read, every_seconds)

        disks = Disks(root, DeadServer(clock))
        alive, dead = disks.read(clock.now)
        assert alive["total_bytes"] is not None
        assert dead["total_bytes"] is None
        assert dead["why"]["total_bytes"] == "stale"
        disks.close()


def test_counter_that_went_back_gives_no_rate() -> None:
    rates = Rates()
    assert rates.per_second("eth0", 1.0, (100, 100)) == [None, None]
    assert rates.per_second("eth0", 2.0, (50, 300)) == [None, 200]
    assert rates.per_second("eth0", 4.0, (250, 300)) == [100, 0]
    assert rates.per_second("eth0", 4.0, (260, 300)) == [None, None]


NET_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0
enp1s0f0np0:{received} 1 0 0 0 0 0 0 {sent} 1 0 0 0 0 0 0
wlP9s9: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0
docker0: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0
br-0123456789ab: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0
veth12ab34c: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0
tailscale0: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0
"""  # noqa: E501 - the kernel's own heading


def net_tree(root: Path, received: int, sent: int) -> Path:
    links = {
        "lo": ("unknown", "1", None),
        "enp1s0f0np0": ("up", "1", "200000"),
        "wlP9s9": ("down", "0", "-1"),
        "docker0": ("down", "0", "-1"),
        "tailscale0": ("unknown", "1", "-1"),
    }
    for name, (state, carrier, speed) in links.items():
        folder = root / "sys/class/net" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "operstate").write_text(state + "\n")
        (folder / "carrier").write_text(carrier + "\n")
        if speed:
            (folder / "speed").write_text(speed + "\n")
    (root / "proc/net").mkdir(parents=True, exist_ok=True)
    (root / "proc/net/dev").write_text(NET_DEV.format(received=received, sent=sent))
    return root


def test_fabric_and_lan_are_shown_and_docker_noise_is_not(tmp_path: Path) -> None:
    networks = Networks(net_tree(tmp_path, 1000, 2000), SlowLane())
    networks.read(1.0)
    net_tree(tmp_path, 5000, 2500)
    rows = {row["name"]: row for row in networks.read(2.0)}
    assert list(rows) == ["enp1s0f0np0", "tailscale0", "wlP9s9"]
    assert rows["enp1s0f0np0"] == {
        "name": "enp1s0f0np0",
        "up": True,
        "speed_mbps": 200000,
        "receive_bytes_per_second": 4000,
        "transmit_bytes_per_second": 500,
        "why": {},
    }
    assert rows["wlP9s9"]["up"] is False
    assert rows["wlP9s9"]["why"] == {"speed_mbps": "unsupported"}
    assert rows["tailscale0"]["up"] is True
    networks.close()


def sensor(root: Path, path: str, name_file: str, name: str, **inputs: str) -> None:
    folder = root / path
    folder.mkdir(parents=True)
    (folder / name_file).write_text(name + "\n")
    for file, text in inputs.items():
        (folder / file).write_text(text + "\n")


def test_dgx_spark_tells_its_temperature_by_acpi_zones(tmp_path: Path) -> None:
    sensor(tmp_path, "sys/class/hwmon/hwmon0", "name", "acpitz", temp1_input="48300", temp2_input="51200")
    sensor(tmp_path, "sys/class/hwmon/hwmon1", "name", "nvme", temp1_input="70000")
    assert temperature_celsius(tmp_path) == 51.2


def test_cpu_sensor_comes_before_acpi(tmp_path: Path) -> None:
    sensor(tmp_path, "sys/class/hwmon/hwmon0", "name", "acpitz", temp1_input="27800")
    sensor(tmp_path, "sys/class/hwmon/hwmon3", "name", "k10temp", temp1_input="63125")
    assert temperature_celsius(tmp_path) == 63.125


def test_thermal_zone_serves_where_there_is_no_hwmon(tmp_path: Path) -> None:
    sensor(tmp_path, "sys/class/thermal/thermal_zone0", "type", "cpu-thermal", temp="44000")
    assert temperature_celsius(tmp_path) == 44.0


@pytest.mark.parametrize("text", ["0", "-274000", "200000", "", "nonsense"])
def test_reading_that_cannot_be_is_none(tmp_path: Path, text: str) -> None:
    sensor(tmp_path, "sys/class/hwmon/hwmon0", "name", "coretemp", temp1_input=text)
    assert temperature_celsius(tmp_path) is None


def test_whole_disks_are_counted_and_partitions_and_loops_are_not(tmp_path: Path) -> None:
    root = disk_tree(tmp_path, "28 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw\n", 1000, 5000)
    (root / "proc/diskstats").write_text(
        " 259 0 nvme0n1 90 5 1000 1500 20 7 2000 250 0 1750 1750 0 0 0 0 3 9\n"
        " 259 2 nvme0n1p2 10 0 500 1 20 0 500 1 0 1 1\n"
        "   7 0 loop0 10 0 500 1 20 0 500 1 0 1 1\n"
        " 254 0 vda 1 0 2 0 0 0 0 0 0 0 0\n"
    )
    disks = Disks(root, SlowLane())
    disks.read(1.0)
    disks.close()
    assert set(disks.counters) == {"nvme0n1", "vda"}
    assert disks.counters["nvme0n1"] == {
        "reads_completed": 90,
        "read_bytes": 512_000,
        "read_time_seconds": 1.5,
        "writes_completed": 20,
        "written_bytes": 1_024_000,
        "write_time_seconds": 0.25,
        "io_time_seconds": 1.75,
    }
