"""What the tests of the node link share: nodes with keys, an agent's sending half, control's intake."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from sparkweb.accounts.models import NodeKey
from sparkweb.node_link import registry
from sparkweb.node_link.envelope import envelope_seal
from sparkweb.node_link.intake import Intake
from sparkweb.node_link.journal import Journal
from sparkweb.node_link.sender import JournalSender
from sparkweb.node_link.signatures import Signer, key_pair_make, key_write
from sparkweb.streams import Streams
from tests.link.noting import noted


def until(condition: Callable[[], bool], within_seconds: float = 60.0) -> None:
    """Wait for a condition; fail if it does not come true."""
    deadline = time.monotonic() + max(within_seconds, 60.0)
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@dataclass
class Heard:
    """What the registered handlers were called with."""

    reports: list[tuple[str, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    statuses: list[tuple[str, str]] = field(default_factory=list)

    def sequences(self, node_name: str = "spark-1") -> list[int]:
        return [meta["seq"] for name, _, meta in self.reports if name == node_name]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    """Handlers of our own in place of the apps'."""
    heard = Heard()
    monkeypatch.setattr(registry, "fact_handlers", {"test.noted": noted})
    monkeypatch.setattr(registry, "report_handlers", {})
    monkeypatch.setattr(registry, "report_listeners", [lambda *args: heard.reports.append(args)])
    monkeypatch.setattr(registry, "status_listeners", [lambda *args: heard.statuses.append(args)])
    return heard


class AgentSide:
    """The sending half of one node's agent."""

    def __init__(self, name: str, folder: Path, redis_url: str) -> None:
        self.name, self.folder, self.url = name, folder, redis_url
        private, self.public = key_pair_make()
        self.key_path = folder / "node.key"
        key_write(self.key_path, private)
        self.signer = Signer(name, private)
        self.streams = Streams(redis_url, timeout_seconds=0.5)
        self.journal = Journal(folder / "journal.sqlite3")
        self.boot = str(uuid.uuid4())
        self.sequence = 0
        self.sender: JournalSender | None = None

    def start(self) -> JournalSender:
        self.sender = JournalSender(self.journal, self.streams, self.signer)
        self.sender.start()
        return self.sender

    def note(self, number: int) -> int:
        return self.journal.add("test.noted", {"n": number})

    def report(self, report: dict[str, Any] | None = None, **forged: Any) -> dict[str, Any]:
        """Append one report by hand; `forged` overrides parts of the envelope after it was signed."""
        self.sequence += 1
        payload = orjson.dumps(report if report is not None else {"version": 1}).decode()
        data = envelope_seal(self.signer, "report", self.boot, self.sequence, payload).to_data() | forged
        self.streams.append(f"report:{self.name}", data)
        return data

    def fact(self, sequence: int, payload: str, oldest: int | None = None, **forged: Any) -> None:
        """Append one fact by hand, past the journal."""
        sealed = envelope_seal(self.signer, "from", self.journal.id, sequence, payload, oldest or sequence)
        self.streams.append(f"from:{self.name}", sealed.to_data() | forged)

    def close(self) -> None:
        if self.sender:
            self.sender.close()
        self.journal.close()
        self.streams.close()


def begin(agent: AgentSide, heard: Heard) -> None:
    """Send reports until the intake, which reads from its start on, has heard the last one."""
    while not heard.sequences(agent.name):
        agent.report()
        time.sleep(0.02)
    until(lambda: heard.sequences(agent.name)[-1] == agent.sequence)


@pytest.fixture
def node(tmp_path: Path, transactional_db: None) -> Iterator[Callable[..., AgentSide]]:
    """Make a node: its key known to control, its agent's half returned."""
    made: list[AgentSide] = []

    def make(name: str, redis_url: str) -> AgentSide:
        side = AgentSide(name, tmp_path / name, redis_url)
        NodeKey.objects.create(node_name=name, public_key=side.public)
        made.append(side)
        return side

    yield make
    for side in made:
        side.close()


@pytest.fixture
def intake(heard: Heard, transactional_db: None) -> Iterator[Callable[[str], Intake]]:
    """Start control's intake on a Redis; stopped after the test."""
    started: list[Intake] = []

    def start(redis_url: str) -> Intake:
        started.append(Intake(Streams(redis_url, timeout_seconds=0.5)))
        started[-1].start()
        return started[-1]

    yield start
    for thread in started:
        thread.stop(10)
        assert not thread.is_alive()


__all__ = ["AgentSide", "Heard", "begin", "until"]
