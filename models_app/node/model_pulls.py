"""Models that are pulled into a server which runs already: Ollama's, one thread for each.

Nothing is remembered: a server that answers and does not list its model gets
it pulled, so that an agent that was restarted goes on where Ollama stands.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

from models_app.node.facts import Facts
from models_app.node.identity import Identity
from models_app.node.ollama import PullState, failure_sentence, is_final
from sparkweb.adapters.engine_http import HTTP_ERRORS, JsonLines
from sparkweb.node_link.journal import JournalUnavailable

log = structlog.get_logger(__name__)

# Ollama reads a large model again to check it, and says nothing meanwhile.
SILENCE_SECONDS = 600
TRIES = 3
RETRY_SECONDS = 2.0
# How long the server has to list what it pulled, before it is taken for lost again.
LISTED_SECONDS = 3.0
JOIN_SECONDS = 2.0


class ModelPull:
    """One model on its way into one container. A member that was stopped stays cancelled."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.state = PullState(identity.probe.model)
        self.cancelled = threading.Event()
        self.failed = False
        self.done_at: float | None = None
        self._lines: JsonLines | None = None

    def cancel(self) -> None:
        self.cancelled.set()
        if lines := self._lines:
            lines.end()

    @property
    def is_settling(self) -> bool:
        """Whether it was pulled so lately that nobody may have seen it."""
        return self.done_at is not None and time.monotonic() - self.done_at < LISTED_SECONDS

    def run(self) -> str:
        """Pull until it is there; the reason if it is not. Only tries without progress count."""
        tries, self.done_at = 0, None
        while not self.cancelled.is_set():
            before = self.state.done_bytes or 0
            error = self._try()
            if not error or self.cancelled.is_set():
                self.done_at = time.monotonic()
                return ""
            tries = 1 if (self.state.done_bytes or 0) > before else tries + 1
            if is_final(error) or tries >= TRIES:
                return error
            log.info("model pull begins again", model=self.state.model, reason=error)
            self.cancelled.wait(RETRY_SECONDS * tries)
        return ""

    def _try(self) -> str:
        probe = self.identity.probe
        self.state.begin()
        body = {"model": probe.model, "stream": True}
        try:
            with JsonLines(probe.host, probe.port, "/api/pull", body, SILENCE_SECONDS) as self._lines:
                if self.cancelled.is_set():
                    return ""
                for message in self._lines:
                    self.state.feed(message)
        except HTTP_ERRORS as error:
            return f"the connection to the server broke ({error or type(error).__name__})"
        if self.state.error:
            return self.state.error
        return "" if self.state.finished else "the server ended the download without a word"


class ModelPulls:
    """All pulls of one node, by member. `on_failure` brings the member down once its end was written."""

    def __init__(self, facts: Facts, on_failure: Callable[[Identity], None]) -> None:
        self._facts = facts
        self._on_failure = on_failure
        self._pulls: dict[str, ModelPull] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()
        self._closed = False

    def ensure(self, identity: Identity) -> None:
        """Have the member's model pulled, unless that goes on, failed or was cancelled."""
        member = identity.member
        with self._lock:
            pull, thread = self._pulls.get(member), self._threads.get(member)
            over = pull is not None and (pull.failed or pull.cancelled.is_set() or pull.is_settling)
            if self._closed or over or (thread is not None and thread.is_alive()):
                return
            if pull is None:
                pull = self._pulls[member] = ModelPull(identity)
            thread = threading.Thread(target=self._run, args=[pull], name=f"pull-{member[:8]}", daemon=True)
            self._threads[member] = thread
        thread.start()

    def stage(self, member: str) -> dict[str, Any] | None:
        """The report's `stage` of a member's download; None if none goes on or has just ended."""
        with self._lock:
            pull = self._pulls.get(member)
        return pull.state.stage() if pull and (pull.done_at is None or pull.is_settling) else None

    def cancel(self, member: str) -> None:
        """The member is being stopped: end its download, and begin no other."""
        with self._lock:
            pull = self._pulls.get(member)
        if pull is not None:
            pull.cancel()

    def forget(self, member: str) -> None:
        """The member's container does not run any more."""
        self.cancel(member)
        with self._lock:
            self._pulls.pop(member, None)
            self._threads.pop(member, None)

    def close(self) -> None:
        """End all downloads; the next agent goes on with them."""
        with self._lock:
            self._closed = True
            pulls, threads = list(self._pulls.values()), list(self._threads.values())
        for pull in pulls:
            pull.cancel()
        for thread in threads:
            thread.join(JOIN_SECONDS)

    def _run(self, pull: ModelPull) -> None:
        error = pull.run()
        if not error:
            return
        reason = failure_sentence(pull.state.model, error)
        log.warning("model not pulled", member=pull.identity.member, reason=reason)
        try:
            self._facts.refused(pull.identity, "model_pull_failed", reason)
        except JournalUnavailable as trouble:
            log.error("failed pull not written down; it is tried again", reason=str(trouble))
            return
        pull.failed = True
        self._on_failure(pull.identity)
