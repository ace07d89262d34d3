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
from sparkweb.adapters import engine_http

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
# Engines write a log line for each question.
EVERY_SECONDS = 5.0
EVERY_SECONDS_WHEN_SILENT = 60.0
LIMIT_SECONDS = 4.0
STALE_SECONDS = 16.0
THREADS = 8
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

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="engine-figures")
        self._lock = threading.Lock()
        self._watched: dict[str, Watched] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def entry(self, container_id: str) -> dict[str, Any] | None:
        """The report's `engine` of a container; None while it was never ready or not asked yet."""
        with self._lock:
            watched = self._watched.get(container_id)
            return watched.to_json(time.monotonic()) if watched else None

    def tick(self) -> None:
        """Forget who is gone, ask who is due."""
        asked, now = self._asked(), time.monotonic()
        with self._lock:
            self._watched = {key: self._watched.get(key) or Watched() for key in asked}
            due = [key for key, watched in self._watched.items() if watched.due_at <= now]
            for key in due:
                self._watched[key].due_at = float("inf")
        for key in due:
            self._pool.submit(self._ask, key, asked[key])

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
        now = time.monotonic()
        with self._lock:
            watched = self._watched.get(container_id)
            if watched is None:
                return
            if status in SAYS_NOTHING or status == 200:
                watched.take(reading, now)
            watched.due_at = now + (EVERY_SECONDS_WHEN_SILENT if watched.answers is False else EVERY_SECONDS)


def figures_path(probe: ProbeSpec) -> str:
    """Where an engine tells its figures: NIM, known by its health path, does so below /v1."""
    if probe.kind == "ollama":
        return "/api/ps"
    return "/v1/metrics" if probe.path.startswith("/v1/") else "/metrics"
