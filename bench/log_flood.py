"""Following a log of a million lines: the agent's memory, and how old the newest line is at the far end.

    python -m bench.log_flood [--lines 1000000] [--json]

A real agent part (container, journal, archive) on the engine of SPARKWEB_TEST_DOCKER_HOST follows a
container that writes so many lines as fast as it can, into a real Redis; a reader follows the
stream there, as the socket of a browser does. The age of a line is by the time that Docker gave it. The
floor, from the same run, is `docker logs --follow` of a like container by a client that reads and forgets.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
import psutil

from bench.figures import percentile, show
from models_app.node.log_archive import LogArchive
from sparkweb.node_link.http_client import WebAnswer
from sparkweb.streams import Entry, Streams
from tests.support.images import BUSYBOX, images_build
from tests.support.node import Node
from tests.support.redis import RedisServer

GROWTH_TARGET_MB, AGE_TARGET_SECONDS = 64, 1.0
SAMPLE_SECONDS = 0.05
LAST_SECONDS = 600


class Nowhere:
    """A web that takes every piece and keeps none."""

    bytes_taken = 0

    def post(self, target: str, body: bytes) -> WebAnswer:
        self.bytes_taken += len(body)
        return WebAnswer(201, "")


class Memory(threading.Thread):
    """The most that this process held while it ran, over what it held before."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self.growth_bytes = 0
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self.growth_bytes = max(self.growth_bytes, self._process.memory_info().rss - self._before)

    def stop(self) -> None:
        self._done.set()
        self.join()


def script(lines: int) -> list[str]:
    return ["sh", "-c", f"sleep 2; seq 1 {lines}; echo the last line; sleep 600"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    host = os.environ["SPARKWEB_TEST_DOCKER_HOST"]
    images_build(host)
    floor = bare_seconds(host, arguments.lines)
    row = followed(host, arguments.lines)
    row |= {"seconds": round(row["seconds"], 1), "bare docker logs s": round(floor, 1)}
    row["times bare"] = round(row["seconds"] / floor, 2)
    show(f"Following a log of {arguments.lines:,} lines", [row], arguments.json)


def bare_seconds(host: str, lines: int) -> float:
    """How long a client that only reads needs, from the first line to the last."""
    client = docker.DockerClient(base_url=host, timeout=LAST_SECONDS)
    box = client.containers.run(BUSYBOX, script(lines), detach=True)
    began, tail = 0.0, b""
    try:
        for piece in box.logs(stream=True, follow=True, timestamps=True):
            began = began or time.monotonic()
            tail = (tail + piece)[-200:]
            if b"the last line" in tail:
                break
        return time.monotonic() - began
    finally:
        box.remove(force=True)
        client.close()


def followed(host: str, lines: int) -> dict[str, Any]:
    redis = RedisServer().start()
    folder = Path(tempfile.mkdtemp(prefix="log-flood-"))
    streams, nowhere = Streams(redis.url), Nowhere()
    node = Node(host, folder, os.urandom(4).hex(), archive=LogArchive(folder / "logs", nowhere, 2**28))
    node.models._followers._streams = streams
    spec = node.spec(20999, ports=[], image=BUSYBOX, command=script(lines))
    memory = Memory()
    try:
        memory.start()
        node.start(spec)
        ages, seconds, shown, skipped = read(streams, f"log:{node.name}:{spec.member}")
        memory.stop()
    finally:
        node.models.container_stop(spec.launch, spec.member, 2, 1)
        node.close()
        streams.close()
        redis.close()
    return {
        "agent MB": round(memory.growth_bytes / 2**20, 1),
        "target MB": GROWTH_TARGET_MB,
        "newest line age p50 s": round(percentile(ages, 50), 3),
        "p99 s": round(percentile(ages, 99), 3),
        "worst s": round(max(ages), 3),
        "target s": AGE_TARGET_SECONDS,
        "shown": shown,
        "skipped": skipped,
        "archived MB": round(nowhere.bytes_taken / 2**20, 2),
        "seconds": seconds,
    }


def read(streams: Streams, stream: str) -> tuple[list[float], float, int, int]:
    """Follow the stream to the last line: the age of each entry's newest line as it comes, and counts."""
    ages: list[float] = []
    offset, shown, skipped, began = "0", 0, 0, 0.0
    until = time.monotonic() + LAST_SECONDS
    while time.monotonic() < until:
        for item in streams.read({stream: offset}, block_seconds=1, count=50):
            if not isinstance(item, Entry):
                continue
            offset = item.offset
            skipped += int(item.data.get("skipped", 0))
            if texts := item.data.get("lines"):
                began = began or time.monotonic()
                shown += len(texts)
                stamp, _, text = texts[-1].partition(" ")
                ages.append(time.time() - datetime.fromisoformat(stamp[:26] + "+00:00").timestamp())
                if text == "the last line":
                    return ages, time.monotonic() - began, shown, skipped
    raise SystemExit("the last line never came")


if __name__ == "__main__":
    main()
