"""Whether engines answer: asked over HTTP on this node, a second at most per question."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from models_app.engines.spec import ProbeSpec
from models_app.node.ollama import is_listed, names_listed
from sparkweb.adapters import engine_http

TIMEOUT_SECONDS = 1.0
# Engines write a log line for each question, so those that are well are asked less often.
EVERY_SECONDS_WHEN_READY = 5.0
EVERY_SECONDS = 0.9
# A container that has just begun is asked at once and again so soon after, until somebody listens in it:
# an engine that has nothing to load must not wait for the next second.
FIRST_RESTS_SECONDS = (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25)
THREADS = 8


@dataclass(frozen=True)
class ProbeResult:
    """`health`: HTTP status of the health path, None without an answer.

    `failures` counts questions in a row that were not answered as they should,
    since the last success or the start of the container.
    """

    ready: bool = False
    health: int | None = None
    models: list[str] = field(default_factory=list)
    message: str = "not asked yet"
    failures: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Prober:
    """Asks many engines without ever holding up its caller."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="probe")
        self._lock = threading.Lock()
        self._results: dict[str, ProbeResult] = {}
        self._due: dict[str, float] = {}
        self._were_ready: set[str] = set()
        # Called with the container's id when this run of it answers as ready for the first time.
        self.on_ready: Callable[[str], None] = lambda _: None

    def ask(self, container_id: str, probe: ProbeSpec) -> None:
        """Ask this engine in the background, if it is time and no question is under way."""
        now = time.monotonic()
        with self._lock:
            if self._due.get(container_id, 0.0) > now:
                return
            self._due[container_id] = float("inf")
        self._pool.submit(self._ask, container_id, probe)

    def result(self, container_id: str) -> ProbeResult:
        with self._lock:
            return self._results.get(container_id, ProbeResult())

    def was_ready(self, container_id: str) -> bool:
        """Whether this run of the container was ready once."""
        with self._lock:
            return container_id in self._were_ready

    def forget(self, container_id: str) -> None:
        """The container does not run any more; the next run begins from nothing."""
        with self._lock:
            self._were_ready.discard(container_id)
            self._results.pop(container_id, None)
            self._due.pop(container_id, None)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, container_id: str, probe: ProbeSpec) -> None:
        before = self._before(container_id)
        result = probe_once(probe, before or ProbeResult())
        for rest in FIRST_RESTS_SECONDS if before is None else ():
            if result.ready or result.health is not None or not self._is_asked(container_id):
                break
            time.sleep(rest)
            result = probe_once(probe, result)
        if self._keep(container_id, probe, result):
            self.on_ready(container_id)

    def _before(self, container_id: str) -> ProbeResult | None:
        with self._lock:
            return self._results.get(container_id)

    def _is_asked(self, container_id: str) -> bool:
        """Whether nobody has forgotten it meanwhile."""
        with self._lock:
            return container_id in self._due

    def _keep(self, container_id: str, probe: ProbeSpec, result: ProbeResult) -> bool:
        """Store an answer; whether it is the first ready one of this run."""
        asks = probe.kind != "none"
        rest = EVERY_SECONDS_WHEN_READY if result.ready and asks else EVERY_SECONDS
        with self._lock:
            if container_id not in self._due:
                return False
            first = result.ready and asks and container_id not in self._were_ready
            self._results[container_id] = result
            self._due[container_id] = time.monotonic() + rest
            if first:
                self._were_ready.add(container_id)
            return first


def probe_once(probe: ProbeSpec, before: ProbeResult) -> ProbeResult:
    """Ask once; `before` is the previous result. Takes two seconds at most.

    The model list of `openai` is asked for until it was right once: later the
    health path alone says whether the engine lives. Ollama's list is both.
    """
    if probe.kind == "none":
        return ProbeResult(ready=True, message="runs; it has nothing to ask")
    health: int | None = None
    models = before.models
    try:
        health, body = _get(probe, probe.path)
        if health != 200:
            raise _Unready(f"{probe.path} answered {health}")
        if probe.kind == "ollama":
            models = names_listed(body) or []
            if not is_listed(probe.model, models):
                raise _Unready(f"the server runs; {probe.model} is not in it yet")
        if probe.kind == "openai" and probe.model not in models:
            models = _models(probe)
            if probe.model not in models:
                raise _Unready(f"/v1/models does not list {probe.model}")
    except (*engine_http.HTTP_ERRORS, _Unready) as error:
        return ProbeResult(False, health, models, _words(error), before.failures + 1)
    return ProbeResult(True, health, models, "ready")


class _Unready(Exception):
    """The engine answers, and not as a ready one does."""


def _models(probe: ProbeSpec) -> list[str]:
    status, body = _get(probe, "/v1/models")
    if status != 200:
        raise _Unready(f"/v1/models answered {status}")
    try:
        return [str(model["id"]) for model in json.loads(body)["data"]]
    except (ValueError, KeyError, TypeError):
        raise _Unready("/v1/models answered something that is no model list") from None


def _get(probe: ProbeSpec, path: str) -> tuple[int, bytes]:
    return engine_http.get(probe.host, probe.port, path, TIMEOUT_SECONDS)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, _Unready):
        return str(error)
    # Docker's port proxy accepts before the engine listens, and then hangs up.
    return "nobody listens in the container yet"
