"""Verdicts in words: what begins them, what does not, and when they are over."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import orjson
import pytest

from metrics_app.verdicts.stragglers import Group
from tests.support import frames
from tests.support.verdict_data import Played, card, judged, machine, report

GIB = 2**30
WEDGED = {"utilization_percent": 96, "clock_sm_mhz": 507, "power_watts": 15.2, "temperature_celsius": 44}
STALLED = {
    "cpu": {"some_percent": 3.0, "full_percent": None},
    "memory": {"some_percent": 31.0, "full_percent": 12.0},
    "io": {"some_percent": 2.0, "full_percent": 1.0},
}
ON_DISK = {**STALLED, "memory": {"some_percent": 0.0, "full_percent": 0.0}, "io": {"full_percent": 80.0}}


def disk(used_gib: float, free_gib: float, mount: str = "/") -> dict[str, Any]:
    total = int((used_gib + free_gib) * GIB)
    return {
        "mount": mount,
        "total_bytes": total,
        "used_bytes": int(used_gib * GIB),
        "free_bytes": total - int(used_gib * GIB),
    }


def process(pid: int, gib: float, container: str | None) -> dict[str, Any]:
    return {"pid": pid, "name": f"worker{pid}", "memory_bytes": int(gib * GIB), "container_id": container}


@pytest.mark.parametrize(
    ("made", "kinds"),
    [
        (report(), set()),
        (report(gpus=[], gpu={"status": "none"}), set()),
        (frames.report("two"), set()),
        (card(**WEDGED), {"gpu_wedge"}),
        (card(**WEDGED, clock_sm_max_mhz=None), {"gpu_wedge"}),
        (card(**(WEDGED | {"power_watts": None})), {"gpu_wedge"}),
        (card(**(WEDGED | {"utilization_percent": 4})), set()),  # idle cards rest at low clocks
        (card(**(WEDGED | {"power_watts": 71.0})), set()),
        (card(**(WEDGED | {"clock_sm_mhz": 1_600})), set()),
        (card(**(WEDGED | {"clock_sm_mhz": None})), set()),
        (card(**(WEDGED | {"clock_sm_mhz": 800, "clock_sm_max_mhz": 1_380})), set()),  # a slow card at work
        (card(**WEDGED, throttle_reasons=["hardware_thermal"]), {"gpu_throttled"}),
        (card(throttle_reasons=["software_thermal"]), {"gpu_throttled"}),
        (card(throttle_reasons=["power_brake", "hardware_slowdown"]), {"gpu_throttled"}),
        (card(throttle_reasons=["idle", "application_clocks"]), set()),
        (card(throttle_reasons=None, temperature_celsius=93, clock_sm_mhz=1_700), {"gpu_throttled"}),
        (card(throttle_reasons=[], temperature_celsius=93, clock_sm_mhz=1_700), set()),
        (machine(pressure=STALLED), {"memory_pressure"}),
        (machine(swap_out_bytes_per_second=90_000_000), {"memory_pressure"}),
        (machine(pressure=None, swap_in_bytes_per_second=None), set()),
        (machine(pressure=ON_DISK), {"io_pressure"}),
        (machine(disks=[disk(960, 40)]), {"disk_full"}),
        (machine(disks=[disk(940, 60)]), set()),
        (machine(disks=[disk(0, 0)]), set()),
        (report(sampler={"cost_cpu_percent": 31.0, "late_seconds": 0.0}), {"sampler_cost"}),
        (report(sampler=None), set()),
    ],
)
def test_a_steady_state_for_two_minutes(made: dict[str, Any], kinds: set[str]) -> None:
    played = Played()
    played.play(130, spark=made)
    assert played.kinds() == kinds


@pytest.mark.parametrize(
    ("reasons", "severity", "cause"),
    [
        (["hardware_slowdown", "hardware_thermal"], "warning", "heat"),
        (["power_brake"], "warning", "its power supply"),
        (["hardware_slowdown"], "warning", "the hardware"),
        (["power_cap"], "info", "its power limit"),
    ],
)
def test_a_throttle_names_its_cause(reasons: list[str], severity: str, cause: str) -> None:
    (verdict,) = judged(card(throttle_reasons=reasons), now=0)["found"]
    assert verdict["severity"] == severity
    assert verdict["title"] == f"GPU 0 is held back by {cause}"


def test_a_wedge_begins_after_twenty_seconds_with_its_evidence() -> None:
    played = Played()
    played.play(60, spark=report())
    played.play(20, spark=card(**WEDGED))
    assert played.kinds() == set()
    played.play(1, spark=card(**WEDGED))
    (verdict,) = played.told["spark"]["found"]
    assert verdict["title"] == "GPU 0 is stuck at 507 MHz"
    assert "96 % busy" in verdict["sentence"]
    assert [row["words"] for row in verdict["evidence"]] == ["96 %", "507 MHz", "3003 MHz", "15.2 W", "44 °C"]
    assert (verdict["severity"], verdict["subject"]) == ("critical", "0")


def test_a_figure_that_swings_around_its_threshold_makes_no_verdict_and_ends_none() -> None:
    played = Played()
    swing = [card(**WEDGED), card(**(WEDGED | {"utilization_percent": 78}))]
    played.play(120, spark=lambda second: swing[second % 2])
    assert played.kinds() == set()
    played.play(25, spark=swing[0])
    played.play(120, spark=lambda second: swing[second % 2])
    assert played.kinds() == {"gpu_wedge"}
    assert len(played.bench.changes) == 1


def test_memory_that_falls_is_told_with_the_seconds_left() -> None:
    played = Played()

    def falling(second: int) -> dict[str, Any]:
        return machine(memory_available_bytes=(70 - second) * GIB)

    told = played.play(20, spark=falling)
    (verdict,) = told["found"]
    assert told["exhausted_in_seconds"] == 51
    assert verdict["title"] == "Memory runs out in 51 s"
    assert verdict["severity"] == "warning"
    told = played.play(1, spark=falling(55))
    assert told["found"][0]["kind"] == "memory_exhaustion"


@pytest.mark.parametrize("per_second", [0, 5_000_000, -GIB])
def test_memory_that_hardly_falls_or_grows_is_no_exhaustion(per_second: int) -> None:
    played = Played()
    told = played.play(60, spark=lambda second: machine(memory_available_bytes=GIB * 4 - second * per_second))
    assert told["exhausted_in_seconds"] is None
    assert played.kinds() == set()


def test_one_large_allocation_exhausts_nothing() -> None:
    played = Played()
    played.play(30, spark=machine(memory_available_bytes=100 * GIB))
    for _ in range(60):
        played.play(1, spark=machine(memory_available_bytes=40 * GIB))
        assert played.kinds() == set()
    assert played.told["spark"]["exhausted_in_seconds"] is None


def test_nothing_is_said_across_a_silence() -> None:
    played = Played()
    played.play(15, spark=machine(memory_available_bytes=100 * GIB))
    played.now += 600
    told = played.play(8, spark=machine(memory_available_bytes=10 * GIB))
    assert told["exhausted_in_seconds"] is None


def test_a_disk_that_fills_is_told_before_it_is_full() -> None:
    played = Played()

    def filling(second: int) -> dict[str, Any]:
        return machine(disks=[disk(500 + second / 60, 60 - second / 60, "/data"), disk(10, 90)])

    told = played.play(480, spark=filling)
    (verdict,) = told["found"]
    assert (verdict["kind"], verdict["subject"], verdict["severity"]) == ("disk_filling", "/data", "warning")
    assert verdict["title"] == "/data is full in 52 min"
    played.play(600 + 130, spark=machine(disks=[disk(508, 52, "/data"), disk(10, 90)]))
    assert played.kinds() == set()


def test_memory_of_a_container_that_is_gone_is_orphaned_after_a_minute() -> None:
    made = report(gpus=[frames.gb10() | {"processes": [process(9, 40, "d" * 64)]}])
    played = Played()
    played.play(60, spark=made)
    assert played.kinds() == set()
    told = played.play(2, spark=made)
    (verdict,) = told["found"]
    assert verdict["title"] == "40.0 GiB of GPU memory orphaned"
    assert "worker9 (pid 9)" in verdict["sentence"]


@pytest.mark.parametrize("status", ["down", "denied", "missing"])
def test_nothing_is_orphaned_while_docker_is_away(status: str) -> None:
    made = report(gpus=[frames.gb10() | {"processes": [process(9, 40, "d" * 64), process(10, 9, None)]}])
    made["agent"] = {"docker": {"status": status}}
    played = Played()
    played.play(200, spark=made)
    assert played.kinds() == set()
    made["agent"], made["containers"] = {"docker": {"status": "ok"}}, None
    played.play(200, spark=made)
    assert played.kinds() == set()


@pytest.mark.parametrize(
    ("processes", "launches", "subjects"),
    [
        ([process(9, 40, frames.VLLM_CONTAINER)], [], set()),
        ([process(9, 40, "c" * 64)], [], {"gone"}),  # it has ended
        ([process(9, 1, None)], [], set()),  # a desktop
        ([process(9, 40, None)], [], {"outside"}),
        ([process(9, 40, None)], [{"kind": "script"}], set()),  # it may be the script's
        ([process(9, 40, None), process(10, 3, "d" * 64)], [], {"outside", "gone"}),
    ],
)
def test_who_claims_what(processes: list[Any], launches: list[Any], subjects: set[str]) -> None:
    made = report(gpus=[frames.gb10() | {"processes": processes}], launches=launches)
    assert {one["subject"] for one in judged(made, now=0)["found"]} == subjects


def test_hidden_processes_are_nobodys_orphans() -> None:
    made = card(processes=[process(9, 40, "d" * 64)], why={"processes": "hidden"})
    assert judged(made, now=0)["found"] == []


def test_a_straggler_is_named_on_the_node_that_waits() -> None:
    played = Played([Group("qwen3", ("one", "two"))])
    played.play(70, one=card(utilization_percent=97), two=card(utilization_percent=12))
    assert played.kinds("one") == set()
    (verdict,) = played.told["two"]["found"]
    assert verdict["title"] == "qwen3 works on one and waits on two"
    assert [row["words"] for row in verdict["evidence"]] == ["97 %", "12 %"]
    played.play(120, one=card(utilization_percent=97), two=card(utilization_percent=90))
    assert played.kinds("two") == set()


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"utilization_percent": 97}, {"utilization_percent": 80}),
        ({"utilization_percent": 30}, {"utilization_percent": 0}),  # little to do
        ({"utilization_percent": 97}, {"utilization_percent": None}),
    ],
)
def test_members_that_are_alike_or_not_told_are_no_stragglers(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    played = Played([Group("qwen3", ("one", "two"))])
    played.play(200, one=card(**one), two=card(**two))
    assert played.kinds("one") | played.kinds("two") == set()


def test_a_member_that_does_not_report_is_no_straggler() -> None:
    played = Played([Group("qwen3", ("one", "two"))])
    played.play(100, one=card(utilization_percent=97))
    assert played.kinds("one") == set()


def test_the_ledger_of_unified_memory_adds_up_to_what_is_used() -> None:
    memory = judged(report(), now=0, model="qwen3")["memory"]
    rows = {row["name"]: row for row in memory["rows"]}
    assert rows["qwen3"]["kind"] == "model"
    assert rows["qwen3"]["gpu_bytes"] == int(46.2 * GIB) - GIB
    assert rows["Processes of the host, on the GPU"]["gpu_bytes"] == GIB
    assert "old-experiment" not in rows
    total = sum(row["gpu_bytes"] + row["memory_bytes"] for row in memory["rows"])
    assert total == pytest.approx(memory["used_bytes"], abs=10)
    assert memory["headroom_bytes"] + memory["used_bytes"] == memory["total_bytes"]


def test_the_ledger_of_cards_keeps_their_memory_apart() -> None:
    memory = judged(frames.report("two"), now=0)["memory"]
    own = sum(row["memory_bytes"] for row in memory["rows"])
    assert own == pytest.approx(memory["used_bytes"], abs=10)
    assert sum(row["gpu_bytes"] for row in memory["rows"]) == 36 * GIB
    assert memory["unified"] is False


def test_the_ledger_says_null_where_nothing_is_told() -> None:
    memory = judged(report(host=None, containers=None, gpus=[]), now=0)["memory"]
    assert memory["rows"] == []
    assert memory["total_bytes"] is memory["used_bytes"] is memory["headroom_bytes"] is None


def test_many_containers_become_one_row() -> None:
    many = [
        {"id": f"{n:064x}", "name": f"box{n}", "state": "running", "memory_bytes": n * 10**6}
        for n in range(40)
    ]
    rows = judged(report(containers=many, gpus=[]), now=0)["memory"]["rows"]
    assert [row["name"] for row in rows] == [
        *(f"box{n}" for n in range(39, 31, -1)), "32 more containers", "Everything else on the machine",
    ]  # fmt: skip


ODD = [None, True, "x", -1, 9.2e18, float("nan"), float("inf"), [], {}, [1], ["x"], {"a": 1}, 2**70]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("key", ["host", "gpu", "gpus", "containers", "launches", "sampler", "agent"])
def test_a_report_of_any_shape_is_judged(key: str, odd: Any) -> None:
    orjson.dumps(judged(report(**{key: odd}), now=0, seconds=12))


@pytest.mark.parametrize("odd", ODD)
def test_odd_figures_mean_nothing(odd: Any) -> None:
    names = (
        "utilization_percent",
        "clock_sm_mhz",
        "power_watts",
        "throttle_reasons",
        "processes",
        "why",
        "index",
    )
    for name in names:
        orjson.dumps(judged(card(**{name: odd}), now=0, seconds=12))
    for name in (
        "memory_available_bytes",
        "memory_total_bytes",
        "disks",
        "pressure",
        "swap_in_bytes_per_second",
    ):
        orjson.dumps(judged(machine(**{name: odd}), now=0, seconds=12))


@pytest.mark.parametrize("seed", range(8))
def test_no_verdict_begins_twice_or_ends_without_having_begun(seed: int) -> None:
    chance = random.Random(seed)
    made = [report(), card(**WEDGED), machine(pressure=STALLED), machine(disks=[disk(960, 40)])]
    made += [card(throttle_reasons=["hardware_thermal"]), machine(pressure=ON_DISK)]
    played = Played()
    for _ in range(40):
        played.play(chance.randrange(1, 60), spark=chance.choice(made))
    standing: Counter[tuple[str, str]] = Counter()
    for change in played.bench.changes:
        place = (change.finding.kind, change.finding.subject)
        standing[place] += 1 if change.begun else -1
        assert standing[place] in (0, 1)
    assert {place for place, count in standing.items() if count} == played.bench.active("spark")
