"""The node's side of a test of the fabric: one step at a time, its answer as a fact. No ORM, no Django.

A step is known by test and number: a second copy of its nudge joins the first.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import structlog
from celery import shared_task

from metrics_app.fabric.iperf import client_figures, problem_of
from sparkweb.adapters.fabric import Echo, bytes_sent_read, echo, fabric_read
from sparkweb.adapters.iperf import IperfMissing, client_run, server_run
from sparkweb.node_link.journal import JournalUnavailable

log = structlog.get_logger(__name__)

RAILS_MOST = 4
SMALL_BYTES = 84
ROUNDS, ECHOES_A_ROUND, LOST_MOST = 10, 10, 5
RETRY_FOR_SECONDS = 10.0
RETRY_EVERY_SECONDS = 0.3
SERVER_WAITS_SECONDS = 25
CLIENT_MARGIN_SECONDS = 12
REMEMBERED = 64
_DOMAIN = re.compile(r"P\d+(?=p\d)")


class FactAdd(Protocol):
    """What this needs of the journal."""

    def add(self, verb: str, data: dict[str, Any]) -> int: ...


class FabricDesk:
    """Does what control asks of this node about its links."""

    def __init__(self, journal: FactAdd, probe: Probe | None = None) -> None:
        self._journal = journal
        self._probe = probe or Probe()
        self._seen: OrderedDict[tuple[str, int], threading.Event] = OrderedDict()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Take commands from now on."""
        global _desk
        _desk = self

    def step(self, question: dict[str, Any]) -> bool:
        """Do one step and journal `fabric_step`; False for one that is, or was, under way."""
        key = (str(question.get("test"))[:16], int(question.get("step") or 0))
        stop = threading.Event()
        with self._lock:
            if key in self._seen:
                return False
            self._seen[key] = stop
            while len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        try:
            answer = self._probe.answer(question, stop)
            self._journal.add("fabric_step", {"test": key[0], "step": key[1], "answer": answer})
        except JournalUnavailable as trouble:
            log.warning("step of a fabric test not told; it is done again", reason=str(trouble))
            with self._lock:
                self._seen.pop(key, None)
        return True

    def cancel(self, test: str, step: int) -> None:
        """End the servers of a step: whom they wait for could not come."""
        with self._lock:
            stop = self._seen.get((test, step))
        if stop is not None:
            stop.set()


class Probe:
    """What is found out, by the kind of a question: echo, serve or measure."""

    def __init__(
        self,
        links: Callable[[], dict[str, Any]] = fabric_read,
        send: Callable[..., Echo] = echo,
        server: Callable[..., dict[str, Any]] = server_run,
        client: Callable[..., dict[str, Any]] = client_run,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._links, self._send, self._server, self._client = links, send, server, client
        self._clock, self._pause = clock, pause

    def answer(self, question: dict[str, Any], stop: threading.Event) -> dict[str, Any]:
        """Return {"rails": one entry for each that was asked about, …}, at most four. `stop` ends servers."""
        asked = [rail for rail in question.get("rails") or [] if isinstance(rail, dict)][:RAILS_MOST]
        kind = question.get("kind")
        if kind == "echo":
            links = self._links()["links"]
            return {"rails": _each(asked, lambda rail: self._echo(rail, links))}
        if kind == "serve":
            return {"rails": _each(asked, lambda rail: self._serve(rail, question, stop))}
        before = bytes_sent_read()
        rails = _each(asked, lambda rail: self._measure(rail, question))
        after = bytes_sent_read()
        carried = {name: sent - before.get(name, 0) for name, sent in after.items()}
        return {"rails": rails, "carried": {name: sent for name, sent in carried.items() if sent > 0}}

    def _echo(self, rail: dict[str, Any], links: list[dict[str, Any]]) -> dict[str, Any]:
        """Small echoes for what is lost, then three as large as the MTU that may not be fragmented."""
        source, target = str(rail["source"]), str(rail["target"])
        link = next((one for one in links if source in (one.get("addresses") or [])), {})
        sent = received = 0
        problem, fastest = None, None
        for _ in range(ROUNDS):
            heard = self._send(target, source, size=SMALL_BYTES, count=ECHOES_A_ROUND if received else 3)
            sent, received = sent + heard.sent, received + heard.received
            problem, fastest = heard.problem, _least(fastest, heard.milliseconds)
            if not received or sent - received >= LOST_MOST:
                break
        mtu = link.get("mtu")
        large = self._send(target, source, size=mtu) if mtu and received else None
        return {
            "rail": rail.get("rail"),
            **{name: link.get(name) for name in ("name", "up", "mtu", "speed_mbps")},
            "twin": twin_of(link.get("name"), [one["name"] for one in links]),
            "sent": sent,
            "received": received,
            "milliseconds": fastest,
            "problem": problem if not received else None,
            "large_came": None if large is None else large.received > 0,
        }

    def _serve(self, rail: dict[str, Any], question: dict[str, Any], stop: threading.Event) -> dict[str, Any]:
        limit = int(question["seconds"]) + SERVER_WAITS_SECONDS
        try:
            told = self._server(str(rail["address"]), int(rail["port"]), limit, stop)
            problem = problem_of(told)
        except IperfMissing:
            problem = "iperf_missing"
        return {"rail": rail.get("rail"), "problem": "nobody_came" if problem == "over" else problem}

    def _measure(self, rail: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
        """Run a client; the server of the other node may be a moment later, so ask again for a while."""
        seconds = int(question["seconds"])
        until = self._clock() + RETRY_FOR_SECONDS
        while True:
            try:
                told = self._client(
                    str(rail["source"]),
                    str(rail["target"]),
                    int(rail["port"]),
                    streams=int(question["streams"]),
                    seconds=seconds,
                    limit_seconds=seconds + CLIENT_MARGIN_SECONDS,
                )
                figures = client_figures(told)
            except IperfMissing:
                figures = client_figures({}) | {"problem": "iperf_missing"}
            if figures["problem"] != "refused" or self._clock() >= until:
                return {"rail": rail.get("rail"), **figures}
            self._pause(RETRY_EVERY_SECONDS)


def twin_of(name: str | None, names: list[str]) -> str | None:
    """Return the other function of a port: its name differs in the PCI domain alone (enP2p1s0f0np0)."""
    port = _DOMAIN.sub("", name or "")
    return next((one for one in names if name and one != name and _DOMAIN.sub("", one) == port), None)


def _each(
    rails: list[dict[str, Any]], work: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(max_workers=max(len(rails), 1)) as threads:
        return list(threads.map(work, rails))


def _least(one: float | None, other: float | None) -> float | None:
    told = [value for value in (one, other) if value is not None]
    return min(told) if told else None


_desk: FabricDesk | None = None


def _running() -> FabricDesk:
    if _desk is None:
        raise RuntimeError("this process is no agent: FabricDesk.start() was not called")
    return _desk


@shared_task(name="fabric.step", ignore_result=True)
def fabric_step(question: dict[str, Any]) -> None:
    """Do one step of a test of the fabric and tell what came of it."""
    _running().step(question)


@shared_task(name="fabric.cancel", ignore_result=True)
def fabric_cancel(test: str, step: int) -> None:
    """End what a step waits for."""
    _running().cancel(test, step)
