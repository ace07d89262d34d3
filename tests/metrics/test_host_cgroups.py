"""Containers' CPU and memory from control groups: recorded trees of both versions, and this machine's own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparkweb.adapters.cgroups import IO_KEYS, ContainerCgroups, container_id_of, container_id_read

ID = "3f" * 32
OTHER = "a0" * 32
MIB = 1024**2
HOST_TOTAL = 16 * 1024 * MIB
ALL = ("cpu_percent", "memory_bytes", *IO_KEYS, "pids")

V2_MOUNTS = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = (
    "31 23 0:27 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"
    "32 31 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "34 31 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


class Tree:
    """A recorded machine with one container, whose figures a test may change."""

    def __init__(self, root: Path, mounts: str, membership: str) -> None:
        self.root = root
        self.write("proc/self/mountinfo", mounts)
        self.write("proc/meminfo", f"MemTotal:       {HOST_TOTAL // 1024} kB\nMemFree: 1 kB\n")
        self.write("proc/7/cgroup", membership)

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def v2(self, place: str, *, cpu_us: int, memory: int, inactive: int) -> None:
        folder = f"sys/fs/cgroup/{place}"
        self.write(f"{folder}/cpu.stat", f"usage_usec {cpu_us}\nuser_usec 1\nsystem_usec 1\n")
        self.write(f"{folder}/memory.current", f"{memory}\n")
        self.write(f"{folder}/memory.stat", f"anon 1\nfile 2\ninactive_file {inactive}\n")

    def v1(self, place: str, *, cpu_ns: int, memory: int, inactive: int) -> None:
        self.write(f"sys/fs/cgroup/cpu,cpuacct/{place}/cpuacct.usage", f"{cpu_ns}\n")
        folder = f"sys/fs/cgroup/memory/{place}"
        self.write(f"{folder}/memory.usage_in_bytes", f"{memory}\n")
        self.write(f"{folder}/memory.stat", f"inactive_file 5\ntotal_inactive_file {inactive}\n")


@pytest.mark.parametrize(
    "line",
    [
        f"0::/system.slice/docker-{ID}.scope",
        f"0::/docker/{ID}",
        f"0::/../../docker/{ID}",
        f"12:memory:/docker/{ID}",
        f"4:cpuset:/\n3:memory:/system.slice/docker-{ID}.scope\n",
        f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container",
        f"0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-{ID}.scope",
        f"0::/docker/{ID}/docker/{OTHER}",
    ],
)
def test_container_id_is_found_wherever_it_stands(line: str) -> None:
    assert container_id_of(line) == ID


@pytest.mark.parametrize("line", ["0::/", "0::/init.scope", f"0::/x/{ID}0", f"0::/x/{ID[:-1]}", ""])
def test_process_of_the_host_has_none(line: str) -> None:
    assert container_id_of(line) is None


def test_this_process_and_a_dead_one() -> None:
    assert container_id_read(4194303) is None
    container_id_read(os.getpid())  # on whatever machine this is, it does not raise


@pytest.mark.parametrize(
    ("membership", "place"),
    [
        (f"0::/system.slice/docker-{ID}.scope\n", f"system.slice/docker-{ID}.scope"),
        (f"0::/docker/{ID}\n", f"docker/{ID}"),
        (f"0::/docker/{ID}/init.scope\n", f"docker/{ID}"),
        (f"0::/../docker/{ID}\n", f"docker/{ID}"),
    ],
)
def test_version_2(tmp_path: Path, membership: str, place: str) -> None:
    tree = Tree(tmp_path, V2_MOUNTS, membership)
    tree.v2(place, cpu_us=10_000_000, memory=900 * MIB, inactive=100 * MIB)
    clock = Clock()
    groups = ContainerCgroups(tmp_path, clock)
    first = groups.figures(ID, 7)
    assert (first["cpu_percent"], first["memory_bytes"]) == (None, 800 * MIB)
    assert first["why"]["cpu_percent"] == "stale"
    clock.now += 2
    tree.v2(place, cpu_us=13_000_000, memory=700 * MIB, inactive=0)
    second = groups.figures(ID, 7)
    assert (second["cpu_percent"], second["memory_bytes"]) == (150.0, 700 * MIB)
    assert second["why"] == {**dict.fromkeys(IO_KEYS, "unsupported"), "pids": "unsupported"}


def test_version_1_beside_an_empty_unified_hierarchy(tmp_path: Path) -> None:
    membership = f"9:name=systemd:/docker/{ID}\n4:memory:/docker/{ID}\n2:cpu,cpuacct:/docker/{ID}\n0::/\n"
    tree = Tree(tmp_path, V1_MOUNTS, membership)
    tree.v1(f"docker/{ID}", cpu_ns=5_000_000_000, memory=300 * MIB, inactive=100 * MIB)
    clock = Clock()
    groups = ContainerCgroups(tmp_path, clock)
    assert groups.figures(ID, 7)["memory_bytes"] == 200 * MIB
    clock.now += 1
    tree.v1(f"docker/{ID}", cpu_ns=5_250_000_000, memory=300 * MIB, inactive=100 * MIB)
    assert groups.figures(ID, 7)["cpu_percent"] == 25.0


def test_without_a_pid_the_usual_places_are_tried(tmp_path: Path) -> None:
    tree = Tree(tmp_path, V2_MOUNTS, "0::/\n")
    tree.v2(f"system.slice/docker-{ID}.scope", cpu_us=1, memory=5 * MIB, inactive=0)
    assert ContainerCgroups(tmp_path).figures(ID, None)["memory_bytes"] == 5 * MIB


def test_container_that_cannot_be_seen_is_hidden(tmp_path: Path) -> None:
    Tree(tmp_path, V2_MOUNTS, "0::/\n")
    figures = ContainerCgroups(tmp_path).figures(ID, 12345)
    assert figures["why"] == dict.fromkeys(ALL, "hidden")


def test_container_that_went_away_is_stale_and_may_return(tmp_path: Path) -> None:
    tree = Tree(tmp_path, V2_MOUNTS, f"0::/docker/{ID}\n")
    tree.v2(f"docker/{ID}", cpu_us=1, memory=MIB, inactive=0)
    clock = Clock()
    groups = ContainerCgroups(tmp_path, clock)
    groups.figures(ID, 7)
    clock.now += 1
    (tmp_path / f"sys/fs/cgroup/docker/{ID}/memory.current").unlink()
    assert groups.figures(ID, 7)["why"] == dict.fromkeys(ALL, "stale")
    tree.v2(f"docker/{ID}", cpu_us=1, memory=2 * MIB, inactive=0)
    assert groups.figures(ID, 7)["memory_bytes"] == 2 * MIB


def test_counter_that_went_back_gives_no_rate(tmp_path: Path) -> None:
    tree = Tree(tmp_path, V2_MOUNTS, f"0::/docker/{ID}\n")
    tree.v2(f"docker/{ID}", cpu_us=9_000_000, memory=MIB, inactive=0)
    clock = Clock()
    groups = ContainerCgroups(tmp_path, clock)
    groups.figures(ID, 7)
    clock.now += 1
    tree.v2(f"docker/{ID}", cpu_us=1_000, memory=MIB, inactive=0)
    assert groups.figures(ID, 7)["cpu_percent"] is None


def test_two_callers_in_one_instant_see_the_same_percentage(tmp_path: Path) -> None:
    tree = Tree(tmp_path, V2_MOUNTS, f"0::/docker/{ID}\n")
    tree.v2(f"docker/{ID}", cpu_us=0, memory=MIB, inactive=0)
    clock = Clock()
    groups = ContainerCgroups(tmp_path, clock)
    groups.figures(ID, 7)
    clock.now += 1
    tree.v2(f"docker/{ID}", cpu_us=500_000, memory=MIB, inactive=0)
    assert [groups.figures(ID, 7)["cpu_percent"] for _ in range(2)] == [50.0, 50.0]


def test_memory_never_exceeds_the_hosts(tmp_path: Path) -> None:
    tree = Tree(tmp_path, V2_MOUNTS, f"0::/docker/{ID}\n")
    tree.v2(f"docker/{ID}", cpu_us=0, memory=2**63 - 4096, inactive=0)
    assert ContainerCgroups(tmp_path).figures(ID, 7)["memory_bytes"] == HOST_TOTAL


def test_group_without_a_memory_controller_still_shows_its_cpu(tmp_path: Path) -> None:
    tree = Tree(tmp_path, V2_MOUNTS, f"0::/docker/{ID}\n")
    tree.write(f"sys/fs/cgroup/docker/{ID}/cpu.stat", "usage_usec 1\n")
    assert ContainerCgroups(tmp_path).figures(ID, 7)["why"]["memory_bytes"] == "unsupported"


@pytest.mark.parametrize(
    ("mounts", "membership", "folder", "io_file", "before", "after"),
    [
        (
            V2_MOUNTS, f"0::/docker/{ID}\n", "", "io.stat",
            "254:0 rbytes=1000 wbytes=50 rios=1 wios=1 dbytes=0 dios=0\n",
            "254:0 rbytes=3000 wbytes=50 rios=1 wios=1\n254:16 rbytes=500 wbytes=100 rios=1\n",
        ),
        (
            V1_MOUNTS + "35 31 0:31 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n"
            "36 31 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
            f"5:blkio:/docker/{ID}\n4:memory:/docker/{ID}\n3:pids:/docker/{ID}\n2:cpu,cpuacct:/docker/{ID}\n",
            "blkio", "blkio.throttle.io_service_bytes",
            "254:0 Read 1000\n254:0 Write 50\n254:0 Total 1050\nTotal 1050\n",
            "254:0 Read 3500\n254:0 Write 150\n254:0 Async 9\nTotal 3650\n",
        ),
    ],
    ids=["v2", "v1"],
)  # fmt: skip
def test_io_and_tasks(
    tmp_path: Path, mounts: str, membership: str, folder: str, io_file: str, before: str, after: str
) -> None:
    tree = Tree(tmp_path, mounts, membership)
    if folder:
        tree.v1(f"docker/{ID}", cpu_ns=1, memory=MIB, inactive=0)
    else:
        tree.v2(f"docker/{ID}", cpu_us=1, memory=MIB, inactive=0)
    base = "sys/fs/cgroup"
    tree.write(f"{base}/{folder}/docker/{ID}/{io_file}", before)
    tree.write(f"{base}/{'pids' if folder else ''}/docker/{ID}/pids.current", "12\n")
    clock = Clock()
    groups = ContainerCgroups(tmp_path, clock)
    first = groups.figures(ID, 7)
    assert (first[IO_KEYS[0]], first["why"][IO_KEYS[0]], first["pids"]) == (None, "stale", 12)
    clock.now += 2
    tree.write(f"{base}/{folder}/docker/{ID}/{io_file}", after)
    assert [groups.figures(ID, 7)[key] for key in IO_KEYS] == [1250, 50]
    clock.now += 2
    tree.write(f"{base}/{folder}/docker/{ID}/{io_file}", before)
    assert [groups.figures(ID, 7)[key] for key in IO_KEYS] == [None, None]


@pytest.fixture
def real_group() -> Iterator[str]:
    """A control group on this machine, named as Docker names a container's."""
    container_id = secrets.token_hex(32)
    hierarchies = [
        Path(f"/sys/fs/cgroup/{controller}/docker/{container_id}") for controller in ("cpuacct", "memory")
    ]
    if not hierarchies[1].parent.parent.exists():
        hierarchies = [Path(f"/sys/fs/cgroup/docker/{container_id}")]
    try:
        for place in hierarchies:
            place.mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"this user may not make control groups: {error}")
    yield container_id
    for place in hierarchies:
        place.rmdir()


def test_group_of_this_machines_own_kernel(real_group: str) -> None:
    figures = ContainerCgroups().figures(real_group, None)
    assert figures["memory_bytes"] == 0
    assert figures["why"]["cpu_percent"] == "stale"
    assert "memory_bytes" not in figures["why"]
