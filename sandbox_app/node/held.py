"""Containers of sessions: each belongs to one session and one tool, and keeps its state between calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from sandbox_app.job import Job, SessionJob
from sandbox_app.node.container import SandboxContainer
from sandbox_app.node.pool import PoolKey
from sandbox_app.node.workspaces import Workspace, WorkspaceRefused, Workspaces

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0


@dataclass
class Held:
    """The container of one tool in one session. Its lock is held during a call."""

    session: SessionJob
    key: PoolKey
    lock: threading.Lock = field(default_factory=threading.Lock)
    container: SandboxContainer | None = None
    used_at: float = field(default_factory=time.monotonic)


class HeldContainers:
    """All of a node. Any thread may call.

    `launch` makes a container of a key with a workspace, `discard` removes one, `tell` is told the fact
    `tool_session_ready` of each, and `fence` says whether a session has not been ended meanwhile.
    """

    def __init__(
        self,
        workspaces: Workspaces,
        launch: Callable[[PoolKey, SessionJob, Workspace], SandboxContainer],
        discard: Callable[[SandboxContainer], None],
        tell: Callable[[str, dict[str, Any]], None],
        fence: Callable[[str, int], bool],
    ) -> None:
        self._workspaces = workspaces
        self._launch = launch
        self._discard = discard
        self._tell = tell
        self._fence = fence
        self._held: dict[tuple[str, PoolKey], Held] = {}
        self._told: dict[str, Workspace] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._idle_loop, name="sandbox-sessions", daemon=True).start()

    def close(self) -> None:
        self._stopped.set()
        for held in self._all():
            self._let_go(held)

    def hold(self, job: Job, session: SessionJob) -> Held:
        """The place of a job's tool in its session."""
        key = PoolKey(job.policy, job.tool, job.tool_digest)
        with self._lock:
            return self._held.setdefault((session.uid, key), Held(session, key))

    def open(self, held: Held) -> tuple[SandboxContainer, bool]:
        """Its container, and whether it was there already. The caller holds its lock.

        Raises StartFailed, WorkspaceRefused.
        """
        if held.container is not None and held.container.is_alive:
            return held.container, True
        self._let_go(held)
        session = held.session
        if not self._fence(session.uid, session.generation):
            raise WorkspaceRefused("The session of this call has ended.", "session_ended")
        workspace = self._workspaces.open(session)
        with self._lock:
            self._told[session.uid] = workspace
        container = self._launch(held.key, session, workspace)
        self._keep(held, container)
        self._tell("tool_session_ready", _ready(held, workspace))
        return container, False

    def _keep(self, held: Held, container: SandboxContainer) -> None:
        """Put a new container in its place, where `end` finds it. Raises WorkspaceRefused once it ended."""
        session, place = held.session, (held.session.uid, held.key)
        with self._lock:
            if kept := self._fence(session.uid, session.generation):
                kept = self._held.setdefault(place, held) is held
            if kept:
                held.container = container
        if not kept:
            self._discard(container)
            raise WorkspaceRefused("The session of this call has ended.", "session_ended")

    def drop(self, held: Held) -> None:
        """Its container is of no more use: it was ended, or nobody knows what is in it."""
        self._let_go(held)

    def end(self, uid: str) -> None:
        """Remove all containers of a session. Its workspace is the caller's to close."""
        with self._lock:
            gone = [self._held.pop(place) for place in list(self._held) if place[0] == uid]
            self._told.pop(uid, None)
        for held in gone:
            self._let_go(held)

    def containers(self) -> list[tuple[SandboxContainer, Held]]:
        """All that are up."""
        return [(held.container, held) for held in self._all() if held.container]

    def section(self) -> dict[str, dict[str, Any]]:
        """By session: kind of workspace, and seconds since its last call."""
        entries: dict[str, dict[str, Any]] = {}
        now = time.monotonic()
        for held in self._all():
            idle = 0.0 if held.lock.locked() else now - held.used_at
            entry = entries.setdefault(held.session.uid, {"idle_seconds": idle})
            entry["idle_seconds"] = min(entry["idle_seconds"], idle)
        for uid, workspace in list(self._told.items()):
            if uid in entries:
                entries[uid]["workspace"] = workspace.kind
        return entries

    def _all(self) -> list[Held]:
        with self._lock:
            return list(self._held.values())

    def _let_go(self, held: Held) -> None:
        container, held.container = held.container, None
        if container:
            self._discard(container)

    def _idle_loop(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                self.idle_end()
            except Exception:
                log.exception("idle sessions could not be looked at")

    def idle_end(self) -> None:
        """Remove containers that were not used for their session's idle time; the files stay."""
        now = time.monotonic()
        for held in self._all():
            if now - held.used_at < held.session.idle_seconds or not held.lock.acquire(blocking=False):
                continue
            try:
                self._let_go(held)
                with self._lock:
                    self._held.pop((held.session.uid, held.key), None)
                    still = any(uid == held.session.uid for uid, _ in self._held)
                if not still:
                    self._workspaces.release(held.session.uid)
            finally:
                held.lock.release()
        self._unused_release()

    def _unused_release(self) -> None:
        """Unmount what an earlier agent, or a container that is gone, left mounted."""
        for uid in self._workspaces.mounted():
            with self._lock:
                used = any(place[0] == uid for place in self._held)
            if not used:
                self._workspaces.release(uid)


def _ready(held: Held, workspace: Workspace) -> dict[str, Any]:
    return {
        "session": held.session.uid,
        "generation": held.session.generation,
        "tool": held.key.tool,
        "workspace": workspace.kind,
        "note": workspace.note,
        "size_bytes": held.session.size_bytes,
    }
