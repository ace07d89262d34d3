"""How a container of the sandbox comes up on this node, and how it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sandbox_app.job import SessionJob
from sandbox_app.node.container import SandboxContainer, StartFailed, container_launch
from sandbox_app.node.engine_facts import EngineFacts
from sandbox_app.node.folders import FolderMissing, ToolFolders, inside_place
from sandbox_app.node.known import KnownContainers
from sandbox_app.node.limits import order_make
from sandbox_app.node.pool import PoolKey
from sandbox_app.node.workspaces import Workspace
from sparkweb.adapters.docker_sandbox import SandboxEngine
from sparkweb.guardian.decide import Victim
from sparkweb.guardian.killing import start_ticks
from sparkweb.node_link.http_client import WebUnreachable

GiveUp = Callable[[], bool]


class Launcher:
    """Makes containers for pools, runs and sessions. All raise StartFailed, and leave nothing then."""

    def __init__(
        self,
        engine: SandboxEngine,
        folder: Path,
        folders: ToolFolders,
        known: KnownContainers,
        facts: EngineFacts,
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._folders = folders
        self._known = known
        self._facts = facts

    def for_pool(self, key: PoolKey, give_up: GiveUp) -> SandboxContainer:
        """One that waits for whoever comes."""
        return self._launch(key, self._known.labels("pool"), give_up)

    def for_run(self, key: PoolKey, run: str, give_up: GiveUp) -> SandboxContainer:
        """One for a run that found none waiting: it imports what it needs itself, and no more."""
        key = replace(key, policy=replace(key.policy, flavour="plain"))
        return self._launch(key, self._known.labels("run", run=run), give_up)

    def for_session(self, key: PoolKey, session: SessionJob, workspace: Workspace) -> SandboxContainer:
        """One that serves a session alone."""
        labels = self._known.labels("session", session=session.uid)
        return self._launch(key, labels, lambda: False, workspace, session.size_bytes)

    def discard(self, container: SandboxContainer) -> None:
        """Let go of a container and remove it in the background."""
        container.close()
        self._known.remove(container.name)

    def end(self, container: SandboxContainer) -> None:
        """Remove a container before returning, or within the time that an engine has to answer."""
        container.kill()
        container.close()
        self._known.remove_now(container.name)

    def _launch(
        self,
        key: PoolKey,
        labels: dict[str, str],
        give_up: GiveUp,
        workspace: Workspace | None = None,
        size_bytes: int = 0,
    ) -> SandboxContainer:
        if key.policy.runtime and not self._facts.offers(key.policy.runtime):
            raise StartFailed(
                f"The tool asks for the runtime {key.policy.runtime}, which Docker here does not have.",
                "refused",
            )
        tool = self._tool_folder(key)
        name = self._known.name_make()
        order = order_make(
            key.policy,
            name=name,
            labels={**labels, "sparkweb.policy": key.policy.key()},
            inside=inside_place(self._folder),
            tool=tool,
            workspace=workspace.path if workspace else None,
            workspace_bytes=size_bytes if workspace and workspace.path is None else 0,
        )
        try:
            return container_launch(self._engine, order, give_up)
        except BaseException:
            self._known.remove(name)
            raise

    def _tool_folder(self, key: PoolKey) -> Path:
        try:
            return self._folders.folder(key.tool_digest)
        except FolderMissing as error:
            raise StartFailed(str(error), "refused") from error
        except WebUnreachable as error:
            raise StartFailed(f"The tool's folder could not be fetched: {error}.", "engine") from error


def victim_of(container: SandboxContainer, folder: Path | None, key: str, name: str, priority: int) -> Victim:
    """A container as the memory guardian sees it; `folder` is that of its control group."""
    return Victim(
        key=key or container.name,
        kind="sandbox",
        name=name,
        container_id=container.id,
        started_at=container.started_at,
        priority=priority,
        pid=container.pid if container.is_local else None,
        start_ticks=start_ticks(container.pid) if container.pid and container.is_local else None,
        cgroup=str(folder) if folder else None,
    )
