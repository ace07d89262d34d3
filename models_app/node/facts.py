"""What happened to our containers, written to the node's journal.

The verbs and their data are those of docs/architecture.md, "Facts".
"""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Any, Protocol

from models_app.engines.spec import ProbeSpec
from models_app.node.identity import Identity


class FactJournal(Protocol):
    """What the agent needs of the node's journal (sparkweb/node_link/journal.py)."""

    def add(self, verb: str, data: dict[str, Any]) -> int: ...
    def is_acknowledged(self, sequence: int) -> bool: ...
    def fence(self, launch: str, generation: int) -> bool: ...


class Facts:
    """Writes facts. Every method raises JournalUnavailable when the journal cannot store it."""

    def __init__(self, journal: FactJournal) -> None:
        self._journal = journal
        self._announced: set[str] = set()
        self._lock = threading.Lock()

    def created(
        self,
        identity: Identity,
        container_id: str,
        image_digest: str | None,
        adopted: bool,
        probe: ProbeSpec | None = None,
    ) -> None:
        """A container of ours exists; said once per container and process.

        `probe` says how one is asked that somebody else started.
        """
        with self._lock:
            if container_id in self._announced:
                return
            self._announced.add(container_id)
        data: dict[str, Any] = {
            "container_id": container_id,
            "image_digest": image_digest,
            "adopted": adopted,
        }
        if probe is not None:
            data["probe"] = asdict(probe)
        try:
            self._journal.add("container_created", {**identity.fact(), **data})
        except Exception:
            with self._lock:
                self._announced.discard(container_id)
            raise

    def answers(self, entry: dict[str, Any]) -> None:
        """The engine answers as ready for the first time: its entry of the report, sooner than that."""
        self._journal.add("container_ready", entry)

    def script_started(self, identity: Identity, adopted: bool) -> None:
        """A script of ours runs: what a container's creation is, without a container."""
        data = {"container_id": None, "image_digest": None, "adopted": adopted}
        self._journal.add("container_created", {**identity.fact(), **data})

    def refused(self, identity: Identity, code: str, reason: str) -> None:
        """The start failed before anything ran; nothing is left of it."""
        self._journal.add("start_refused", {**identity.fact(), "code": code, "reason": reason})

    def exited(self, identity: Identity, end: dict[str, Any]) -> int:
        """The container ended; the sequence, whose acknowledgement allows its removal."""
        return self._journal.add("container_exited", {**identity.fact(), **end})

    def gone(self, identity: Identity, reason: str) -> None:
        """The container vanished, and not by us."""
        self._journal.add("container_gone", {**identity.fact(), "reason": reason})

    def removed(self, launch: str, member: str, generation: int) -> None:
        """Nothing is left of the member on this node."""
        self._journal.add("container_removed", {"launch": launch, "member": member, "generation": generation})

    def guardian_acted(self, member: str, act: dict[str, Any]) -> None:
        """The memory guardian ended a member (or something else of ours, or found nothing: "")."""
        self._journal.add("guardian_acted", {"member": member, "act": act})

    def group_checked(self, answer: dict[str, Any]) -> None:
        """What this node found out for a preflight."""
        self._journal.add("group_checked", answer)

    def is_announced(self, container_id: str) -> bool:
        """Whether this process has said that the container exists."""
        with self._lock:
            return container_id in self._announced

    def fence(self, launch: str, generation: int) -> bool:
        """False: a newer generation of this launch was seen here, so this one is to be dropped."""
        return self._journal.fence(launch, generation)

    def is_acknowledged(self, sequence: int) -> bool:
        return self._journal.is_acknowledged(sequence)

    def forget(self, container_id: str) -> None:
        """The container is no more; its id need not be remembered."""
        with self._lock:
            self._announced.discard(container_id)
