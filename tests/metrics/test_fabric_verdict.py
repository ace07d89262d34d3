"""What iperf3 wrote (recorded with 3.12), and what a test of the fabric means."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from metrics_app.fabric.answers import answer_read
from metrics_app.fabric.iperf import client_figures, problem_of
from metrics_app.fabric.plan import Place, questions, rails_of, steps_of
from metrics_app.fabric.verdict import rails_read, together_gbits, verdict_of

RECORDED = Path(__file__).resolve().parents[1] / "support" / "iperf3"
NAMES = ("spark-1", "spark-2")
FIRST = Place("spark-1", ("192.168.100.10", "192.168.101.10"))
SECOND = Place("spark-2", ("192.168.100.11", "192.168.101.11"))
INTERFACES = {1: "enp1s0f0np0", 2: "enP2p1s0f0np0"}


def recorded(name: str) -> dict[str, Any]:
    return json.loads((RECORDED / f"{name}.json").read_text())  # type: ignore[no-any-return]


# iperf3 ---------------------------------------------------------------------------


def test_figures_of_a_run_are_those_that_came_through() -> None:
    figures = client_figures(recorded("sent"))
    assert figures["problem"] is None
    assert figures["bits_per_second"] == pytest.approx(9264396446.8)
    assert (figures["bytes"], figures["retransmits"]) == (1178337280, 2)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("refused", "refused"),
        ("timed_out", "timed_out"),
        ("source_missing", "address_missing"),
        ("listen_missing", "address_missing"),
    ],
)
def test_what_iperf3_complains_of_has_a_name(name: str, problem: str) -> None:
    figures = client_figures(recorded(name))
    assert figures == {"bits_per_second": None, "bytes": None, "retransmits": None, "problem": problem}


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        ("the server is busy running a test. try again later", "port_taken"),
        ("unable to connect to server: No route to host", "no_route"),
        ("over", "over"),
        ("something new", "something new"),
    ],
)
def test_other_complaints(error: str, problem: str) -> None:
    assert problem_of({"error": error}) == problem


@pytest.mark.parametrize("rate", [None, "fast", -1, float("nan"), float("inf"), 9.2e18, True])
def test_a_rate_that_cannot_be_is_none(rate: Any) -> None:
    figures = client_figures({"end": {"sum_received": {"bits_per_second": rate}}})
    assert (figures["bits_per_second"], figures["problem"]) == (None, "it told no figures")


# What nodes are asked, and what is kept of their answers ---------------------------


def test_echoes_then_each_rail_then_both() -> None:
    steps = steps_of(rails_of(FIRST, SECOND))
    assert [step["name"] for step in steps] == ["Echoes both ways", "Rail 1", "Rail 2", "Both rails at once"]
    asked = questions(steps[3], NAMES, port=5201, seconds=10, streams=4)
    assert asked["spark-2"]["rails"] == [
        {"rail": 1, "address": "192.168.100.11", "port": 5201},
        {"rail": 2, "address": "192.168.101.11", "port": 5202},
    ]
    assert asked["spark-1"]["rails"][1] == {
        "rail": 2,
        "source": "192.168.101.10",
        "target": "192.168.101.11",
        "port": 5202,
    }
    back = questions(steps[0], NAMES, port=5201, seconds=10, streams=4)["spark-2"]["rails"][0]
    assert (back["source"], back["target"]) == ("192.168.100.11", "192.168.100.10")


def test_a_rail_needs_an_address_at_both_ends() -> None:
    assert [rail["rail"] for rail in rails_of(FIRST, Place("spark-2", ("192.168.100.11", None)))] == [1]
    assert len(steps_of(rails_of(FIRST, Place("spark-2", ("192.168.100.11", None))))) == 2


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (None, {"rails": [], "carried": {}}),
        ({"rails": "x", "carried": [1]}, {"rails": [], "carried": {}}),
        (
            {"rails": [{"rail": 1, "mtu": "9000", "up": 1, "name": "e\0th0", "evil": {}}, 3]},
            {"rails": [{"rail": 1, "mtu": None, "up": None, "name": "eth0"}], "carried": {}},
        ),
        (
            {"rails": [{"bits_per_second": float("inf"), "sent": -1}], "carried": {"eth0": 5, "x": "y"}},
            {"rails": [{"bits_per_second": None, "sent": None}], "carried": {"eth0": 5}},
        ),
    ],
)
def test_an_answer_is_cut_down_to_what_is_known(told: Any, kept: dict[str, Any]) -> None:
    assert answer_read(told) == kept


# Verdicts -------------------------------------------------------------------------


def end(number: int, **fields: Any) -> dict[str, Any]:
    """One node's echoes on a rail of a healthy link."""
    healthy = {"rail": number, "name": INTERFACES[number], "up": True, "mtu": 9000, "speed_mbps": 200_000,
               "twin": None, "sent": 93, "received": 93, "milliseconds": 0.1, "problem": None,
               "large_came": True}  # fmt: skip
    return healthy | fields


def healthy(rails: int = 2, gbits: float = 100.0, together: float = 190.0) -> list[dict[str, Any]]:
    """The steps of a test in which nothing was wrong."""
    seconds = Place("spark-2", (SECOND.addresses[0], SECOND.addresses[1] if rails == 2 else None))
    steps = steps_of(rails_of(FIRST, seconds))
    numbers = [1, 2][:rails]
    steps[0]["answers"] = {name: {"rails": [end(number) for number in numbers]} for name in NAMES}
    for number in numbers:
        moved = {
            "rail": number,
            "bits_per_second": gbits * 1e9,
            "bytes": 1e11,
            "retransmits": 0,
            "problem": None,
        }
        steps[number]["answers"] = {
            "spark-1": {"rails": [moved], "carried": {INTERFACES[number]: 1e11, "enP7s7": 1e6}},
            "spark-2": {"rails": [{"rail": number, "problem": None}]},
        }
    if rails == 2:
        both = [{"rail": number, "bits_per_second": together * 1e9 / 2} for number in numbers]
        steps[3]["answers"] = {
            "spark-1": {"rails": both},
            "spark-2": {"rails": [{"rail": number, "problem": None} for number in numbers]},
        }
    return deepcopy(steps)


def sender(steps: list[dict[str, Any]], number: int) -> dict[str, Any]:
    return steps[number]["answers"]["spark-1"]["rails"][0]  # type: ignore[no-any-return]


def echoes(steps: list[dict[str, Any]], **fields: Any) -> None:
    """Change what both nodes' echoes found on rail 1."""
    for name in NAMES:
        steps[0]["answers"][name]["rails"][0].update(fields)


def failed(steps: list[dict[str, Any]], number: int, problem: str) -> None:
    sender(steps, number).update(bits_per_second=None, problem=problem)


def sick(cause: str) -> list[dict[str, Any]]:
    """The steps of a test that found this."""
    steps = healthy()
    if cause == "silent":
        del steps[2]["answers"]["spark-2"]
    elif cause == "iperf_missing":
        failed(steps, 1, "refused")
        steps[1]["answers"]["spark-2"]["rails"][0]["problem"] = "iperf_missing"
    elif cause == "address_missing":
        steps[0]["answers"]["spark-2"]["rails"][1]["name"] = None
    elif cause == "link_down":
        echoes(steps, up=False, received=0)
    elif cause == "no_answer":
        echoes(steps, received=0, problem="no answer")
        failed(steps, 1, "timed_out")
        failed(steps, 2, "timed_out")
    elif cause == "port_blocked":
        failed(steps, 1, "timed_out")
        failed(steps, 2, "timed_out")
    elif cause == "port_taken":
        failed(steps, 1, "timed_out")
        failed(steps, 2, "timed_out")
        steps[1]["answers"]["spark-2"]["rails"][0]["problem"] = "port_taken"
    elif cause == "failed":
        failed(steps, 1, "something new")
        failed(steps, 2, "something new")
    elif cause == "lan":
        steps[1]["answers"]["spark-1"]["carried"] = {INTERFACES[1]: 1e3, "enP7s7": 1e11}
    elif cause == "loss":
        echoes(steps, received=90)
    elif cause == "mtu_differs":
        echoes(steps, large_came=False)
    elif cause == "fault_13":
        steps = healthy(gbits=13.0, together=13.2)
    elif cause == "mtu_1500":
        steps = healthy(gbits=40.0)
        echoes(steps, mtu=1500)
    elif cause == "slow":
        steps = healthy(gbits=40.0)
    return steps


@pytest.mark.parametrize(
    ("cause", "tone", "words"),
    [
        ("silent", "bad", "spark-2 told nothing of the step “Rail 2”"),
        ("iperf_missing", "bad", "spark-2 has no iperf3"),
        ("address_missing", "bad", "No interface of spark-2 has its fabric address of rail 2"),
        ("link_down", "bad", "enp1s0f0np0 of spark-1 is down"),
        ("no_answer", "bad", "Nothing comes through on rail 1"),
        ("port_blocked", "bad", "Port blocked: echoes come back on rail 1"),
        ("port_taken", "bad", "Something else uses iperf3's port on spark-2"),
        ("failed", "bad", "iperf3 on spark-1 said: something new"),
        ("lan", "bad", "It falls to the LAN: what spark-1 sent over rail 1 went out by enP7s7"),
        ("loss", "bad", "6 of 186 echoes did not come back"),
        ("mtu_differs", "bad", "Packets of full size do not come through on rail 1"),
        ("fault_13", "bad", "The 13 Gbit/s fault: rail 1 moves 13.0 Gbit/s where 104 Gbit/s are usual"),
        ("mtu_1500", "warn", "MTU 1500: rail 1 moves 40 Gbit/s"),
        ("slow", "warn", "Slow: rail 1 moves 40 Gbit/s where 104 Gbit/s are usual"),
        ("ok", "good", "100 Gbit/s over rail 1, 100 Gbit/s over rail 2, 190 Gbit/s over both at once"),
    ],
)
def test_the_verdict_names_the_cause(cause: str, tone: str, words: str) -> None:
    verdict = verdict_of(sick(cause), NAMES)
    assert (verdict.cause, verdict.tone) == (cause, tone)
    assert words in verdict.sentence


def test_one_rail_that_is_dead() -> None:
    steps = healthy()
    failed(steps, 2, "timed_out")
    verdict = verdict_of(steps, NAMES)
    assert (verdict.cause, verdict.gbits) == ("one_rail", 190.0)
    assert verdict.sentence == (
        "One rail only: rail 1 moves 100 Gbit/s, rail 2 nothing (connections get no answer)."
    )


def test_one_rail_that_carries_both() -> None:
    steps = healthy()
    steps[2]["answers"]["spark-1"]["carried"] = {INTERFACES[1]: 1e11}
    verdict = verdict_of(steps, NAMES)
    assert verdict.cause == "one_rail"
    assert "went out by enp1s0f0np0, not by enP2p1s0f0np0" in verdict.sentence


def test_both_at_once_are_no_more_than_one() -> None:
    verdict = verdict_of(healthy(together=101.0), NAMES)
    assert (verdict.tone, verdict.cause) == ("warn", "one_rail")


def test_one_rail_whose_other_half_has_no_address() -> None:
    steps = healthy(rails=1)
    assert verdict_of(steps, NAMES).cause == "ok"
    echoes(steps, twin="enP2p1s0f0np0")
    verdict = verdict_of(steps, NAMES)
    assert (verdict.tone, verdict.cause) == ("warn", "one_rail")
    assert "over one rail only" in verdict.sentence


def test_a_slower_link_is_held_to_its_own_speed() -> None:
    steps = healthy(rails=1, gbits=9.0)
    echoes(steps, speed_mbps=10_000)
    assert verdict_of(steps, NAMES).cause == "ok"


def test_agents_that_may_not_send_echoes_say_nothing_about_the_link() -> None:
    steps = healthy()
    echoes(
        steps, sent=0, received=0, problem="this agent may not send ICMP; allow its group", large_came=None
    )
    assert verdict_of(steps, NAMES).cause == "ok"


def test_rates_of_a_test_that_ended_early() -> None:
    steps = sick("silent")
    steps[3]["answers"] = {}
    assert [rail.gbits for rail in rails_read(steps, NAMES)] == [100.0, 100.0]
    assert together_gbits(steps, NAMES) is None
