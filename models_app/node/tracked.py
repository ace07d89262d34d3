"""What the observer knows of one container from one second to the next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models_app.node.identity import Identity
from sparkweb.adapters.docker_types import Inspection, ListedContainer

RUNNING_STATES = ("running", "paused", "restarting")
ENDED_STATES = ("exited", "dead")


@dataclass
class Tracked:
    """One container of this node. `identity` is None for those that are not ours.

    `adopted`: ours to watch, and never to be removed, for somebody else started it.
    """

    listed: ListedContainer
    identity: Identity | None
    inspection: Inspection | None = None
    exit_sequence: int | None = None
    exit_seen_at: float = 0.0
    removing: bool = False
    adopted: bool = False

    @property
    def id(self) -> str:
        return self.listed.id

    @property
    def runs(self) -> bool:
        return self.listed.state in RUNNING_STATES

    @property
    def has_ended(self) -> bool:
        return self.listed.state in ENDED_STATES

    @property
    def started_at(self) -> float | None:
        return self.inspection.started_at if self.inspection else None

    @property
    def pid(self) -> int | None:
        return self.inspection.pid if self.inspection else None

    @property
    def phase(self) -> str:
        """The report's word: creating, running or exited."""
        if self.runs:
            return "running"
        return "exited" if self.has_ended else "creating"

    def update(self, listed: ListedContainer) -> bool:
        """Take over a newer line of the list; whether the container must be inspected anew.

        It must when its state changed, or its process is another one: someone may
        have restarted it between two looks.
        """
        changed = self.listed.state != listed.state
        self.listed = listed
        if self.inspection is None or changed:
            return True
        return self.runs and self.pid is not None and self._saw_process and not _process_exists(self.pid)

    def inspected(self, inspection: Inspection) -> None:
        """Take over an inspection; a new run of the same container has no recorded end yet."""
        if self.inspection and self.inspection.started_at != inspection.started_at:
            self.exit_sequence = None
        self.inspection = inspection
        self._saw_process = inspection.pid is not None and _process_exists(inspection.pid)

    # Processes of an engine on another machine, or in another namespace, are never seen.
    _saw_process: bool = False


def _process_exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
