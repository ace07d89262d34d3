"""A node's steps of a test of the fabric, without a link: what is asked once, and what is told of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from metrics_app.fabric.node import FabricDesk, Probe, twin_of
from sparkweb.adapters.fabric import Echo, counters_read
from sparkweb.adapters.iperf import IperfMissing
from sparkweb.node_link.journal import JournalUnavailable
from tests.metrics.test_fabric_links import spark_tree, write

RAIL = {"rail": 1, "source": "192.168.100.10", "target": "192.168.100.11", "port": 5201}
LINK = {"name": "enp1s0f0np0", "up": True, "mtu": 9000, "speed_mbps": 200000, "addresses": ["192.168.100.10"]}


class Told:
    """A journal."""

    def __init__(self, failures: int = 0) -> None:
        self.facts: list[tuple[str, dict[str, Any]]] = []
        self.failures = failures

    def add(self, verb: str, data: dict[str, Any]) -> int:
        if self.failures:
            self.failures -= 1
            raise JournalUnavailable("full")
        self.facts.append((verb, data))
        return len(self.facts)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


class Asked(Probe):
    """A probe that nobody stops."""

    def answer(self, question: dict[str, Any], stop: threading.Event | None = None) -> dict[str, Any]:
        return super().answer(question, stop or threading.Event())


def probe(**parts: Any) -> Asked:
    clock = Clock()
    links = {"links": [LINK, LINK | {"name": "enP2p1s0f0np0", "addresses": []}]}
    defaults: dict[str, Any] = {"links": lambda: links, "clock": clock, "pause": clock.pause}
    return Asked(**(defaults | parts))


def sending(lost_of_ten: int, sizes: list[int]) -> Any:
    def send(address: str, source: str, *, size: int, count: int = 3) -> Echo:
        sizes.append(size)
        came = count if count < 10 else count - lost_of_ten
        return Echo(count, came, 0.2, None)

    return send


def test_echoes_are_small_many_and_large() -> None:
    sizes: list[int] = []
    answer = probe(send=sending(0, sizes)).answer({"kind": "echo", "rails": [RAIL]})
    (rail,) = answer["rails"]
    assert (rail["sent"], rail["received"], rail["large_came"]) == (93, 93, True)
    assert (rail["name"], rail["twin"], rail["mtu"]) == ("enp1s0f0np0", "enP2p1s0f0np0", 9000)
    assert sizes[-1] == 9000


def test_echoes_end_early_where_packets_are_lost() -> None:
    (rail,) = probe(send=sending(3, [])).answer({"kind": "echo", "rails": [RAIL]})["rails"]
    assert (rail["sent"], rail["received"]) == (23, 17)


def test_echoes_end_at_once_where_nothing_comes() -> None:
    (rail,) = probe(send=lambda *_, **__: Echo(3, 0, None, "no answer")).answer(
        {"kind": "echo", "rails": [RAIL | {"source": "10.0.0.1"}]}
    )["rails"]
    assert (rail["sent"], rail["received"], rail["name"], rail["problem"]) == (3, 0, None, "no answer")


def test_a_client_asks_again_until_the_server_is_up() -> None:
    answers = [{"error": "Connection refused"}] * 2 + [{"end": {"sum_received": {"bits_per_second": 5e9}}}]
    made = probe(client=lambda *_, **__: answers.pop(0))
    question = {"kind": "measure", "rails": [RAIL], "seconds": 10, "streams": 4}
    (rail,) = made.answer(question)["rails"]
    assert (rail["bits_per_second"], rail["problem"], answers) == (5e9, None, [])


def test_a_client_does_not_ask_for_ever() -> None:
    made = probe(client=lambda *_, **__: {"error": "Connection refused"})
    (rail,) = made.answer({"kind": "measure", "rails": [RAIL], "seconds": 10, "streams": 4})["rails"]
    assert rail["problem"] == "refused"


def test_no_iperf3_at_either_end() -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise IperfMissing

    made = probe(client=missing, server=missing)
    (rail,) = made.answer({"kind": "measure", "rails": [RAIL], "seconds": 10, "streams": 4})["rails"]
    assert rail["problem"] == "iperf_missing"
    listen = {"rail": 1, "address": "192.168.100.11", "port": 5201}
    assert made.answer({"kind": "serve", "rails": [listen], "seconds": 10})["rails"] == [
        {"rail": 1, "problem": "iperf_missing"}
    ]


def test_a_server_that_nobody_came_to() -> None:
    listen = {"rail": 1, "address": "192.168.100.11", "port": 5201}
    made = probe(server=lambda *_: {"error": "over"})
    assert (
        made.answer({"kind": "serve", "rails": [listen], "seconds": 1})["rails"][0]["problem"]
        == "nobody_came"
    )


def test_a_server_whose_client_cannot_come_is_ended() -> None:
    told, begun = Told(), threading.Event()

    def server(_address: str, _port: int, _limit: int, stop: threading.Event) -> dict[str, Any]:
        begun.set()
        return {"error": "over"} if stop.wait(60) else {}

    desk = FabricDesk(told, Probe(server=server))
    listen = {"rail": 1, "address": "192.168.100.11", "port": 5201}
    question = {"test": "a" * 16, "step": 1, "kind": "serve", "rails": [listen], "seconds": 1}
    asking = threading.Thread(target=desk.step, args=(question,))
    asking.start()
    assert begun.wait(60)
    desk.cancel("b" * 16, 1)
    desk.cancel("a" * 16, 1)
    asking.join(60)
    assert told.facts[0][1]["answer"]["rails"] == [{"rail": 1, "problem": "nobody_came"}]


def test_a_step_is_done_once_and_again_where_it_could_not_be_told() -> None:
    told = Told(failures=1)
    desk = FabricDesk(told, probe(send=sending(0, [])))
    question = {"test": "a" * 16, "step": 0, "kind": "echo", "rails": [RAIL]}
    assert desk.step(question)
    assert told.facts == []
    assert desk.step(question)
    assert not desk.step(question)
    ((verb, data),) = told.facts
    assert (verb, data["test"], data["step"]) == ("fabric_step", "a" * 16, 0)


def test_twins_differ_in_the_domain_alone() -> None:
    names = ["enp1s0f0np0", "enp1s0f1np1", "enP2p1s0f1np1", "eth0"]
    assert twin_of("enP2p1s0f1np1", names) == "enp1s0f1np1"
    assert [twin_of(name, names) for name in ("enp1s0f0np0", "eth0", None)] == [None, None, None]


def test_counters_of_links_and_adapters(tmp_path: Path) -> None:
    root = spark_tree(tmp_path)
    counted = root / "sys/class/net/enp1s0f1np1/statistics"
    for name, value in (("tx_bytes", 700), ("rx_bytes", 800), ("rx_errors", 0), ("rx_dropped", 4)):
        write(counted / name, str(value))
    port = root / "sys/class/infiniband/rocep1s0f1/ports/1"
    write(port / "counters/port_xmit_data", "25")
    write(port / "hw_counters/out_of_sequence", "3")
    links = {link["name"]: link for link in counters_read(root, dict)["links"]}
    assert set(links) == {"enp1s0f1np1", "enP2p1s0f1np1"}
    assert links["enp1s0f1np1"] == {
        "name": "enp1s0f1np1",
        "sent_bytes": 700,
        "received_bytes": 800,
        "errors": {"rx_dropped": 4},
        "rdma": [
            {
                "name": "rocep1s0f1",
                "sent_bytes": 100,
                "received_bytes": None,
                "errors": {"out_of_sequence": 3},
            }
        ],
    }
