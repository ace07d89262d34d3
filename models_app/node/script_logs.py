"""A script's log as the followers read a container's: last lines first, then new ones as they come."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from sparkweb.adapters.docker_errors import ContainerMissing
from sparkweb.adapters.docker_logs import LogLine, line_text
from sparkweb.adapters.docker_types import Inspection

POLL_SECONDS = 0.2
CHUNK_BYTES = 262_144
_STAMP_BYTES = 30  # 2026-11-23T19:04:01.123456789Z


class ScriptLogStream:
    """Lines of one run as they come; iterate in one thread, close() from any. Ends with the run."""

    def __init__(self, folder: Path, tail: int, since: str | None, is_over: Callable[[], bool]) -> None:
        self._folder = folder
        self._tail = tail
        self._since = since
        self._is_over = is_over
        self._closing = threading.Event()

    def __iter__(self) -> Iterator[list[LogLine]]:
        last = deque(self._old_lines(), self._tail)
        yield [line for line in last if self._since is None or line.at >= self._since]
        try:
            while True:
                over = self._is_over()  # asked before the last look, so that nothing written is missed
                while batch := self._new_lines():
                    yield batch
                if over or self._closing.wait(POLL_SECONDS):
                    return
        finally:
            if self._file is not None:
                self._file.close()

    def close(self) -> None:
        self._closing.set()

    def _old_lines(self) -> Iterator[LogLine]:
        """All there is: the file that was turned over, then the one being written, up to its end now."""
        older = self._folder / "log.1"
        if older.exists():
            with older.open("rb") as file:
                yield from filter(None, map(_line, file))
        while batch := self._new_lines():
            yield from batch

    _file: BinaryIO | None = None
    _rest = b""

    def _new_lines(self) -> list[LogLine]:
        """Whole lines since the last look, at most a chunk; goes over to the next file at the end of one."""
        if self._file is None:
            try:
                self._file = (self._folder / "log").open("rb")
            except OSError:
                return []
        data = self._file.read(CHUNK_BYTES)
        if not data and self._turned_over():
            self._file.close()
            self._file = None
            return self._new_lines()
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [line for line in map(_line, whole) if line]

    def _turned_over(self) -> bool:
        assert self._file is not None
        try:
            return (self._folder / "log").stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except OSError:
            return False


class ScriptLogs:
    """What followers ask of an engine, asked of script runs: the id is the member's."""

    def __init__(self, runs: Path, is_over: Callable[[str], bool | None]) -> None:
        self._runs = runs
        self._is_over = is_over

    def logs_follow(self, container: str, tail: int, since: str | None = None) -> ScriptLogStream:
        """Follow a run's log: its last `tail` lines (not older than `since`), then all new ones."""
        return ScriptLogStream(
            self._runs / container, tail, since, lambda: self._is_over(container) is not False
        )

    def logs_read(self, container: str, tail: int, since: str | None = None) -> ScriptLogStream:
        """A run's log until now: its last `tail` lines, not older than `since`."""
        return ScriptLogStream(self._runs / container, tail, since, lambda: True)

    def log_tail(self, member: str, lines: int, limit_bytes: int) -> list[str]:
        """The last lines, without timestamps, oldest first, at most `limit_bytes` as UTF-8."""
        kept: list[str] = []
        size = 0
        for batch in ScriptLogStream(self._runs / member, lines, None, lambda: True):
            for line in batch:
                kept.append(line.text)
                size += len(line.text.encode()) + 1
                while size > limit_bytes and kept:
                    size -= len(kept.pop(0).encode()) + 1
        return kept

    def inspect(self, container: str) -> Inspection:
        """Whether it runs. Raises ContainerMissing."""
        over = self._is_over(container)
        if over is None:
            raise ContainerMissing(f"there is no run {container}")
        state = "exited" if over else "running"
        return Inspection(container, container, "", state, None, 0, False, "", None, None, {})


def _line(raw: bytes) -> LogLine | None:
    """One stored line; None for what is none, as after a full disk."""
    stamp, _, text = raw.rstrip(b"\n").partition(b" ")
    if len(stamp) != _STAMP_BYTES:
        return None
    return LogLine(stamp.decode("ascii", "replace"), line_text(text), 1)
