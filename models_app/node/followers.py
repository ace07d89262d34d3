"""Live logs: one thread for each container of ours, and one that writes for all of them.

A reader never waits for Redis; the writer takes what is due ten times a second.
Stream entries are those of docs/architecture.md: reset, skipped, lines, end.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from models_app.node.line_buffer import Batch, LineBuffer
from models_app.node.log_archive import LogArchive, MemberArchive
from models_app.node.log_source import LineStream, LogSource
from models_app.node.stages import Milestone, may_tell_milestone, milestone_of_line
from sparkweb.adapters.docker_errors import ContainerMissing, DockerTrouble
from sparkweb.adapters.docker_logs import LogLine, Unrepeated
from sparkweb.adapters.docker_types import docker_time
from sparkweb.streams import EntryTooLarge, StreamsDown

log = structlog.get_logger(__name__)

TAIL_LINES = 1000
ALL_LINES = 1_000_000_000
FRESH_SECONDS = 15.0
CATCH_UP_SECONDS = 10.0
STREAM_LENGTH = 4000
WRITE_EVERY_SECONDS = 0.1
# Docker hands out a flood more slowly than it takes it: whoever watches sees its newest lines all the same.
BEHIND_SECONDS = 0.5
LOOK_AHEAD_EVERY_SECONDS = 0.4
LOOK_AHEAD_LINES = 200
RETRY_SECONDS = 1.0
JOIN_SECONDS = 2.0


class LogStreams(Protocol):
    """What the agent needs of sparkweb/streams.py."""

    def append(self, stream: str, data: Mapping[str, Any], maxlen: int | None = None) -> str: ...


class Follower:
    """Reads one container's log from its last 1,000 lines on, until it has ended."""

    def __init__(
        self,
        engine: LogSource,
        container_id: str,
        stream: str,
        started_at: float | None,
        archive: MemberArchive | None,
    ) -> None:
        self.stream = stream
        self.buffer = LineBuffer()
        self.milestone: Milestone | None = None
        self.ended = False
        self._engine = engine
        self._container_id = container_id
        self._archive = archive
        self._is_fresh = time.time() - (started_at or 0.0) < FRESH_SECONDS
        self._caught_up = archive is None
        self._unrepeated = Unrepeated()
        self._unshown = Unrepeated()
        self._began_at = time.time()
        self._looked_ahead_at = 0.0
        self._closing = threading.Event()
        self._left = False
        self._log_stream: LineStream | None = None
        self._thread = threading.Thread(target=self._run, name=f"log-{container_id[:12]}", daemon=True)
        self.buffer.reset()
        self._thread.start()

    def close(self) -> None:
        """Stop reading; the thread ends by itself."""
        self._closing.set()
        if self._log_stream is not None:
            self._log_stream.close()

    def leave(self) -> None:
        """Stop reading a container that goes on: for its member, this is the end of the log."""
        self._left = True
        self.close()

    def join(self, timeout_seconds: float) -> None:
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._read_once()
                if self._is_over():
                    self._read_rest()
                    break
                self._closing.wait(RETRY_SECONDS)
        finally:
            if self._left or not self._closing.is_set():
                self.buffer.end()
                if self._archive is not None:
                    self._archive.finish(ended=True)
            self.ended = True

    def _read_once(self) -> None:
        since = self._unrepeated.until
        try:
            tail = TAIL_LINES if self._catch_up() and since is None else ALL_LINES
            self._log_stream = self._engine.logs_follow(self._container_id, tail, since)
        except DockerTrouble as trouble:
            log.debug("log not attached", container=self._container_id[:12], reason=str(trouble))
            return
        if self._closing.is_set():
            self._log_stream.close()
        for batch in self._log_stream:
            self._take(batch)

    def _read_rest(self) -> None:
        """Docker may end a stream with its container, before the last lines of one that wrote fast."""
        try:
            self._log_stream = self._engine.logs_read(self._container_id, ALL_LINES, self._unrepeated.until)
        except DockerTrouble as trouble:
            log.debug("rest of a log not read", container=self._container_id[:12], reason=str(trouble))
            return
        for batch in self._log_stream:
            self._take(batch)

    def _take(self, batch: list[LogLine]) -> None:
        lines = self._unrepeated.of(batch)
        stamped = [line.stamped for line in lines]
        if may_tell_milestone("\n".join(stamped)):
            for line in lines:
                if found := milestone_of_line(line.text):
                    self.milestone = found.after(self.milestone)
        self.buffer.put([line.stamped for line in self._unshown.of(lines)])
        if self._archive is not None:
            self._archive.put(batch)
        if lines and self._is_behind(lines[-1]):
            self._look_ahead()

    def _is_behind(self, line: LogLine) -> bool:
        """Whether a line that was written while we followed has come so late that newer ones wait."""
        now, written_at = time.time(), docker_time(line.at) or 0.0
        is_late = self._began_at < written_at < now - BEHIND_SECONDS
        return is_late and time.monotonic() - self._looked_ahead_at > LOOK_AHEAD_EVERY_SECONDS

    def _look_ahead(self) -> None:
        """Show the newest lines now. The archive gets every line, in order, as far as it takes them."""
        try:
            with contextlib.closing(self._engine.logs_read(self._container_id, LOOK_AHEAD_LINES)) as tail:
                newest = [line for batch in tail for line in batch]
        except DockerTrouble as trouble:
            log.debug("newest lines not read", container=self._container_id[:12], reason=str(trouble))
            return
        finally:
            self._looked_ahead_at = time.monotonic()
        unseen = self._unshown.of(newest)
        if len(unseen) < len(newest):
            self.buffer.put([line.stamped for line in unseen])
        elif unseen:
            self.buffer.jump([line.stamped for line in unseen])

    def _catch_up(self) -> bool:
        """Archive what was written before anybody followed: since the archive's end, or the beginning.

        False for a container that has only just begun: it is followed from its first
        line on. One that writes faster than it can be read must not keep its newest
        lines from being seen: after a while the rest is marked as missing.
        """
        if self._caught_up or self._archive is None:
            return True
        self._caught_up = True
        if self._archive.since is None and self._is_fresh:
            return False
        until = time.monotonic() + CATCH_UP_SECONDS
        self._log_stream = self._engine.logs_read(self._container_id, ALL_LINES, self._archive.since)
        for batch in self._log_stream:
            self._archive.put(batch)
            if time.monotonic() > until:
                self._log_stream.close()
                self._archive.gap()
                break
        return True

    def _is_over(self) -> bool:
        """Whether the container has ended, so that the end of its log is the end."""
        try:
            return self._engine.inspect(self._container_id).state not in ("running", "paused", "restarting")
        except ContainerMissing:
            return True
        except DockerTrouble:
            return False


class Followers:
    """All followers of one node, by container."""

    def __init__(
        self, engine: LogSource, streams: LogStreams, node_name: str, archive: LogArchive | None = None
    ) -> None:
        self._engine = engine
        self._archive = archive
        self._streams = streams
        self._node_name = node_name
        self._followers: dict[tuple[str, float | None], Follower] = {}
        self._members: dict[str, str] = {}
        self._forgotten: set[str] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ensure(self, container_id: str, started_at: float | None, member: str) -> None:
        """Follow this run of a container, unless that is or was done already."""
        key = (container_id, started_at)
        if key not in self._followers and not self._closing.is_set():
            stream = f"log:{self._node_name}:{member}"
            kept = self._archive.member(member) if self._archive else None
            self._followers[key] = Follower(self._engine, container_id, stream, started_at, kept)
            self._members[container_id] = member

    def milestone(self, container_id: str, started_at: float | None) -> Milestone | None:
        """The last milestone of this run's log."""
        follower = self._followers.get((container_id, started_at))
        return follower.milestone if follower else None

    def has_ended(self, container_id: str, started_at: float | None) -> bool:
        """Whether this run's log was read to its end."""
        follower = self._followers.get((container_id, started_at))
        return follower is not None and follower.ended

    def forget(self, container_id: str) -> None:
        """The container is no more. What was read of it is written still."""
        self._forgotten.add(container_id)

    def leave(self, container_id: str) -> None:
        """The container goes on and is nobody's here any more. What was read of it is written still."""
        for key, follower in list(self._followers.items()):
            if key[0] == container_id:
                follower.leave()
        self.forget(container_id)

    def close(self) -> None:
        self._closing.set()
        for follower in list(self._followers.values()):
            follower.close()
        for follower in list(self._followers.values()):
            follower.join(JOIN_SECONDS)
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while not self._closing.wait(WRITE_EVERY_SECONDS):
            for key, follower in list(self._followers.items()):
                ended = follower.ended
                if self._write(follower) and ended and key[0] in self._forgotten:
                    del self._followers[key]
                    self._archive_forget(key[0])
            self._forgotten &= {container_id for container_id, _ in self._followers}

    def _archive_forget(self, container_id: str) -> None:
        member = self._members.pop(container_id, None)
        if self._archive and member:
            self._archive.forget(member)

    def _write(self, follower: Follower) -> bool:
        """Write what is due; whether Redis took all of it."""
        while batch := follower.buffer.take(time.monotonic()):
            try:
                self._append(follower.stream, batch)
            except StreamsDown:
                follower.buffer.put_back(batch)
                return False
        return follower.buffer.is_empty()

    def _append(self, stream: str, batch: Batch) -> None:
        if batch.reset:
            self._streams.append(stream, {"reset": True}, STREAM_LENGTH)
        if batch.jumped:
            self._streams.append(stream, {"skipped": True}, STREAM_LENGTH)
        if batch.skipped:
            self._streams.append(stream, {"skipped": batch.skipped}, STREAM_LENGTH)
        if batch.lines:
            self._append_lines(stream, batch.lines)
        if batch.end:
            self._streams.append(stream, {"end": True}, STREAM_LENGTH)

    def _append_lines(self, stream: str, lines: list[str]) -> None:
        try:
            self._streams.append(stream, {"lines": lines}, STREAM_LENGTH)
        except EntryTooLarge:
            # JSON escapes can make a batch six times as large; one line alone always fits.
            half = len(lines) // 2
            self._append_lines(stream, lines[:half])
            self._append_lines(stream, lines[half:])
