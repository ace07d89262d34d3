"""Files of sessions, asked of their nodes: one question, one answer, at most 4 MiB of bytes in either.

Web nudges the node (`sandbox.session_files`), the node fetches what is to be written and posts what
was read, each signed with its key; a larger file goes in several questions. Questions live in this
process alone: whoever asked waits for the answer here, and one that comes later is thrown away.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections

from metrics_app.models import NodeStatus
from sandbox_app.dispatch import session_job
from sandbox_app.models import ToolSession, WorkspaceKind
from sandbox_app.session_wire import PIECE_BYTES, Answer
from sandbox_app.sessions import SessionInvalid, SessionUnknown, session_used, usable
from sparkweb.accounts.actor import Actor, audit
from sparkweb.node_link import commands
from sparkweb.refusal import Refused

ANSWER_SECONDS = 15.0
# Each waits in a thread of the web process, and the node's answer needs one too.
AT_ONCE = 3
TURN_SECONDS = 5.0
_THREADS = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="files")
_NOT_THERE = ("not_found", "no_workspace")
_WRONG = ("path_invalid", "upload_invalid", "session_invalid")


class FilesAway(Refused):
    """The node does not answer, or too many ask already; it may work later."""

    status = 503


class FilesRefused(Refused):
    """What the node did not do, in its words."""


@dataclass
class Question:
    """One question under way. `body` is what the node may fetch for it."""

    node: str
    body: bytes
    uid: str = field(default_factory=lambda: secrets.token_hex(16))
    answer: Answer | None = None
    answered: threading.Event = field(default_factory=threading.Event)


class Exchange:
    """The questions of this process."""

    def __init__(self) -> None:
        self._questions: dict[str, Question] = {}
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    @contextmanager
    def question(self, node: str, body: bytes) -> Iterator[Question]:
        """A question that can be answered within this. Raises FilesAway: busy."""
        if not self._turns.acquire(timeout=TURN_SECONDS):
            raise FilesAway("Too many files are moved at once; try again in a moment.", "busy")
        question = Question(node, body)
        with self._lock:
            self._questions[question.uid] = question
        try:
            yield question
        finally:
            with self._lock:
                self._questions.pop(question.uid, None)
            self._turns.release()

    def body(self, node: str, uid: str) -> bytes | None:
        """What the node asked may fetch; None for every other node, and once nobody waits."""
        question = self._of(node, uid)
        return question.body if question else None

    def answer(self, node: str, answer: Answer) -> bool:
        """Take an answer; False where nobody waits for it of this node."""
        question = self._of(node, answer.request)
        if question is None or question.answered.is_set():
            return False
        question.answer = answer
        question.answered.set()
        return True

    def _of(self, node: str, uid: str) -> Question | None:
        with self._lock:
            question = self._questions.get(uid)
        return question if question is not None and question.node == node else None


EXCHANGE = Exchange()


def files_list(session: ToolSession, path: str = "") -> dict[str, Any]:
    """What lies in a folder of the workspace, and how full that is.

    `path`, `entries` (name, kind, size_bytes, modified_at, reachable), `more`, `workspace`,
    `workspace_used_bytes`, `workspace_size_bytes`, the last two None before there is any.
    Raises SessionInvalid, SessionUnknown, SessionRefused, FilesRefused, FilesAway.
    """
    return _ask(session, "list", {"path": path}).data


def files_read(session: ToolSession, path: str, offset: int = 0, version: str = "") -> Answer:
    """One piece of a file: `data` has offset, size_bytes, modified_at and version. Raises as `files_list`."""
    asked = {"path": path, "offset": offset, "length": PIECE_BYTES, "version": version}
    return _ask(session, "read", asked)


async def file_rest(session: ToolSession, path: str, first: Answer) -> AsyncIterator[bytes]:
    """A file from its first piece on; ends early, by an error, where it changed or its node went away."""
    yield first.body
    at, size, version = len(first.body), _whole(first.data.get("size_bytes")), str(first.data.get("version"))
    while at < size:
        piece = await _on_thread(partial(files_read, session, path, at, version))
        if not piece.body:
            raise FilesRefused(f"{path} is shorter than it was.", "changed")
        yield piece.body
        at += len(piece.body)


async def _on_thread(read: Callable[[], Answer]) -> Answer:
    """Wait for a node on a thread that belongs to no request."""

    def done() -> Answer:
        close_old_connections()
        return read()

    return await sync_to_async(done, thread_sensitive=False, executor=_THREADS)()


def files_write(
    session: ToolSession,
    path: str,
    data: bytes,
    *,
    actor: Actor,
    upload: str = "",
    offset: int = 0,
    last: bool = True,
) -> int:
    """Put one piece of an upload into the workspace; the last makes the file appear.

    `upload` names pieces that belong together (16 hex digits). Returns how many bytes there are.
    Raises as `files_list`, SessionInvalid (too_large) for a piece over 4 MiB.
    """
    if len(data) > PIECE_BYTES:
        raise SessionInvalid(f"A piece has at most {PIECE_BYTES} bytes.", "too_large")
    asked = {"path": path, "upload": upload or secrets.token_hex(8), "offset": offset, "last": last}
    told = _ask(session, "write", {**asked, "bytes": len(data)}, data).data
    if last:
        audit(actor, "tool_session_write", session.uid, path=path[:300], size_bytes=told.get("size_bytes"))
    return _whole(told.get("size_bytes", 0))


def files_delete(session: ToolSession, path: str, *, actor: Actor) -> int:
    """Delete a file, or a folder with all that is in it; how many names went. Raises as `files_list`."""
    told = _ask(session, "delete", {"path": path}).data
    audit(actor, "tool_session_delete", session.uid, path=path[:300], deleted=told.get("deleted"))
    return _whole(told.get("deleted", 0))


def folder_make(session: ToolSession, path: str, *, actor: Actor) -> None:
    """Make a folder. Raises as `files_list`."""
    _ask(session, "mkdir", {"path": path})
    audit(actor, "tool_session_folder", session.uid, path=path[:300])


def _ask(session: ToolSession, op: str, arguments: dict[str, Any], body: bytes = b"") -> Answer:
    usable(session)
    node = session.node
    if node is None or node.status not in (NodeStatus.ONLINE, NodeStatus.STALE):
        raise FilesAway(
            f"{session.node_name} is silent; the files lie there, and can be reached when it is back.",
            "node_silent",
        )
    if any("\0" in value for value in arguments.values() if isinstance(value, str)):
        raise SessionInvalid("A path has no NUL in it.", "path_invalid")
    with EXCHANGE.question(node.name, body) as question:
        sent = commands.send(
            node.name,
            "sandbox.session_files",
            request=question.uid,
            session=asdict(session_job(session)),
            op=op,
            arguments=arguments,
        )
        if not sent:
            raise FilesAway("Redis does not answer; try again in a moment.", "redis_unavailable")
        if not question.answered.wait(ANSWER_SECONDS):
            raise FilesAway(
                f"{node.name} has not answered for {ANSWER_SECONDS:.0f} seconds; try again later.",
                "node_silent",
            )
    assert question.answer is not None
    return _taken(session, question.answer)


def _taken(session: ToolSession, answer: Answer) -> Answer:
    session_used(session)
    if answer.ok:
        _noted(session, answer.data)
        return answer
    if answer.code in _NOT_THERE:
        raise SessionUnknown(answer.sentence, answer.code)
    if answer.code in _WRONG:
        raise SessionInvalid(answer.sentence, answer.code)
    raise FilesRefused(answer.sentence or "The node did not do it.", answer.code or "failed")


def _whole(value: Any) -> int:
    """A count that a node told. Raises FilesRefused for anything else."""
    if type(value) is int and 0 <= value < 2**60:
        return value
    raise FilesRefused("The node's answer cannot be read; is its agent of another version?", "failed")


def _noted(session: ToolSession, told: dict[str, Any]) -> None:
    """What an answer says about the workspace as a whole."""
    kind, used = told.get("workspace"), told.get("workspace_used_bytes")
    found: dict[str, Any] = {}
    if kind in WorkspaceKind.values and kind and not session.workspace:
        found["workspace"] = kind
    if isinstance(used, int) and 0 <= used < 2**60 and used != session.used_bytes:
        found["used_bytes"] = used
    if found:
        ToolSession.objects.filter(pk=session.pk).update(**found)
