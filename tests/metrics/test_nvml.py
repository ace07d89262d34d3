"""What each kind of NVIDIA machine answers, through the real pynvml and the stand-in library."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sparkweb.adapters.nvml import Nvml, Reading
from sparkweb.adapters.nvml.gpu import KnownGpu
from sparkweb.adapters.nvml.queries import QUERIES
from sparkweb.adapters.processes import Processes
from tests.support import nvml as standin
from tests.support.nvml import Control

GIB = 1024**3
FIGURES = [figure.name for query in QUERIES for figure in query.figures]
HOST_TOTAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session", autouse=True)
def library() -> None:
    # its soname is libnvidia-ml.so.1, so the loader hands it to pynvml afterwards
    ctypes.CDLL(str(standin.build() / "libnvidia-ml.so.1"))


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Control:
    made = Control(tmp_path / "control", "discrete")
    for name, value in made.variables.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def driver(control: Control, clock: Clock) -> Iterator[Callable[..., Nvml]]:
    opened: list[Nvml] = []

    def make(profile: str, pids: str = "", **options: object) -> Nvml:
        control.set(profile, pids)
        opened.append(Nvml(clock=clock, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for nvml in opened:
        nvml.close()


def read(nvml: Nvml) -> Reading:
    return nvml.read(HOST_TOTAL)


def test_discrete_card_gives_every_figure(driver: Callable[..., Nvml]) -> None:
    reading = read(driver("discrete"))
    assert reading.gpu == {
        "status": "ok",
        "message": None,
        "driver": "580.95.05",
        "cuda": "13.0",
        "unified_memory": False,
    }
    (gpu,) = reading.gpus
    assert gpu["why"] == {}
    assert all(gpu[name] is not None for name in FIGURES)
    assert gpu["memory_total_bytes"] == 24 * GIB
    assert gpu["power_limit_watts"] == 450  # NVML says milliwatts
    assert 60 <= gpu["power_watts"] <= 400


def test_gb10_shows_what_it_has_and_hides_the_rest(driver: Callable[..., Nvml]) -> None:
    reading = read(driver("gb10"))
    assert reading.gpu["unified_memory"] is True
    (gpu,) = reading.gpus
    hidden = {
        "memory_used_bytes",
        "memory_total_bytes",
        "memory_utilization_percent",
        "power_limit_watts",
        "clock_memory_mhz",
        "fan_percent",
        "ecc_corrected_total",
        "ecc_uncorrected_total",
        "mig_enabled",
    }
    assert gpu["why"] == dict.fromkeys(hidden, "unsupported")
    assert all(gpu[name] is None for name in hidden)
    assert all(gpu[name] is not None for name in FIGURES if name not in hidden)
    assert gpu["memory_held_bytes"] == 5 * GIB
    assert gpu["clock_sm_max_mhz"] == 3003


def test_unified_memory_is_recognised_when_the_memory_query_answers_with_the_hosts(
    driver: Callable[..., Nvml],
) -> None:
    reading = read(driver("uma_total"))
    assert reading.gpu["unified_memory"] is True
    assert reading.gpus[0]["memory_used_bytes"] is None
    assert reading.gpus[0]["memory_total_bytes"] is None


def test_card_as_large_as_the_hosts_memory_is_not_unified(driver: Callable[..., Nvml]) -> None:
    reading = driver("discrete").read(24 * GIB)
    assert reading.gpu["unified_memory"] is False
    assert reading.gpus[0]["memory_total_bytes"] == 24 * GIB


def test_two_cards_come_in_index_order(driver: Callable[..., Nvml]) -> None:
    gpus = read(driver("two")).gpus
    assert [gpu["index"] for gpu in gpus] == [0, 1]
    assert len({gpu["uuid"] for gpu in gpus}) == 2


def test_old_driver_is_asked_by_its_own_calls(driver: Callable[..., Nvml], clock: Clock) -> None:
    nvml = driver("legacy")
    first = read(nvml).gpus[0]
    assert first["temperature_celsius"] > 0
    assert first["memory_total_bytes"] == 24 * GIB
    assert first["why"] == {"energy_joules": "estimated"}
    clock.now += 10
    second = read(nvml).gpus[0]
    spent = second["energy_joules"] - first["energy_joules"]
    assert spent == pytest.approx(10 * second["power_watts"], abs=0.1)


def test_sentinels_are_not_figures(driver: Callable[..., Nvml]) -> None:
    gpu = read(driver("garbage")).gpus[0]
    assert all(gpu[name] is None for name in FIGURES)
    assert all(gpu["why"][name] == "unsupported" for name in FIGURES)
    assert gpu["memory_held_bytes"] is None
    assert gpu["name"] == "NVIDIA GPU"  # what it gave was not UTF-8


def test_failing_call_costs_its_own_figure_alone(driver: Callable[..., Nvml]) -> None:
    nvml = driver("flaky")
    seen: set[str] = set()
    missed: set[str] = set()
    for _ in range(30):
        gpu = read(nvml).gpus[0]
        missing = {name for name in FIGURES if gpu[name] is None}
        assert gpu["state"] == "ok"
        assert all(gpu["why"][name] == "stale" for name in missing)
        seen |= set(FIGURES) - missing
        missed |= missing
    assert missed > {"power_watts", "utilization_percent"}
    assert seen == set(FIGURES)


def test_lost_card_keeps_its_row_and_comes_back(
    driver: Callable[..., Nvml], control: Control, clock: Clock
) -> None:
    nvml = driver("two")
    before = read(nvml).gpus[1]
    control.set("lost")
    reading = read(nvml)
    assert [gpu["state"] for gpu in reading.gpus] == ["ok", "lost"]
    assert reading.gpus[1]["uuid"] == before["uuid"]
    assert reading.gpus[1]["power_watts"] is None
    assert reading.gpus[1]["why"]["power_watts"] == "stale"
    assert "GPU 1 (NVIDIA GeForce RTX 4090)" in reading.gpu["message"]
    control.set("two")
    assert read(nvml).gpus[1]["state"] == "lost"  # asked again only after a while
    clock.now += 31
    reading = read(nvml)
    assert reading.gpus[1]["state"] == "ok"
    assert reading.gpu["message"] is None


def test_card_that_is_not_even_counted_any_more_stays_as_lost(driver: Callable[..., Nvml]) -> None:
    known = [
        KnownGpu(0, "GPU-of-before", "NVIDIA RTX A6000"),
        KnownGpu(1, "GPU-5a17d0e5-0000-4000-8000-000000000000", "NVIDIA GeForce RTX 4090"),
    ]
    gpus = read(driver("discrete", known=known)).gpus
    assert [(gpu["index"], gpu["name"], gpu["state"]) for gpu in gpus] == [
        (0, "NVIDIA GeForce RTX 4090", "ok"),
        (1, "NVIDIA RTX A6000", "lost"),
    ]


def test_card_lost_before_the_first_reading_has_a_row(driver: Callable[..., Nvml]) -> None:
    gpus = read(driver("lost")).gpus
    assert [(gpu["index"], gpu["state"], gpu["uuid"] is None) for gpu in gpus] == [
        (0, "ok", False),
        (1, "lost", True),
    ]


@pytest.mark.parametrize(
    ("profile", "status", "words"),
    [
        ("none", "none", "not loaded"),
        ("nogpu", "none", "finds no GPU"),
        ("mismatch", "error", "driver was updated while the old one is loaded"),
    ],
)
def test_driver_that_cannot_be_used_says_why(
    driver: Callable[..., Nvml], profile: str, status: str, words: str
) -> None:
    reading = read(driver(profile))
    assert reading.gpu["status"] == status
    assert words in reading.gpu["message"]
    assert reading.gpus == []


def test_driver_is_opened_again_with_growing_pauses(
    driver: Callable[..., Nvml],
    control: Control,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = tmp_path / "trace"
    monkeypatch.setenv("NVML_STANDIN_TRACE", str(trace))
    nvml = driver("none")
    for _ in range(10):
        read(nvml)
        clock.now += 1
    assert trace.read_text().count("init") == 4  # at 0, 1, 3 and 7 s
    control.set("discrete")
    clock.now += 8
    assert read(nvml).gpu["status"] == "ok"


def test_driver_is_told_when_we_leave(
    driver: Callable[..., Nvml], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "trace"
    monkeypatch.setenv("NVML_STANDIN_TRACE", str(trace))
    nvml = driver("discrete")
    read(nvml)
    nvml.close()
    nvml.close()
    assert trace.read_text().split()[::2] == ["init", "shutdown"]


def test_machine_without_the_library_says_so() -> None:
    code = (
        "from sparkweb.adapters.nvml import Nvml; r = Nvml().read(1);"
        "print(r.gpu['status'], r.gpus, r.gpu['message'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert run.stdout.strip() == "none [] No NVIDIA driver on this machine"


class TestProcesses:
    def test_process_on_both_lists_counts_once(self, driver: Callable[..., Nvml]) -> None:
        gpu = read(driver("gb10", f"{os.getpid()}:{3 * GIB}")).gpus[0]
        assert [(row["pid"], row["memory_bytes"]) for row in gpu["processes"]] == [(os.getpid(), 3 * GIB)]
        assert gpu["memory_held_bytes"] == 3 * GIB
        assert gpu["processes"][0]["name"].startswith("py")

    def test_largest_comes_first(self, driver: Callable[..., Nvml]) -> None:
        gpu = read(driver("gb10", f"{os.getppid()}:{GIB},{os.getpid()}:{2 * GIB}")).gpus[0]
        assert [row["memory_bytes"] for row in gpu["processes"]] == [2 * GIB, GIB]

    def test_pid_that_does_not_live_is_dropped(self, driver: Callable[..., Nvml]) -> None:
        gpu = read(driver("gb10", f"4194303:{GIB}")).gpus[0]
        assert gpu["processes"] == []
        assert gpu["memory_held_bytes"] == 0

    def test_process_that_does_not_tell_makes_the_sum_estimated(self, driver: Callable[..., Nvml]) -> None:
        gpu = read(driver("gb10", f"{os.getpid()}:?,{os.getppid()}:{GIB}")).gpus[0]
        assert gpu["memory_held_bytes"] == GIB
        assert gpu["why"]["memory_held_bytes"] == "estimated"

    def test_no_process_holds_nothing(self, driver: Callable[..., Nvml]) -> None:
        gpu = read(driver("gb10", "-")).gpus[0]
        assert (gpu["processes"], gpu["memory_held_bytes"]) == ([], 0)

    def test_in_a_container_they_are_hidden_and_their_memory_counts(
        self, driver: Callable[..., Nvml], tmp_path: Path
    ) -> None:
        namespace = tmp_path / "proc" / "self" / "ns"
        namespace.mkdir(parents=True)
        (namespace / "pid").symlink_to("pid:[4026532201]")
        processes = Processes(tmp_path / "proc")
        gpu = read(driver("gb10", f"71:{GIB}", processes=processes)).gpus[0]
        assert gpu["why"]["processes"] == "hidden"
        assert gpu["memory_held_bytes"] == GIB
        assert gpu["processes"][0]["container_id"] is None

    def test_in_a_container_an_empty_list_is_not_zero(
        self, driver: Callable[..., Nvml], tmp_path: Path
    ) -> None:
        namespace = tmp_path / "proc" / "self" / "ns"
        namespace.mkdir(parents=True)
        (namespace / "pid").symlink_to("pid:[4026532201]")
        gpu = read(driver("gb10", "-", processes=Processes(tmp_path / "proc"))).gpus[0]
        assert gpu["memory_held_bytes"] is None
        assert gpu["why"]["memory_held_bytes"] == "hidden"


def test_reasons_for_a_low_clock_are_words(driver: Callable[..., Nvml], control: Control) -> None:
    nvml = driver("discrete")
    assert read(nvml).gpus[0]["throttle_reasons"] == []
    assert read(nvml).gpus[0]["performance_state"] == 2
    control.set("hot")
    assert read(nvml).gpus[0]["throttle_reasons"] == ["hardware_slowdown", "hardware_thermal"]


def test_memory_errors_and_division_are_told_where_they_exist(driver: Callable[..., Nvml]) -> None:
    gpu = read(driver("discrete")).gpus[0]
    assert (gpu["ecc_corrected_total"], gpu["ecc_uncorrected_total"], gpu["mig_enabled"]) == (3, 0, False)
    legacy = read(driver("legacy")).gpus[0]
    assert legacy["throttle_reasons"] == []  # by the older call
