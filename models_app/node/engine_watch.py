"""Asks engines that are ready for their own figures, every few seconds, and never waits for one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import structlog

from models_app.engines.spec import ProbeSpec
from models_app.node.engine_figures import Reading, engine_json, rates_between, reading_of
from models_app.node.hangs import Pulse
from sparkweb.adapters import engine_http
from sparkweb.adapters.connections import clients_of

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
# Engines write a log line for each question.
EVERY_SECONDS = 5.0
EVERY_SECONDS_WHEN_SILENT = 60.0
LIMIT_SECONDS = 4.0
STALE_SECONDS = 16.0
THREADS = 8
TOKEN_LIMIT_SECONDS = 30.0
TOKEN_THREADS = 4
# What servers without figures answer; llama.cpp without --metrics says 501.
SAYS_NOTHING = (404, 405, 501)

Asked = Callable[[], dict[str, ProbeSpec]]
"""The running containers to ask, by id, of engines that are ready."""


@dataclass
class Watched:
    """What is known of one engine. Times are monotonic seconds."""

    due_at: float = 0.0
    reading: Reading | None = None
    read_at: float = 0.0
    rates: dict[str, float | None] = field(default_factory=dict)
    answers: bool | None = None  # None: not asked yet; False: it offers no figures
    pulse: Pulse = field(default_factory=Pulse)

    def take(self, reading: Reading | None, now: float) -> None:
        """Take over an answer; None: it said nothing now. What it had said goes stale then."""
        if reading is None:
            self.answers = self.reading is not None
            return
        if self.reading:
            self.rates = rates_between(self.reading, reading, now - self.read_at)
        self.reading, self.read_at, self.answers = reading, now, True

    def to_json(self, now: float) -> dict[str, Any] | None:
        if self.answers is None:
            return None
        return engine_json(
            self.reading, self.rates, stale=bool(self.answers) and now - self.read_at > STALE_SECONDS
        )


class EngineWatch:
    """A thread that looks once a second whom to ask, and a small pool that asks."""

    def __init__(self, asked: Asked, pid_of: Callable[[str], int | None], patience_seconds: float) -> None:
        self._asked = asked
        self._pid_of = pid_of
        self._patience_seconds = patience_seconds
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="engine-figures")
        # Apart from the others: a question for a token may take half a minute.
        self._token_pool = ThreadPoolExecutor(TOKEN_THREADS, thread_name_prefix="engine-token")
        self._lock = threading.Lock()
        self._watched: dict[str, Watched] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._token_pool.shutdown(wait=False, cancel_futures=True)

    def entry(self, container_id: str) -> dict[str, Any] | None:
        """The report's `engine` of a container; None while it was never ready or not asked yet."""
        with self._lock:
            watched = self._watched.get(container_id)
            return watched.to_json(time.monotonic()) if watched else None

    def hang(self, container_id: str) -> str | None:
        """The report's `hang`: why an engine is taken for hanging, in words; None while it is not."""
        with self._lock:
            watched = self._watched.get(container_id)
            return (watched.pulse.hang or None) if watched else None

    def tick(self) -> None:
        """Forget who is gone, ask who is due."""
        asked, now = self._asked(), time.monotonic()
        with self._lock:
            self._watched = {key: self._watched.get(key) or Watched() for key in asked}
            due = [key for key, watched in self._watched.items() if watched.due_at <= now]
            for key in due:
                self._watched[key].due_at = float("inf")
            doubtful = [
                key
                for key, watched in self._watched.items()
                if watched.pulse.wants_token(now, self._patience_seconds)
            ]
        for key in due:
            self._pool.submit(self._ask, key, asked[key])
        for key in doubtful:
            self._token_pool.submit(self._token_ask, key, asked[key])

    def _run(self) -> None:
        while not self._closing.wait(TICK_SECONDS):
            try:
                self.tick()
            except Exception:
                log.exception("engine watch failed")

    def _ask(self, container_id: str, probe: ProbeSpec) -> None:
        answer: tuple[int, bytes] | None = None
        try:
            answer = engine_http.ask(probe.host, probe.port, figures_path(probe), LIMIT_SECONDS)
        except engine_http.HTTP_ERRORS as error:
            log.debug("an engine gives no figures", container=container_id[:12], reason=str(error))
        status, body = answer or (0, b"")
        reading = reading_of(probe.kind, probe.model, body) if status == 200 else None
        clients = (
            self._clients(container_id, probe) if reading and self._wanted(container_id, reading) else None
        )
        now = time.monotonic()
        with self._lock:
            watched = self._watched.get(container_id)
            if watched is None:
                return
            if reading:
                watched.pulse.feed(reading, clients, now)
            if status in SAYS_NOTHING or status == 200:
                watched.take(reading, now)
            watched.due_at = now + (EVERY_SECONDS_WHEN_SILENT if watched.answers is False else EVERY_SECONDS)

    def _wanted(self, container_id: str, reading: Reading) -> bool:
        with self._lock:
            watched = self._watched.get(container_id)
            return watched is not None and watched.pulse.wants_clients(
                reading, time.monotonic(), self._patience_seconds
            )

    def _clients(self, container_id: str, probe: ProbeSpec) -> set[str]:
        pid = self._pid_of(container_id)
        return clients_of(pid, probe.port) if pid else set()

    def _token_ask(self, container_id: str, probe: ProbeSpec) -> None:
        """Ask for one token; any answer but a server error means that the engine works."""
        body = {"model": probe.model, "prompt": "1", "max_tokens": 1}
        words = f"got none within {TOKEN_LIMIT_SECONDS:g} s"
        try:
            status, _ = engine_http.ask(probe.host, probe.port, "/v1/completions", TOKEN_LIMIT_SECONDS, body)
            works = status < 500
            words = f"was answered with {status}"
        except TimeoutError:
            works = False
        except engine_http.HTTP_ERRORS:
            works, words = False, "was cut off"
        now = time.monotonic()
        with self._lock:
            watched = self._watched.get(container_id)
            if watched is None:
                return
            if works:
                watched.pulse.answered(now)
            else:
                watched.pulse.unanswered(now, words)
        if not works:
            log.warning("an engine hangs", container=container_id[:12], reason=words)


def figures_path(probe: ProbeSpec) -> str:
    """Where an engine tells its figures: NIM, known by its health path, does so below /v1."""
    if probe.kind == "ollama":
        return "/api/ps"
    return "/v1/metrics" if probe.path.startswith("/v1/") else "/metrics"
