"""A private redis-server for tests: start, stop, kill, freeze, flush.

    redis = RedisServer(tmp_path)
    redis.start()            # returns once it answers
    redis.url                # unix:///…/redis.sock
    redis.kill()             # SIGKILL, as a power cut
    redis.start()            # the same socket, what the append-only file holds

No data outlives `stop()` unless `persist=True`, which is how `up` runs it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.ports import free_port

__all__ = ["RedisServer", "redis_server", "redis_url", "shared_redis"]

START_SECONDS = 60.0


class RedisServer:
    """One redis-server process on a Unix socket, or on a loopback port with `tcp=True`."""

    def __init__(
        self, *, tcp: bool = False, persist: bool = False, config: dict[str, str] | None = None
    ) -> None:
        # Not pytest's tmp_path: a Unix socket's path is limited to 108 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self.socket = self.folder / "redis.sock"
        self.port = free_port() if tcp else 0
        self.persist = persist
        self.config = config or {}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        if password := self.config.get("requirepass"):
            return self.url_as("default", password)
        return f"redis://127.0.0.1:{self.port}/0" if self.port else f"unix://{self.socket}"

    def url_as(self, user: str, password: str) -> str:
        """The address for an ACL user."""
        if self.port:
            return f"redis://{user}:{password}@127.0.0.1:{self.port}/0"
        return f"unix://{user}:{password}@{self.socket}"

    def client(self) -> redis.Redis:
        """A client that decodes text and does not retry."""
        return redis.Redis.from_url(self.url, decode_responses=True, socket_timeout=5)

    def start(self) -> RedisServer:
        """Start it and wait until it answers PING with its data loaded."""
        assert self.process is None or self.process.poll() is not None, "redis-server already runs"
        command = [shutil.which("redis-server") or "redis-server", "--dir", str(self.folder), "--save", ""]
        command += ["--appendonly", "yes" if self.persist else "no", "--port", str(self.port)]
        command += ["--unixsocket", str(self.socket), "--unixsocketperm", "600", "--bind", "127.0.0.1"]
        for name, value in self.config.items():
            command += [f"--{name}", value]
        log = (self.folder / "redis.log").open("ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"redis-server did not start: {(self.folder / 'redis.log').read_text()}")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """Stop it in order (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Leave its sockets open but answer nothing (SIGSTOP)."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on (SIGCONT)."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill it and remove its folder."""
        self._end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(how)
        self.process.send_signal(signal.SIGCONT)
        self.process.wait(timeout=60)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False  # not listening yet, or still loading its append-only file


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """One server for the tests of this process that only use it."""
    server = RedisServer().start()
    yield server
    server.close()


@pytest.fixture
def redis_url(shared_redis: RedisServer) -> str:
    """Address of an empty, running Redis; the test must not stop it."""
    with shared_redis.client() as client:
        client.flushall()
    return shared_redis.url


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A server of the test's own, to stop, kill, freeze and flush."""
    server = RedisServer(persist=True).start()
    yield server
    server.close()
