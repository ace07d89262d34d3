"""Sessions on a node as the agent runs them: the commands from control, and what each leads to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import structlog
from celery import shared_task

from sandbox_app.node.session_files import SessionFiles
from sandbox_app.node.workspaces import WorkspaceRefused, Workspaces
from sparkweb.node_link.http_client import WebClient
from sparkweb.node_link.journal import JournalUnavailable

log = structlog.get_logger(__name__)


class Facts(Protocol):
    """The journal, as far as it is used here."""

    def add(self, verb: str, data: dict[str, Any]) -> int: ...
    def fence(self, launch: str, generation: int) -> bool: ...


class SessionDesk:
    """Ends sessions and answers about their files. start() makes it the one that the tasks below use.

    Whoever runs containers for sessions says by `before_end` how one is removed.
    """

    def __init__(
        self,
        workspaces: Workspaces,
        journal: Facts,
        web: Callable[[], WebClient],
    ) -> None:
        self.workspaces = workspaces
        self.files = SessionFiles(workspaces, web, journal.fence)
        self._journal = journal
        self._enders: list[Callable[[str], None]] = []

    def start(self) -> None:
        """Take commands."""
        global _desk
        self.workspaces.start()
        _desk = self

    def before_end(self, ender: Callable[[str], None]) -> None:
        """Call `ender` with a session's uid before its workspace goes; its container is gone on return."""
        self._enders.append(ender)

    def end(self, session: str, generation: int) -> None:
        """Remove container, mount and image of a session, and tell so; also one of which there is nothing."""
        try:
            self._journal.fence(session, generation)  # what comes late makes nothing anew
            for ender in self._enders:
                ender(session)
            self.workspaces.close(session)
        except (WorkspaceRefused, JournalUnavailable) as refused:
            log.warning("a session cannot be ended yet", session=session, reason=str(refused))
            return  # control asks again
        try:
            told = {"session": session, "generation": generation, "reason": ""}
            self._journal.add("tool_session_ended", told)
        except JournalUnavailable as trouble:
            log.warning("the end of a session is not told; it is asked for again", reason=str(trouble))


_desk: SessionDesk | None = None


def _running() -> SessionDesk:
    if _desk is None:
        raise RuntimeError("this process is no agent: SessionDesk.start() was not called")
    return _desk


@shared_task(name="sandbox.session_end", ignore_result=True)
def session_end(session: str, generation: int) -> None:
    """Remove all that is left of a session."""
    _running().end(session, generation)


@shared_task(name="sandbox.session_files", ignore_result=True)
def session_files(request: str, session: dict[str, Any], op: str, arguments: dict[str, Any]) -> None:
    """Answer one question about a session's files."""
    _running().files.answer(request, session, op, arguments)
