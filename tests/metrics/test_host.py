"""Host figures: formulas on recorded files, and this machine for real."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparkweb.adapters.host import Host, cpu_ticks_parse, host_stale, meminfo_parse, memory_figures
from sparkweb.adapters.host_sensors import sensors

KIB, GIB = 1024, 1024**3

# A DGX Spark with a model loaded and 60 GiB of page cache.
GB10_MEMINFO = b"""MemTotal:       127600000 kB
MemFree:         4100000 kB
MemAvailable:   66000000 kB
Buffers:          200000 kB
Cached:         61000000 kB
SwapTotal:      16777212 kB
SwapFree:       16000000 kB
HugePages_Total:       0
HugePages_Free:        0
Hugepagesize:       2048 kB
"""


class Clock:
    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now


def stat(*cores: tuple[int, int, int]) -> str:
    """/proc/stat for cores of (user, idle, iowait) ticks."""
    totals = [sum(column) for column in zip(*cores, strict=True)]
    lines = [f"cpu  {totals[0]} 0 0 {totals[1]} {totals[2]} 0 0 0 7 0"]
    lines += [f"cpu{n} {user} 0 0 {idle} {wait} 0 0 0 7 0" for n, (user, idle, wait) in enumerate(cores)]
    return "\n".join([*lines, "intr 12345 0 0", "ctxt 5", ""])


def machine(root: Path, *, meminfo: bytes = GB10_MEMINFO, cpu: str = stat((0, 0, 0), (0, 0, 0))) -> Path:
    files = {
        "proc/stat": cpu,
        "proc/loadavg": "0.52 1.25 2.00 3/812 4711\n",
        "proc/uptime": "90061.37 123.45\n",
        "proc/self/mountinfo": "",
        "proc/diskstats": "",
        "proc/net/dev": "Inter-|\n face |\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "proc/meminfo").write_bytes(meminfo)
    (root / "sys/class/net").mkdir(parents=True, exist_ok=True)
    return root


@pytest.fixture
def closing() -> Iterator[list[Host]]:
    hosts: list[Host] = []
    yield hosts
    for host in hosts:
        host.close()


def test_cpu_is_the_share_of_time_not_idle(tmp_path: Path, closing: list[Host]) -> None:
    host = Host(root=machine(tmp_path, cpu=stat((100, 100, 0), (100, 100, 0))))
    closing.append(host)
    first = host.read()
    assert (first["cpu_percent"], first["why"]["cpu_percent"], first["cpu_count"]) == (None, "stale", 2)
    # waiting for a disk is idle; guest time (the 7) is part of user already
    (tmp_path / "proc/stat").write_text(stat((175, 115, 10), (100, 200, 0)))
    second = host.read()
    assert second["cpu_percent"] == 37.5
    assert second["cpu_per_core_percent"] == [75.0, 0.0]
    assert "cpu_percent" not in second["why"]


def test_core_that_goes_offline_gives_no_nonsense(tmp_path: Path, closing: list[Host]) -> None:
    host = Host(root=machine(tmp_path, cpu=stat((100, 100, 0), (100, 100, 0))))
    closing.append(host)
    host.read()
    (tmp_path / "proc/stat").write_text(stat((150, 150, 0)))
    assert host.read()["why"]["cpu_percent"] == "stale"
    (tmp_path / "proc/stat").write_text(stat((200, 200, 0)))
    assert host.read()["cpu_percent"] == 50.0


def test_idle_ticks_that_run_backwards_stay_within_bounds(tmp_path: Path, closing: list[Host]) -> None:
    host = Host(root=machine(tmp_path, cpu=stat((100, 100, 0))))
    closing.append(host)
    host.read()
    (tmp_path / "proc/stat").write_text(stat((200, 99, 0)))
    assert host.read()["cpu_percent"] == 100.0


def test_parser_stops_at_the_interrupts() -> None:
    machine_wide, core = cpu_ticks_parse(stat((1, 2, 3)).encode())
    assert machine_wide == core
    assert sum(core) == 6


def test_page_cache_is_available_not_used() -> None:
    why: dict[str, str] = {}
    figures = memory_figures(meminfo_parse(GB10_MEMINFO), True, why)
    assert figures == {
        "memory_total_bytes": 127600000 * KIB,
        "memory_available_bytes": 66000000 * KIB,
        "memory_used_bytes": 61600000 * KIB,
        "memory_reclaimable_bytes": 61900000 * KIB,
        "memory_free_bytes": 4100000 * KIB,
        "swap_total_bytes": 16777212 * KIB,
        "swap_used_bytes": 777212 * KIB,
    }
    assert why == {}


@pytest.mark.parametrize(
    ("unified", "available_kib", "reason"), [(True, 40 * 2048, "estimated"), (False, 66000000, None)]
)
def test_huge_pages_count_where_cuda_allocates_from_them(
    unified: bool, available_kib: int, reason: str | None
) -> None:
    text = GB10_MEMINFO.replace(b"HugePages_Total:       0", b"HugePages_Total:     100").replace(
        b"HugePages_Free:        0", b"HugePages_Free:       40"
    )
    why: dict[str, str] = {}
    figures = memory_figures(meminfo_parse(text), unified, why)
    assert figures["memory_available_bytes"] == available_kib * KIB
    assert why.get("memory_available_bytes") == reason


def test_kernel_without_memavailable_says_unsupported() -> None:
    why: dict[str, str] = {}
    figures = memory_figures({"MemTotal": GIB, "MemFree": KIB}, False, why)
    assert figures["memory_used_bytes"] is None
    assert why["memory_available_bytes"] == "unsupported"


def test_reclaimable_is_never_negative() -> None:
    figures = memory_figures({"MemTotal": 100, "MemFree": 50, "MemAvailable": 45}, False, {})
    assert figures["memory_reclaimable_bytes"] == 0


def test_load_and_uptime(tmp_path: Path, closing: list[Host]) -> None:
    host = Host(root=machine(tmp_path))
    closing.append(host)
    row = host.read()
    assert row["load"] == [0.52, 1.25, 2.0]
    assert row["uptime_seconds"] == 90061
    assert row["hostname"] == os.uname().nodename


def test_stale_host_keeps_totals_and_names_and_drops_what_moves(closing: list[Host]) -> None:
    host = Host()
    closing.append(host)
    row = host.read()
    stale = host_stale(row)
    assert stale.keys() == row.keys()
    assert stale["memory_total_bytes"] == row["memory_total_bytes"]
    assert stale["memory_available_bytes"] is None
    assert stale["why"]["memory_available_bytes"] == "stale"
    assert all(disk["read_bytes_per_second"] is None for disk in stale["disks"])
    assert host_stale(None).keys() == row.keys()


def test_this_machine(closing: list[Host]) -> None:
    host = Host()
    closing.append(host)
    host.read()
    row = host.read()
    assert row["cpu_count"] == len(os.sched_getaffinity(0)) or row["cpu_count"] >= 1
    assert 0 < row["memory_available_bytes"] <= row["memory_total_bytes"]
    assert row["memory_used_bytes"] == row["memory_total_bytes"] - row["memory_available_bytes"]
    assert any(disk["mount"] == "/" and disk["total_bytes"] > 0 for disk in row["disks"])


def test_pressure_and_swap_traffic(tmp_path: Path, closing: list[Host]) -> None:
    root = machine(tmp_path)
    (root / "proc/pressure").mkdir()
    for name in ("cpu", "memory", "io"):
        full = "" if name == "cpu" else "full avg10=1.50 avg60=0.10 avg300=0.00 total=7\n"
        (root / "proc/pressure" / name).write_text(f"some avg10=12.25 avg60=1.0 avg300=0.1 total=9\n{full}")
    (root / "proc/vmstat").write_text("nr_free_pages 5\npswpin 10\npswpout 100\n")
    clock = Clock()
    closing.append(Host(root=root, clock=clock))
    first = closing[0].read()
    assert first["pressure"]["memory"] == {"some_percent": 12.25, "full_percent": 1.5}
    assert first["pressure"]["cpu"] == {"some_percent": 12.25, "full_percent": None}
    assert first["why"]["swap_in_bytes_per_second"] == "stale"
    clock.now += 2
    (root / "proc/vmstat").write_text("pswpin 10\npswpout 300\n")
    second = closing[0].read()
    page = os.sysconf("SC_PAGE_SIZE")
    assert (second["swap_in_bytes_per_second"], second["swap_out_bytes_per_second"]) == (0, 100 * page)


def test_kernel_without_pressure_says_unsupported(tmp_path: Path, closing: list[Host]) -> None:
    closing.append(Host(root=machine(tmp_path)))
    row = closing[0].read()
    assert (row["pressure"], row["why"]["pressure"]) == (None, "unsupported")
    assert (row["swap_in_bytes_per_second"], row["why"]["swap_in_bytes_per_second"]) == (None, "unsupported")


def test_every_sensor_is_named_and_nonsense_left_out(tmp_path: Path) -> None:
    for place, name, files in (
        ("hwmon/hwmon0", ("name", "acpitz"), {"temp1_input": "41500"}),
        ("hwmon/hwmon1", ("name", "nvme"), {"temp1_input": "38850", "temp1_label": "Composite"}),
        ("hwmon/hwmon3", ("name", "broken"), {"temp2_input": "x"}),
        ("hwmon/hwmon2", ("name", "ghost"), {"temp1_input": "-273150"}),
        ("thermal/thermal_zone3", ("type", "soc"), {"temp": "52000"}),
    ):  # fmt: skip
        folder = tmp_path / "sys/class" / place
        folder.mkdir(parents=True)
        (folder / name[0]).write_text(name[1])
        for file, text in files.items():
            (folder / file).write_text(text)
    assert sensors(tmp_path) == [
        {"name": "acpitz temp1", "celsius": 41.5},
        {"name": "nvme Composite", "celsius": 38.85},
        {"name": "soc zone3", "celsius": 52.0},
    ]


def test_sensors_without_end_are_cut(tmp_path: Path) -> None:
    folder = tmp_path / "sys/class/hwmon/hwmon0"
    folder.mkdir(parents=True)
    for number in range(100):
        (folder / f"temp{number}_input").write_text("40000")
    assert len(sensors(tmp_path)) == 32


def test_counters_since_boot(tmp_path: Path, closing: list[Host]) -> None:
    text = stat((100, 250, 50), (200, 300, 0)) + "btime 1795172000\n"
    host = Host(root=machine(tmp_path, cpu=text))
    closing.append(host)
    host.read()
    counters = host.counters
    tick = 1 / os.sysconf("SC_CLK_TCK")
    assert counters["cpu_seconds"][0] == [100 * tick, 0, 0, 250 * tick, 50 * tick, 0, 0, 0]
    assert len(counters["cpu_seconds"]) == 2
    assert (counters["booted_at"], counters["context_switches"]) == (1795172000, 5)
    assert counters["disks"] == counters["networks"] == {}
