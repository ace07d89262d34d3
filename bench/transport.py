"""How long a nudge takes to a node and back, and a fact from the node into control's database; beside
bare Redis Streams over the same socket.

    python -m bench.transport [--rounds 500] [--json]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.figures import percentile, show
from sparkweb.node_link.journal import Journal
from sparkweb.node_link.sender import JournalSender
from sparkweb.node_link.signatures import Signer, key_pair_make
from sparkweb.streams import Streams
from tests.support.redis import RedisServer

ROOT = Path(__file__).resolve().parents[1]
NODE = "spark-1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--control", metavar="REDIS_URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "sparkweb.settings"
    if options.control:
        control(options.control)
        return
    server = RedisServer(persist=True).start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ.update(SPARKWEB_DATA_DIR=folder, REDIS_URL=server.url, SPARKWEB_LOG_LEVEL="warning")
            os.environ.pop("DATABASE_URL", None)
            show("transport", measure(server.url, Path(folder), options.rounds), options.json)
    finally:
        server.close()


def measure(redis_url: str, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Measure everything in one run, so that the shares hold whatever this machine does besides."""
    floor = bare_streams(redis_url, rounds)
    nudge = nudges(redis_url, rounds)
    stored, acknowledged = facts(redis_url, folder, rounds)
    rows = [
        ("bare XADD to XREAD", floor),
        ("nudge to task to answer on a stream", nudge),
        ("fact to committed by control", stored),
        ("fact to forgotten by the journal", acknowledged),
    ]
    base = percentile(floor, 50)
    return [
        {
            "what": what,
            "p50_ms": percentile(times, 50),
            "p99_ms": percentile(times, 99),
            "times_floor_p50": percentile(times, 50) / base,
        }
        for what, times in rows
    ]


def bare_streams(redis_url: str, rounds: int) -> list[float]:
    """One XADD, seen by an XREAD that waits for it in another thread."""
    writer, reader = _client(redis_url), _client(redis_url)
    seen, times = threading.Event(), []

    def read() -> None:
        after = "$"
        for _ in range(rounds):
            after = reader.xread({"bench:floor": after}, block=10_000)[0][1][-1][0]
            seen.set()

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.2)
    for _ in range(rounds):
        began = time.perf_counter()
        writer.xadd("bench:floor", {"d": "{}"})
        seen.wait(10)
        times.append((time.perf_counter() - began) * 1000)
        seen.clear()
        time.sleep(0.001)  # lets the reader wait again
    thread.join()
    return times


def _client(redis_url: str) -> Any:
    import redis

    return redis.Redis.from_url(redis_url, protocol=2, socket_timeout=15)


def nudges(redis_url: str, rounds: int) -> list[float]:
    """`commands.send` to a real worker, whose task appends to a stream that is read here."""
    import django

    django.setup()
    from sparkweb.node_link import commands

    streams, times = Streams(redis_url), []
    with child("tests.link.worker_child", NODE, redis_url):
        after = "0-0"
        for number in range(rounds + 20):
            began = time.perf_counter()
            assert commands.send(NODE, "test.echo", n=number), "Redis did not take the nudge"
            (entry,) = streams.read({f"log:{NODE}:echo": after}, block_seconds=30)
            times.append((time.perf_counter() - began) * 1000)
            after = entry.offset
    return times[20:]  # the first ones include the worker's start


def facts(redis_url: str, folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Journal, sender, stream, intake in its own process, SQLite with synchronous=FULL, and back."""
    from django.core.management import call_command

    from sparkweb.accounts.models import NodeKey

    call_command("migrate", verbosity=0)
    private, public = key_pair_make()
    NodeKey.objects.update_or_create(node_name=NODE, defaults={"public_key": public})
    journal, streams = Journal(folder / "bench" / "journal.sqlite3"), Streams(redis_url)
    sender = JournalSender(journal, Streams(redis_url), Signer(NODE, private))
    sender.start()
    stored, acknowledged = [], []
    with child("bench.transport", "--control", redis_url):
        for number in range(rounds + 20):
            began = time.perf_counter()
            sequence = journal.add("bench.noted", {"n": number})
            text = f"{journal.id}:{sequence}".encode()
            wait(lambda text=text: streams.fetch([f"ack:{NODE}"]) == [text])
            stored.append((time.perf_counter() - began) * 1000)
            wait(lambda sequence=sequence: journal.is_acknowledged(sequence))
            acknowledged.append((time.perf_counter() - began) * 1000)
    sender.close()
    return stored[20:], acknowledged[20:]


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "no answer in a minute"
        time.sleep(0.0002)


def control(redis_url: str) -> None:
    """The intake alone, with a handler that writes one row for a fact."""
    import django

    django.setup()
    from sparkweb.accounts.models import AuditEntry
    from sparkweb.node_link import registry
    from sparkweb.node_link.intake import Intake

    registry.report_listeners.clear()
    registry.status_listeners.clear()

    @registry.fact_handler("bench.noted")
    def noted(node_name: str, data: dict[str, Any]) -> None:
        AuditEntry.objects.create(actor_label=node_name, via="system", action="noted", target=str(data["n"]))

    Intake(Streams(redis_url)).run()


@contextmanager
def child(module: str, *arguments: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
