"""A node's side of questions about files of sessions: fetch what is to be written, do it, post the answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import structlog

from sandbox_app.job import SessionJob
from sandbox_app.node.workspace_files import FilesRefused, WorkspaceFiles
from sandbox_app.node.workspaces import WorkspaceRefused, Workspaces
from sandbox_app.session_wire import PIECE_BYTES, Answer, answer_pack
from sparkweb.node_link.http_client import WebClient, WebUnreachable

log = structlog.get_logger(__name__)

BODY_TARGET = "/node/session-files/body/"
ANSWER_TARGET = "/node/session-files/answer/"
Done = tuple[dict[str, Any], bytes]


class NobodyWaits(Exception):
    """Whoever asked has given up: nothing is done any more."""


class SessionFiles:
    """Answers questions, each in the thread it came on."""

    def __init__(
        self, workspaces: Workspaces, web: Callable[[], WebClient], fence: Callable[[str, int], bool]
    ) -> None:
        self._workspaces = workspaces
        self._fence = fence
        self._web_make = web
        self._own = threading.local()

    def answer(self, request: str, session: dict[str, Any], op: str, arguments: dict[str, Any]) -> None:
        """Do what was asked, and tell web. What cannot be done is told in words; nothing is raised."""
        try:
            job = SessionJob(**session)
            if not self._fence(job.uid, job.generation):
                raise NobodyWaits("the session has ended")
            data, body = self._do(request, job, op, arguments)
            answer = Answer(request, True, data, body=body)
        except (FilesRefused, WorkspaceRefused) as refused:
            answer = Answer(request, False, code=refused.code, sentence=str(refused))
        except (NobodyWaits, WebUnreachable) as error:
            log.info("a question about files is dropped", op=op, reason=str(error))
            return
        except Exception:
            log.exception("a question about files failed", op=op, session=session.get("uid"))
            answer = Answer(
                request, False, code="failed", sentence="The node failed at it; its log says why."
            )
        self._post(answer)

    def _do(self, request: str, session: SessionJob, op: str, arguments: dict[str, Any]) -> Done:
        path = str(arguments.get("path", ""))
        kind, why = self._workspaces.status()
        if session.uid not in self._workspaces.listed():
            if kind == "tmpfs":
                raise WorkspaceRefused(
                    f"This node keeps files in memory, where only the session's own tools reach them: {why}.",
                    "memory_only",
                )
            if op == "list" and path in ("", "."):
                return {"path": "", "entries": [], "more": False, "workspace": ""}, b""
            if op in ("write", "mkdir"):
                self._workspaces.make(session)
        data = self._body(request, arguments) if op == "write" else b""
        with self._workspaces.files(session.uid) as files:
            told, body = _act(files, op, path, arguments, data)
            used = self._workspaces.usage(session.uid)
        if used is not None:
            told |= {"workspace_used_bytes": used.used_bytes, "workspace_size_bytes": used.size_bytes}
        return {**told, "workspace": "ext4"}, body

    def _body(self, request: str, arguments: dict[str, Any]) -> bytes:
        if not arguments.get("bytes"):
            return b""
        asked = json.dumps({"request": request}).encode()
        found = self._web().fetch(BODY_TARGET, asked, PIECE_BYTES)
        if found.status != 200 or len(found.data) != arguments["bytes"]:
            raise NobodyWaits(f"web answered {found.status} with {len(found.data)} bytes")
        return found.data

    def _post(self, answer: Answer) -> None:
        try:
            told = self._web().post(ANSWER_TARGET, answer_pack(answer))
            if told.status not in (200, 410):
                log.warning("web did not take an answer about files", status=told.status, said=told.text)
        except WebUnreachable as error:
            log.warning("web did not take an answer about files", reason=str(error))

    def _web(self) -> WebClient:
        """This thread's client."""
        if not hasattr(self._own, "web"):
            self._own.web = self._web_make()
        return self._own.web


def _act(files: WorkspaceFiles, op: str, path: str, arguments: dict[str, Any], data: bytes) -> Done:
    if op == "list":
        return files.listing(path), b""
    if op == "read":
        piece = files.read(
            path, int(arguments["offset"]), int(arguments["length"]), str(arguments.get("version", ""))
        )
        told = {"offset": piece.offset, "modified_at": piece.modified_at, "version": piece.version}
        return {**told, "size_bytes": piece.size_bytes}, piece.data
    if op == "write":
        upload, offset, last = arguments["upload"], int(arguments["offset"]), bool(arguments["last"])
        return {"size_bytes": files.write_piece(path, str(upload), offset, data, last)}, b""
    if op == "delete":
        return {"deleted": files.delete(path)}, b""
    if op == "mkdir":
        files.folder_make(path)
        return {}, b""
    raise FilesRefused(f"{op[:40]!r} is nothing that can be done with files.", "unknown")
