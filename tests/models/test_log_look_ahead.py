"""A log that comes more slowly than it is written: its newest lines are shown all the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from models_app.node.followers import Follower
from sparkweb.adapters.docker_logs import LogLine
from sparkweb.adapters.docker_types import Inspection
from tests.support.stack import wait_for


def line(number: int, seconds_ago: float) -> LogLine:
    at = datetime.fromtimestamp(time.time() - seconds_ago, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return LogLine(f"{at}{number:03}Z", str(number), 1)


class Lines:
    """What arrived together, and nothing more until it is closed."""

    def __init__(self, batches: Iterator[list[LogLine]]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[list[LogLine]]:
        return self._batches

    def close(self) -> None: ...


class SlowLog:
    """Lines that were written while somebody followed, handed out late; the newest can be read at once."""

    def __init__(self, newest: list[LogLine]) -> None:
        self.newest = newest
        self.looks = 0
        self.come: list[list[LogLine]] = []
        self.ready, self.over = threading.Semaphore(0), threading.Event()

    def give(self, *lines: LogLine) -> None:
        self.come.append(list(lines))
        self.ready.release()

    def end(self) -> None:
        self.over.set()
        self.ready.release()

    def logs_follow(self, container: str, tail: int, since: str | None = None) -> Lines:
        return Lines(self._given())

    def _given(self) -> Iterator[list[LogLine]]:
        while True:
            self.ready.acquire()
            if not self.come:
                return
            yield self.come.pop(0)

    def logs_read(self, container: str, tail: int, since: str | None = None) -> Lines:
        if self.over.is_set():
            return Lines(iter([]))
        self.looks += 1
        return Lines(iter([self.newest[-tail:]]))

    def inspect(self, container: str) -> Any:
        state = "exited" if self.over.is_set() else "running"
        return Inspection(container, "", "", state, None, 0, False, "", None, None, {})


def shown(follower: Follower) -> list[str]:
    """Texts in order, with a mark where lines are missing."""
    told: list[str] = []
    while batch := follower.buffer.take(time.monotonic()):
        told += ["..."] * batch.jumped + [text.partition(" ")[2] for text in batch.lines]
    return told


def follower_of(source: SlowLog) -> Follower:
    follower = Follower(source, "c" * 64, "log:spark-1:m", time.time(), None)
    follower._began_at -= 60
    return follower


def test_newest_lines_are_shown_before_those_that_come_late() -> None:
    source = SlowLog([line(number, 0) for number in range(500, 600)])
    follower = follower_of(source)
    source.give(line(1, 5))
    wait_for(lambda: source.looks, "a look ahead")
    source.give(line(2, 4.5), *source.newest[:50])
    source.end()
    wait_for(lambda: follower.ended, "the end")
    told = shown(follower)
    assert told[-101:] == ["...", *map(str, range(500, 600))]


def test_lines_that_come_in_time_or_were_there_before_ask_for_nothing() -> None:
    source = SlowLog([])
    follower = follower_of(source)
    source.give(line(1, 3600), line(2, 3000))
    source.give(line(3, 0))
    source.end()
    wait_for(lambda: follower.ended, "the end")
    assert (shown(follower), source.looks) == (["1", "2", "3"], 0)
