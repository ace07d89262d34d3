"""What of our models the memory guardian may end, and what becomes of it when it did.

A container counts as a start until its engine was ready once; from then on as
ready, whatever it answers later. Agents that come after learn that from the last
plan, which outlives them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import structlog

from models_app.node.facts import Facts
from models_app.node.identity import Identity
from models_app.node.observer import Observer
from models_app.node.probes import Prober
from models_app.node.script_runs import ScriptRuns
from models_app.node.tracked import Tracked
from sparkweb.adapters.docker_engine import DockerEngine
from sparkweb.adapters.docker_errors import DockerTrouble
from sparkweb.adapters.script_process import ScriptState
from sparkweb.guardian.decide import KILL, Victim
from sparkweb.guardian.killing import start_ticks

log = structlog.get_logger(__name__)

GroupFolder = Callable[[str, int | None], Path | None]


class GuardedModels:
    """Victims of the classes `start` and `ready`. Any thread may call."""

    def __init__(
        self,
        engine: DockerEngine,
        facts: Facts,
        observer: Observer,
        scripts: ScriptRuns,
        prober: Prober,
        folder_of: GroupFolder,
    ) -> None:
        self._engine = engine
        self._facts = facts
        self._observer = observer
        self._scripts = scripts
        self._prober = prober
        self._folder_of = folder_of
        self._were_ready: set[str] = set()
        self._ranks: dict[str, tuple[int, bool]] = {}

    def remember(self, victims: Iterable[Victim]) -> None:
        """Take over what an earlier agent's plan knew."""
        for victim in victims:
            self._ranks[victim.key] = (victim.priority, victim.pinned)
            if victim.kind == "ready":
                self._were_ready.add(victim.container_id or victim.key)

    def rank(self, member: str, priority: int, pinned: bool) -> None:
        """The owner changed how long a member's definition is kept, while it runs."""
        self._ranks[member] = (priority, pinned)

    def rank_of(self, identity: Identity) -> tuple[int, bool]:
        """Priority and pin: as told last, else as the container's labels say."""
        return self._ranks.get(identity.member, (identity.priority, identity.pinned))

    def victims(self) -> list[Victim]:
        """One for each running container or script that we started, and for nothing else."""
        watched = list(self._observer.containers.values())
        containers = [one for one in watched if one.identity and not one.adopted]
        scripts = self._scripts.running()
        names = [one.id for one in containers] + [identity.member for identity, _ in scripts]
        self._were_ready.update(name for name in names if self._prober.result(name).ready)
        members = {one.identity.member for one in containers if one.identity}
        self._forget(set(names), members | {identity.member for identity, _ in scripts})
        of_containers = [self._victim(one, one.identity) for one in containers if one.identity and one.runs]
        return of_containers + [self._script_victim(identity, state) for identity, state in scripts]

    def _script_victim(self, identity: Identity, state: ScriptState) -> Victim:
        assert state.script
        priority, pinned = self.rank_of(identity)
        return Victim(
            key=identity.member,
            kind="ready" if identity.member in self._were_ready else "start",
            name=identity.slug,
            container_id="",
            started_at=state.started_at,
            priority=priority,
            pinned=pinned,
            pid=state.script[0],
            start_ticks=state.script[1],
            scope="session",
        )

    def _victim(self, one: Tracked, identity: Identity) -> Victim:
        priority, pinned = self.rank_of(identity)
        folder = self._folder_of(one.id, one.pid)
        return Victim(
            key=identity.member,
            kind="ready" if one.id in self._were_ready else "start",
            name=identity.slug or one.listed.name,
            container_id=one.id,
            started_at=one.started_at or 0.0,
            priority=priority,
            pinned=pinned,
            pid=one.pid,
            start_ticks=start_ticks(one.pid) if one.pid else None,
            cgroup=str(folder) if folder else None,
        )

    def _forget(self, ids: set[str], members: set[str]) -> None:
        if self._observer.answered:
            self._were_ready &= ids
            self._ranks = {member: rank for member, rank in self._ranks.items() if member in members}

    def acted(self, act: dict[str, Any]) -> None:
        """Write down what the guardian did, and see to it that dockerd knows. Raises JournalUnavailable."""
        victim = act.get("victim") or {}
        one = self._observer.containers.get(str(victim.get("container_id") or ""))
        self._facts.guardian_acted(str(victim.get("key") or ""), act)
        log.warning("the memory guardian acted", sentence=act.get("sentence"), member=victim.get("key"))
        if one and one.identity and act.get("action") == KILL:
            threading.Thread(target=self._docker_tell, args=[one.id], name="guardian", daemon=True).start()

    def _docker_tell(self, container_id: str) -> None:
        """Let dockerd end what is left; it may answer only once it works again."""
        try:
            self._engine.stop(container_id, 0)
        except DockerTrouble as trouble:
            log.info("dockerd not told of an end", container=container_id[:12], reason=str(trouble))
