"""Looks at all containers of this node each second: ours are followed, others shown.

Whatever happens to a container of ours, by our command or behind our back, is
seen here and becomes a fact here, in one thread. Nothing is concluded from an
engine that does not answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

from models_app.node.adopted import Adopted
from models_app.node.exits import TAIL_LIMIT_BYTES, StopNote, exit_reason, exit_signal, tail_text
from models_app.node.facts import Facts
from models_app.node.followers import Followers
from models_app.node.identity import Identity, identity_of_labels
from models_app.node.model_pulls import ModelPulls
from models_app.node.probes import Prober
from models_app.node.starts import Starts
from models_app.node.tracked import Tracked
from models_app.node.watch import Watch
from models_app.node.weights import WeightDownloads
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.adapters.docker_errors import ContainerMissing, DockerTrouble, EngineUnavailable
from sparkweb.adapters.docker_types import EngineStatus, ListedContainer
from sparkweb.node_link.journal import JournalUnavailable

log = structlog.get_logger(__name__)

EVERY_SECONDS = 1.0
STATUS_EVERY_SECONDS = 60.0
TAIL_LINES = 400
LOG_READ_SECONDS = 30.0
# By status, how long after its own start an agent waits for an engine that may be starting too.
FIRST_ANSWER_SECONDS = ((("missing", "down"), 10.0), (("down",), 60.0))
NOT_ASKED = EngineStatus("down", None, "Docker has not been asked yet", None)


class Observer:
    """The thread that watches. `containers` and `status` may be read from any thread."""

    def __init__(
        self,
        engine: DockerEngine,
        facts: Facts,
        starts: Starts,
        followers: Followers,
        prober: Prober,
        pulls: ModelPulls,
        downloads: WeightDownloads,
        watch: Watch,
        owner: tuple[str, str],
        adopted: Adopted,
    ) -> None:
        self._engine = engine
        self._facts = facts
        self._starts = starts
        self._followers = followers
        self._prober = prober
        self._pulls = pulls
        self._downloads = downloads
        self._watch = watch
        self._installation, self._node_name = owner
        self._adopted = adopted
        self.status = NOT_ASKED
        self._first_answer = threading.Event()
        self._began_at = time.monotonic()
        self.containers: dict[str, Tracked] = {}
        self._status_at = 0.0
        self._stops: dict[str, StopNote] = {}
        # Asked before an end is written down: whoever ended it may have more to say.
        self.before_end: Callable[[], None] = lambda: None
        self._closing = threading.Event()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._wanted.set()
        self._thread.join(EVERY_SECONDS + 1)

    def look_now(self) -> None:
        """Something was done to a container: do not wait for the next second."""
        self._wanted.set()

    def stop_begins(self, member: str, timeout_seconds: int) -> None:
        """The end of this member that comes next was asked for."""
        self._pulls.cancel(member)
        self._stops[member] = StopNote(timeout_seconds)

    def knows(self, member: str) -> bool:
        """Whether a container of this member was there at the last look."""
        return any(one.identity and one.identity.member == member for one in list(self.containers.values()))

    @property
    def answered(self) -> bool:
        """Whether Docker has answered once since this agent began."""
        return self._first_answer.is_set()

    def first_answer_wait(self) -> None:
        """Give Docker time to come up when this agent began before it, as after a reboot.

        What runs is unknown until then: a container that control asks for may be there.
        """
        for words, seconds in FIRST_ANSWER_SECONDS:
            left = self._began_at + seconds - time.monotonic()
            if self.status.status in words and left > 0:
                self._first_answer.wait(left)

    def tick(self) -> None:
        """Look once."""
        self._watch.beat()
        try:
            listed = self._engine.containers()
            self._engine_answers()
            self._compare({entry.id: entry for entry in listed})
            self._first_answer.set()
        except EngineUnavailable as trouble:
            self._engine_lost(trouble)
        for one in self.containers.values():
            if one.identity and one.listed.state == "running":
                self._ask(one, one.identity)

    def _ask(self, one: Tracked, identity: Identity) -> None:
        self._prober.ask(one.id, identity.probe)
        result = self._prober.result(one.id)
        if result.ready:
            self._downloads.forget(one.id)
        else:
            self._downloads.look(one.id, identity, one.started_at)
        is_empty = identity.probe.kind == "ollama" and result.health == 200 and not result.ready
        if is_empty and not one.adopted:
            self._pulls.ensure(identity)

    def _run(self) -> None:
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                self.tick()
            except Exception:
                # A mishap with one look must not end all looking.
                log.exception("observer failed")
            self._wanted.wait(max(0.05, EVERY_SECONDS - (time.monotonic() - began)))
            self._wanted.clear()

    # ---- the engine ----

    def _engine_lost(self, trouble: EngineUnavailable) -> None:
        word = {"docker_missing": "missing", "docker_denied": "denied"}.get(trouble.code, "down")
        if self.status.status != word:
            log.warning("docker does not answer", status=word, reason=str(trouble))
        self.status = EngineStatus(word, None, str(trouble), None)

    def _engine_answers(self) -> None:
        now = time.monotonic()
        if self.status.status != "ok" or now - self._status_at > STATUS_EVERY_SECONDS:
            self.status = self._engine.status()
            self._status_at = now

    # ---- containers ----

    def _compare(self, listed: dict[str, ListedContainer]) -> None:
        for vanished in [one for one in self.containers.values() if one.id not in listed]:
            self._guarded(self._vanished, vanished)
        for entry in listed.values():
            one = self.containers.get(entry.id)
            if one is None:
                identity = identity_of_labels(entry.labels, self._installation, self._node_name)
                one = Tracked(entry, identity)
            self._adoption_look(one)
            self._guarded(self._seen, one, entry)

    def _adoption_look(self, one: Tracked) -> None:
        """Take up what was adopted since the last look, and leave what was given back."""
        if one.identity and not one.adopted:
            return
        identity = self._adopted.identity(one.id)
        if identity == one.identity:
            return
        if one.identity:
            self._prober.forget(one.id)
            self._followers.leave(one.id)
            self._facts.forget(one.id)
            self._stops.pop(one.identity.member, None)
        one.identity, one.adopted, one.exit_sequence = identity, identity is not None, None

    def _guarded(self, step: Callable[..., None], *arguments: Any) -> None:
        """One container at a time: trouble with one is looked at again in a second.

        Raises EngineUnavailable, which is trouble with all of them.
        """
        try:
            step(*arguments)
        except ContainerMissing:
            return
        except EngineUnavailable:
            raise
        except (DockerTrouble, JournalUnavailable) as trouble:
            log.warning("container not settled", container=arguments[0].id[:12], reason=str(trouble))

    def _seen(self, one: Tracked, entry: ListedContainer) -> None:
        if one.update(entry):
            one.inspected(self._engine.inspect(one.id))
        if one.id not in self.containers:
            self.containers = {**self.containers, one.id: one}
        if one.identity is None or self._starts.is_busy(one.identity.member):
            return
        if one.runs:
            self._announce(one)
        elif one.has_ended:
            self._prober.forget(one.id)
            self._pulls.forget(one.identity.member)
            self._downloads.forget(one.id)
            self._announce(one)
            self._ended(one)
        elif entry.state == "created" and not one.removing and not one.adopted:
            self._in_background(self._finish, one)

    def _announce(self, one: Tracked) -> None:
        """Say that the container exists, unless that was said, and follow its log."""
        assert one.identity and one.inspection
        if not self._facts.is_announced(one.id):
            digest = self._engine.image_digest(one.inspection.image)
            probe = one.identity.probe if one.adopted else None
            self._facts.created(one.identity, one.id, digest, adopted=True, probe=probe)
        self._followers.ensure(one.id, one.started_at, one.identity.member)

    def _ended(self, one: Tracked) -> None:
        """Write down how it ended; remove it once control has stored that and its log was read.

        What somebody else started stays where it is, and is theirs again.
        """
        assert one.identity and one.inspection
        if one.exit_sequence is None:
            self.before_end()
            one.exit_sequence = self._facts.exited(one.identity, self._end_of(one))
            one.exit_seen_at = time.monotonic()
        waited = time.monotonic() - one.exit_seen_at
        log_read = self._followers.has_ended(one.id, one.started_at) or waited > LOG_READ_SECONDS
        if not log_read or one.removing or not self._facts.is_acknowledged(one.exit_sequence):
            return
        if one.adopted:
            self._adopted.drop(one.id)
        else:
            one.removing = True
            self._in_background(self._remove, one)

    def _end_of(self, one: Tracked) -> dict[str, Any]:
        assert one.identity and one.inspection
        end, stop = one.inspection, self._stops.get(one.identity.member)
        lines = self._engine.log_tail(one.id, TAIL_LINES, 2 * TAIL_LIMIT_BYTES)
        reason = exit_reason(end.exit_code, end.oom_killed, stop, lines)
        return {
            "container_id": one.id,
            "exit_code": end.exit_code,
            "oom_killed": end.oom_killed,
            "signal": exit_signal(end.exit_code),
            "reason": f"{reason} ({end.error})" if end.error else reason,
            "log_tail": tail_text(lines),
            "started_at": end.started_at,
            # Docker 20.10 may stamp the end of what exits at once a millisecond before its start.
            "finished_at": max(end.finished_at or 0, end.started_at or 0) or None,
        }

    def _vanished(self, one: Tracked) -> None:
        if one.identity is not None:
            if self._starts.is_busy(one.identity.member):
                return
            if one.removing:
                self._facts.removed(**one.identity.fact())
            elif one.exit_sequence is None and (one.runs or self._facts.is_announced(one.id)):
                # Also one that was seen ended for a moment: killed, then removed before it could be asked.
                self._facts.gone(one.identity, "The container was removed by someone else, outside SparkWeb")
            self._stops.pop(one.identity.member, None)
            self._pulls.forget(one.identity.member)
        if one.adopted:
            self._adopted.drop(one.id)
        self._prober.forget(one.id)
        self._downloads.forget(one.id)
        self._followers.forget(one.id)
        self._facts.forget(one.id)
        self.containers = {key: value for key, value in self.containers.items() if key != one.id}

    # ---- in the background ----

    def _in_background(self, work: Callable[[Tracked], None], one: Tracked) -> None:
        """Do what may take Docker a while. In a thread that nobody waits for when the agent ends."""
        threading.Thread(target=self._work, args=[work, one], name="container", daemon=True).start()

    def _work(self, work: Callable[[Tracked], None], one: Tracked) -> None:
        try:
            work(one)
        except ContainerMissing:
            log.debug("container is gone already", container=one.id[:12])
        except (DockerTrouble, JournalUnavailable) as trouble:
            log.warning("container not settled", container=one.id[:12], reason=str(trouble))
            one.removing = False
        self.look_now()

    def _remove(self, one: Tracked) -> None:
        self._engine.remove(one.id)

    def _finish(self, one: Tracked) -> None:
        assert one.identity
        self._starts.finish(one.identity, one.listed)
