"""What a follower asks of whoever keeps logs: the Docker engine for containers, ScriptLogs for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from sparkweb.adapters.docker_logs import LogLine
from sparkweb.adapters.docker_types import Inspection


class LineStream(Protocol):
    """Lists of lines as they arrive; close() may be called from any thread."""

    def __iter__(self) -> Iterator[list[LogLine]]: ...
    def close(self) -> None: ...


class LogSource(Protocol):
    """Raises DockerTrouble: ContainerMissing for what is no more."""

    def logs_follow(self, container: str, tail: int, since: str | None = None) -> LineStream: ...
    def logs_read(self, container: str, tail: int, since: str | None = None) -> LineStream: ...
    def inspect(self, container: str) -> Inspection: ...
