"""Everything dies at every moment: no fact is lost, none is applied twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection, connections, transaction

from sparkweb.accounts.models import NodeKey
from sparkweb.node_link.models import JournalCursor, RejectedFact
from sparkweb.node_link.sender import ReportSender
from sparkweb.node_link.signatures import key_pair_make, key_write
from sparkweb.streams import Streams
from tests.link.conftest import begin, until
from tests.link.intake_child import environment
from tests.link.noting import numbers_noted
from tests.support.redis import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)

OTHER_BACKENDS = """FROM pg_stat_activity WHERE datname = current_database()
    AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""
ROOT = Path(__file__).resolve().parents[2]


class Child:
    """One child process that may be killed and started again; it remembers the numbers it said."""

    def __init__(self, *command: str, environment: dict[str, str] | None = None) -> None:
        self.command, self.environment = [sys.executable, "-m", *command], environment
        self.said: list[int] = []
        self.process: subprocess.Popen[str] | None = None
        self.reader = threading.Thread()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=self.environment
        )
        self.reader = threading.Thread(target=self._listen, args=(self.process,))
        self.reader.start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            if line.endswith("\n") and line.strip().isdigit():
                self.said.append(int(line))

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        if self.process:
            self.process.wait()
            self.reader.join()


@pytest.fixture
def agent_child(tmp_path: Path, redis_server: RedisServer) -> Iterator[Child]:
    private, public = key_pair_make()
    key_write(tmp_path / "node.key", private)
    NodeKey.objects.create(node_name="spark-1", public_key=public)
    paths = (str(tmp_path / "journal.sqlite3"), str(tmp_path / "node.key"))
    child = Child("tests.link.agent_child", *paths, "spark-1", redis_server.url)
    yield child
    child.kill()


@pytest.fixture
def control_child(redis_server: RedisServer) -> Iterator[Child]:
    child = Child(
        "tests.link.intake_child",
        redis_server.url,
        environment=environment(connections["default"].settings_dict),
    )
    yield child
    child.kill()
    until(nobody_else)


def nobody_else() -> bool:
    """Say whether the killed child's end at the server, which may still finish a statement, is gone."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {OTHER_BACKENDS}")
        return bool(cursor.fetchone()[0] == 0)


def settle(agent: Child, from_path: Path) -> list[int]:
    """Wait until control has applied everything that is in the killed agent's journal; return that."""
    from sparkweb.node_link.journal import Journal

    journal = Journal(from_path)
    last = journal.last_sequence
    journal.close()
    assert max(agent.said) <= last, "what it said is in the journal"
    agent.start()
    until(lambda: JournalCursor.objects.filter(applied__gte=last).exists(), 60)
    agent.kill()
    return list(range(1, last + 1))


@pytest.mark.parametrize("seed", range(3))
def test_agent_control_and_redis_killed_at_random(agent_child, control_child, redis_server, tmp_path, seed):
    """SIGKILL of agent, of control, of Redis, and FLUSHALL, in random order while facts flow."""
    chance = random.Random(seed)
    agent_child.start()
    control_child.start()
    until(lambda: len(numbers_noted()) > 20)

    def restart(child: Child) -> None:
        child.kill()
        time.sleep(chance.random() * 0.3)
        child.start()

    def redis_restart() -> None:
        redis_server.kill()
        time.sleep(chance.random() * 0.5)
        redis_server.start()

    faults = [
        lambda: restart(agent_child),
        lambda: restart(control_child),
        redis_restart,
        lambda: redis_server.client().flushall(),
    ]
    for fault in chance.sample(faults * 2, 6):
        before = len(numbers_noted())
        fault()
        until(lambda seen=before: len(numbers_noted()) > seen + chance.randrange(1, 30), 40)
    agent_child.kill()
    journalled = settle(agent_child, tmp_path / "journal.sqlite3")
    control_child.kill()
    noted = numbers_noted()
    assert noted == sorted(set(noted)), "applied once each, in order"
    assert set(journalled) <= set(noted), "none lost"
    assert not RejectedFact.objects.exists()


def test_redis_stopped_for_ten_seconds(agent_child, control_child, redis_server, tmp_path):
    """The honest one: facts pile up in the journal for ten seconds, and all arrive afterwards."""
    agent_child.start()
    control_child.start()
    until(lambda: len(numbers_noted()) > 20)
    redis_server.stop()
    stopped_at, said = time.monotonic(), len(agent_child.said)
    until(lambda: time.monotonic() - stopped_at > 10)
    assert len(agent_child.said) > said + 200, "the agent goes on"
    before = len(numbers_noted())
    redis_server.start()
    until(lambda: len(numbers_noted()) > before, 5)
    agent_child.kill()
    journalled = settle(agent_child, tmp_path / "journal.sqlite3")
    noted = numbers_noted()
    assert noted == sorted(set(noted)) and set(journalled) <= set(noted)


def test_agent_killed_between_fact_and_acknowledgement(agent_child, control_child, redis_server, tmp_path):
    """Control applies while the agent is dead; the agent comes back, sends again, and is told."""
    agent_child.start()
    until(lambda: len(agent_child.said) > 50)
    agent_child.kill()
    control_child.start()
    until(lambda: len(numbers_noted()) > 0)
    journalled = settle(agent_child, tmp_path / "journal.sqlite3")
    noted = numbers_noted()
    assert noted == sorted(set(noted)) and set(journalled) <= set(noted)


def test_a_frozen_redis_delays_and_nothing_more(redis_server, node, intake, heard):
    agent = node("spark-1", redis_server.url)
    intake(redis_server.url)
    agent.start()
    begin(agent, heard)
    redis_server.freeze()
    for n in range(1, 11):
        agent.note(n)
    until(lambda: agent.sender._down)
    redis_server.thaw()
    until(lambda: agent.journal.count() == 0)
    assert numbers_noted() == list(range(1, 11))


def test_reports_come_back_after_redis_did(redis_server, node, intake, heard):
    agent = node("spark-1", redis_server.url)
    intake(redis_server.url)
    begin(agent, heard)
    sender = ReportSender(Streams(redis_server.url, timeout_seconds=0.5), agent.signer, agent.boot)
    sender._sequence = agent.sequence
    sender.start()
    redis_server.kill()
    for n in range(50):
        sender.send({"n": n})
    redis_server.start()
    until(
        lambda: (sender.send({"n": "after"}), time.sleep(0.05), heard.reports[-1][1].get("n") == "after")[2]
    )
    sender.close()


def test_a_database_that_drops_everyone_is_waited_for(redis_server, node, intake, heard, caplog):
    """PostgreSQL ends all connections; SQLite, which has none to end, is locked until the intake says so."""
    agent = node("spark-1", redis_server.url)
    intake(redis_server.url)
    agent.start()
    agent.note(1)
    until(lambda: agent.journal.count() == 0)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_terminate_backend(pid) {OTHER_BACKENDS}")
        agent.note(2)
    else:
        with transaction.atomic():
            agent.note(2)
            until(lambda: "facts wait for the database" in caplog.text)
    for n in range(3, 12):
        agent.note(n)
    until(lambda: agent.journal.count() == 0)
    assert numbers_noted() == list(range(1, 12)) and not RejectedFact.objects.exists()
