"""What a test of the fabric means, in words that name the cause. Pure.

Sources for DGX Spark: one port is two PCIe functions of about 100 Gbit/s each
(NVIDIA/dgx-spark-playbooks issue 102); an adapter that came up badly reports
200 Gbit/s and moves 8 to 25 (pull request 108).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

REFERENCE_GBITS = 104.0
"""What one rail moved earlier with four streams; shown beside each figure."""

GOOD_SHARE = 0.75
BADLY_UP_GBITS = (8.0, 25.0)
FAST_ENOUGH_FOR_THAT = 50.0
TOGETHER_AT_LEAST = 1.2
LOST_MOST = 1
JUMBO_BYTES = 4000
JUDGED_FROM_BYTES = 10e6


@dataclass(frozen=True)
class Verdict:
    """`tone`: good, warn or bad; `cause` a word for programs; `gbits` the most that was moved, Gbit/s."""

    tone: str
    cause: str
    sentence: str
    gbits: float | None


@dataclass(frozen=True)
class Rail:
    """What was found out about one rail: ends of both nodes, then what moved over it alone."""

    number: int
    ends: tuple[tuple[str, Mapping[str, Any]], ...]
    gbits: float | None
    problem: str | None
    server_problem: str | None
    carried: Mapping[str, float]

    @property
    def name(self) -> str:
        return f"rail {self.number}"

    @property
    def interface(self) -> str:
        """The sender's interface that has the rail's address."""
        return str(self.ends[0][1].get("name"))

    @property
    def sent(self) -> int:
        return sum(int(end.get("sent") or 0) for _, end in self.ends)

    @property
    def received(self) -> int:
        return sum(int(end.get("received") or 0) for _, end in self.ends)

    @property
    def mtus(self) -> list[int]:
        return [int(end["mtu"]) for _, end in self.ends if end.get("mtu")]

    @property
    def expected_gbits(self) -> float:
        """What it should move: the reference, less where the link itself is slower."""
        speeds = [end["speed_mbps"] for _, end in self.ends if end.get("speed_mbps")]
        return min([REFERENCE_GBITS, *(0.9 * speed / 1000 for speed in speeds)])

    @property
    def is_good(self) -> bool:
        return self.gbits is not None and self.gbits >= GOOD_SHARE * self.expected_gbits


def rails_read(steps: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Rail]:
    """Return what the steps of a test say about each rail. `names`: the sender's, the server's."""
    echoes = next(step for step in steps if step["kind"] == "echo")
    return [_rail(rail["rail"], echoes, steps, names) for rail in echoes["rails"]]


def _rail(
    number: int, echoes: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> Rail:
    alone = next(
        step
        for step in steps
        if step["kind"] == "throughput" and [one["rail"] for one in step["rails"]] == [number]
    )
    first, second = names
    measured, served = (_of_rail(alone, name, number) for name in (first, second))
    rate = measured.get("bits_per_second")
    return Rail(
        number=number,
        ends=tuple((name, _of_rail(echoes, name, number)) for name in names),
        gbits=None if rate is None else rate / 1e9,
        problem=measured.get("problem"),
        server_problem=served.get("problem"),
        carried=(alone["answers"].get(first) or {}).get("carried") or {},
    )


def _of_rail(step: Mapping[str, Any], name: str, number: int) -> Mapping[str, Any]:
    rows = (step["answers"].get(name) or {}).get("rails") or []
    return next((row for row in rows if row.get("rail") == number), {})


def together_gbits(steps: Sequence[Mapping[str, Any]], names: Sequence[str]) -> float | None:
    """Return what all rails moved at once, Gbit/s; None for one rail, or where one told nothing."""
    step = next((one for one in steps if one["kind"] == "throughput" and len(one["rails"]) > 1), None)
    if step is None:
        return None
    rates = [_of_rail(step, names[0], rail["rail"]).get("bits_per_second") for rail in step["rails"]]
    told = [rate for rate in rates if rate is not None]
    return sum(told) / 1e9 if len(told) == len(rates) else None


def verdict_of(steps: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Verdict:
    """Return the first cause that explains what a test found, worst first."""
    rails, together = rails_read(steps, names), together_gbits(steps, names)
    moved = [gbits for gbits in (*(rail.gbits for rail in rails), together) if gbits is not None]
    best = max(moved) if moved else None
    for tone, cause, sentence in _causes(steps, names, rails, together):
        return Verdict(tone, cause, sentence, best)
    raise AssertionError("a test has one rail at least")


Cause = tuple[str, str, str]


def _causes(
    steps: Sequence[Mapping[str, Any]], names: Sequence[str], rails: Sequence[Rail], together: float | None
) -> Iterator[Cause]:
    yield from _silent(steps, names)
    yield from _missing(names, rails)
    yield from _down(rails)
    yield from _lossy(rails)
    yield from _one_dead(rails)
    yield from _dead(names, rails)
    yield from _elsewhere(names[0], rails)
    yield from _path_mtu(rails)
    yield from _slow(rails)
    yield from _together(rails, together)
    yield "good", "ok", f"{_rates(rails, together)}. Nothing is wrong with it."


def _silent(steps: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Iterator[Cause]:
    for step in steps:
        for name in names:
            if name not in step["answers"]:
                yield (
                    "bad",
                    "silent",
                    f"{name} told nothing of the step “{step['name']}” in time: see that its agent runs, "
                    "and is of this version.",
                )


def _missing(names: Sequence[str], rails: Sequence[Rail]) -> Iterator[Cause]:
    for rail in rails:
        for name, problem in zip(names, (rail.problem, rail.server_problem), strict=True):
            if problem == "iperf_missing":
                yield "bad", "iperf_missing", f"{name} has no iperf3: run `sudo apt install iperf3` there."
        for name, end in rail.ends:
            if not end.get("name"):
                yield (
                    "bad",
                    "address_missing",
                    f"No interface of {name} has its fabric address of {rail.name}: correct it at the node.",
                )


def _down(rails: Sequence[Rail]) -> Iterator[Cause]:
    for rail in rails:
        for name, end in rail.ends:
            if end.get("up") is False:
                yield "bad", "link_down", f"{end['name']} of {name} is down: see to the cable of {rail.name}."


def _one_dead(rails: Sequence[Rail]) -> Iterator[Cause]:
    alive = [rail for rail in rails if rail.gbits is not None]
    if len(rails) > 1 and len(alive) == 1:
        dead = next(rail for rail in rails if rail.gbits is None)
        yield (
            "bad",
            "one_rail",
            f"One rail only: {alive[0].name} moves {_gbits(alive[0].gbits)}, {dead.name} nothing"
            f"{_why(dead)}.",
        )


def _why(rail: Rail) -> str:
    if not rail.received:
        return " (no echo comes back)"
    return f" ({_PROBLEM_WORDS.get(rail.problem or '', rail.problem)})" if rail.problem else ""


_PROBLEM_WORDS = {
    "timed_out": "connections get no answer",
    "refused": "connections are refused",
    "no_route": "there is no route",
    "over": "it did not end in time",
}


def _dead(names: Sequence[str], rails: Sequence[Rail]) -> Iterator[Cause]:
    first, second = names
    for rail in rails:
        if rail.gbits is not None:
            continue
        if rail.server_problem == "port_taken" or rail.problem == "port_taken":
            yield (
                "bad",
                "port_taken",
                f"Something else uses iperf3's port on {second}: end it, or set SPARKWEB_FABRIC_PORT.",
            )
        elif not rail.received and not _may_not_ask(rail):
            yield (
                "bad",
                "no_answer",
                f"Nothing comes through on {rail.name}: neither echoes nor connections between {first} and "
                f"{second}. See to cable, addresses and netmasks.",
            )
        elif rail.problem in ("timed_out", "refused", "no_route"):
            yield (
                "bad",
                "port_blocked",
                f"Port blocked: echoes come back on {rail.name}, but {_PROBLEM_WORDS[rail.problem]} from "
                f"{second} on iperf3's port. Allow it in the firewall of {second}, on the fabric alone.",
            )
        else:
            words = _PROBLEM_WORDS.get(rail.problem or "", rail.problem or "it told nothing")
            yield "bad", "failed", f"Nothing was measured on {rail.name}: iperf3 on {first} said: {words}."


def _may_not_ask(rail: Rail) -> bool:
    """Whether the agents may not send echoes, which says nothing about the link."""
    return any("may not send" in str(end.get("problem")) for _, end in rail.ends)


def _elsewhere(first: str, rails: Sequence[Rail]) -> Iterator[Cause]:
    ours = {rail.interface for rail in rails}
    for rail in rails:
        total = sum(rail.carried.values())
        if total < JUDGED_FROM_BYTES or rail.carried.get(rail.interface, 0) >= total / 2:
            continue
        other = max(rail.carried, key=lambda one: rail.carried[one])
        went = f"what {first} sent over {rail.name} went out by {other}, not by {rail.interface}"
        if other in ours:
            yield (
                "bad",
                "one_rail",
                f"One rail only: {went}. Give the rails networks of their own, that do not overlap.",
            )
        yield (
            "bad",
            "lan",
            f"It falls to the LAN: {went}, at {_gbits(rail.gbits)}. See to the routes and netmasks of the "
            "fabric addresses.",
        )


def _lossy(rails: Sequence[Rail]) -> Iterator[Cause]:
    for rail in rails:
        lost = rail.sent - rail.received
        if rail.received and lost > LOST_MOST:
            yield (
                "bad",
                "loss",
                f"Packets are lost on {rail.name}: {lost} of {rail.sent} echoes did not come back, and it "
                f"moves {_gbits(rail.gbits)}. See to cable and connectors, and to the link's error counters.",
            )


def _path_mtu(rails: Sequence[Rail]) -> Iterator[Cause]:
    for rail in rails:
        if any(end.get("large_came") is False for _, end in rail.ends):
            sizes = " and ".join(f"{end.get('mtu')} on {name}" for name, end in rail.ends)
            yield (
                "bad",
                "mtu_differs",
                f"Packets of full size do not come through on {rail.name}: the MTU is {sizes}. Set the same "
                "on both ends and on what lies between.",
            )


def _slow(rails: Sequence[Rail]) -> Iterator[Cause]:
    for rail in rails:
        if rail.is_good or rail.gbits is None:
            continue
        low, high = BADLY_UP_GBITS
        figure = f"{rail.name} moves {_gbits(rail.gbits)} where {_gbits(rail.expected_gbits)} are usual"
        if low <= rail.gbits <= high and rail.expected_gbits >= FAST_ENOUGH_FOR_THAT:
            yield (
                "bad",
                "fault_13",
                f"The 13 Gbit/s fault: {figure} though the link reports its full speed. The adapter came up "
                "badly: shut both machines down, take their power away for a minute, and start them again.",
            )
        elif rail.mtus and min(rail.mtus) < JUMBO_BYTES:
            yield "warn", "mtu_1500", f"MTU {min(rail.mtus)}: {figure}. Set MTU 9000 on both ends."
        else:
            yield (
                "warn",
                "slow",
                f"Slow: {figure}; no packet is lost and the MTU is large. Look for a rate limit, other "
                "traffic, or a busy processor.",
            )


def _together(rails: Sequence[Rail], together: float | None) -> Iterator[Cause]:
    best = max(rail.gbits or 0.0 for rail in rails)
    if len(rails) > 1 and together is not None and together < TOGETHER_AT_LEAST * best:
        yield (
            "warn",
            "one_rail",
            f"Both rails at once move {_gbits(together)}, no more than one alone ({_gbits(best)}): they "
            "share one function of the adapter, or one processor core.",
        )
    twins = [f"{end['twin']} of {name}" for name, end in rails[0].ends if end.get("twin")]
    if len(rails) == 1 and twins:
        some = ", ".join(twins)
        yield (
            "warn",
            "one_rail",
            f"{_rates(rails, None)}, over one rail only. The port's other half ({some}) has no address here: "
            "give it one at both nodes, and the link can move about twice as much.",
        )


def _rates(rails: Sequence[Rail], together: float | None) -> str:
    parts = [f"{_gbits(rail.gbits)} over {rail.name}" for rail in rails]
    if together is not None:
        parts.append(f"{_gbits(together)} over both at once")
    return ", ".join(parts)


def _gbits(value: float | None) -> str:
    """A rate as people read it."""
    if value is None:
        return "nothing"
    if value < 1:
        return f"{value * 1000:.0f} Mbit/s"
    return f"{value:.0f} Gbit/s" if value >= 20 else f"{value:.1f} Gbit/s"
