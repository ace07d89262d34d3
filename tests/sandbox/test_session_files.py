"""Files between web and a node: real workspaces, real signed HTTP; only the nudge takes a short cut."""

from __future__ import annotations

import json
import secrets
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from metrics_app.models import Node
from sandbox_app import session_files
from sandbox_app.agent_sessions import SessionDesk
from sandbox_app.dispatch import session_job
from sandbox_app.models import ToolSession
from sandbox_app.node.workspaces import Workspaces
from sandbox_app.session_files import (
    EXCHANGE,
    FilesAway,
    FilesRefused,
    file_rest,
    files_delete,
    files_list,
    files_read,
    files_write,
    folder_make,
)
from sandbox_app.session_wire import PIECE_BYTES, Answer, AnswerInvalid, answer_pack, answer_read
from sandbox_app.sessions import SessionInvalid, SessionRefused, SessionUnknown, tool_session_create
from sparkweb.accounts.actor import SYSTEM
from sparkweb.accounts.models import AuditEntry, NodeKey, User
from sparkweb.node_link import http_views
from sparkweb.node_link.http_auth import proof_headers
from sparkweb.node_link.http_client import WebClient
from sparkweb.node_link.journal import Journal
from sparkweb.node_link.signatures import Signer, key_pair_make
from sparkweb.streams import Streams
from tests.factories import NodeFactory
from tests.support.workspaces import workspaces_closed, workspaces_require


def signer_make(name: str = "spark-1") -> Signer:
    private, public = key_pair_make()
    NodeKey.objects.create(node_name=name, public_key=public)
    return Signer(name, private)


@pytest.fixture
def session(db: None) -> ToolSession:
    node = NodeFactory(name="spark-1", status="online")
    owner = User.objects.create(username="owner", role="operator")
    return tool_session_create(owner=owner, node=node, actor=SYSTEM, size_mb=64)


@pytest.fixture
def desk(
    session: ToolSession, tmp_path: Path, live_server: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SessionDesk]:
    """The node's part, asked as its queue would: through JSON, in a thread of its own."""
    workspaces_require(tmp_path)
    streams = Streams(redis_url)
    monkeypatch.setattr(http_views, "shared_streams", lambda: streams)
    signer, journal = signer_make(), Journal(tmp_path / "journal.sqlite3")
    made = SessionDesk(Workspaces(tmp_path / "ws", 0), journal, lambda: WebClient(live_server.url, signer))
    made.workspaces.start()

    def send(node_name: str, task: str, **arguments: Any) -> bool:
        assert (node_name, task) == ("spark-1", "sandbox.session_files")
        told = json.loads(json.dumps(arguments))
        threading.Thread(target=lambda: made.files.answer(**told)).start()
        return True

    monkeypatch.setattr(session_files.commands, "send", send)
    yield made
    workspaces_closed(tmp_path / "ws")
    journal.close()
    streams.close()


def whole(session: ToolSession, path: str) -> bytes:
    async def read() -> bytes:
        first = await session_files.sync_to_async(files_read)(session, path)
        return b"".join([piece async for piece in file_rest(session, path, first)])

    return async_to_sync(read)()


@pytest.mark.docker
def test_files_go_there_and_back_in_pieces(session: ToolSession, desk: SessionDesk) -> None:
    assert files_list(session) == {"path": "", "entries": [], "more": False, "workspace": ""}
    data = secrets.token_bytes(PIECE_BYTES + 1000)
    upload = "00000000000000aa"
    parts = [data[:PIECE_BYTES], data[PIECE_BYTES:]]
    files_write(session, "big.bin", parts[0], actor=SYSTEM, upload=upload, last=False)
    assert files_write(session, "big.bin", parts[1], actor=SYSTEM, upload=upload, offset=PIECE_BYTES) == len(
        data
    )
    folder_make(session, "sub", actor=SYSTEM)
    files_write(session, "sub/empty", b"", actor=SYSTEM)
    found = files_list(session)
    assert [(entry["name"], entry["size_bytes"]) for entry in found["entries"]] == [
        ("sub", None), ("big.bin", len(data)),
    ]  # fmt: skip
    assert found["workspace_used_bytes"] > len(data)
    session.refresh_from_db()
    assert (session.workspace, session.used_bytes) == ("ext4", found["workspace_used_bytes"])
    assert whole(session, "big.bin") == data
    assert whole(session, "sub/empty") == b""
    assert files_delete(session, "sub", actor=SYSTEM) == 2
    actions = AuditEntry.objects.order_by("pk").values_list("action", flat=True)
    assert list(actions)[1:] == [
        "tool_session_write", "tool_session_folder", "tool_session_write", "tool_session_delete",
    ]  # fmt: skip


@pytest.mark.docker
def test_refusals_come_in_the_nodes_words(session: ToolSession, desk: SessionDesk) -> None:
    files_write(session, "a.txt", b"x", actor=SYSTEM)
    with pytest.raises(SessionUnknown, match=r"There is no b\.txt"):
        files_read(session, "b.txt")
    for path in ("../x", "/etc/passwd", "a\0"):
        with pytest.raises(SessionInvalid):
            files_read(session, path)
    with pytest.raises(FilesRefused, match="not a folder"):
        files_list(session, "a.txt")
    for number in range(20):
        try:
            files_write(session, f"{number}", bytes(PIECE_BYTES), actor=SYSTEM)
        except FilesRefused as refused:
            assert refused.code == "full"
            break
    else:
        pytest.fail("64 MiB took 80")
    with pytest.raises(SessionInvalid):
        files_write(session, "c", bytes(PIECE_BYTES + 1), actor=SYSTEM)


@pytest.mark.docker
def test_an_ended_session_is_removed_and_stays_so(session: ToolSession, desk: SessionDesk) -> None:
    files_write(session, "a.txt", b"x", actor=SYSTEM)
    removed: list[str] = []
    desk.before_end(removed.append)
    late = session_job(session)
    desk.end(session.uid, 2)
    desk.end(session.uid, 2)
    assert removed == [session.uid] * 2
    assert desk.workspaces.listed() == []
    facts = [json.loads(fact.payload) for fact in desk._journal.unacknowledged()]  # type: ignore[attr-defined]
    told = {"session": session.uid, "generation": 2, "reason": ""}
    assert [(fact["verb"], fact["data"]) for fact in facts] == [("tool_session_ended", told)] * 2
    write = {"path": "a", "upload": "0" * 16, "offset": 0, "last": True, "bytes": 0}
    desk.files.answer("0" * 32, {**late.__dict__}, "write", write)
    assert desk.workspaces.listed() == []


# Without a node --------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Questions that no node answers."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(session_files, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(session_files.commands, "send", lambda node, task, **told: found.append(told) or True)
    return found


def test_a_silent_node_is_named(session: ToolSession, asked: list[Any]) -> None:
    with pytest.raises(FilesAway, match="spark-1 has not answered for"):
        files_list(session)
    late = Answer(asked[0]["request"], True)
    assert not EXCHANGE.answer("spark-1", late)
    Node.objects.update(status="offline")
    session = ToolSession.objects.get()
    with pytest.raises(FilesAway, match="spark-1 is silent"):
        files_list(session)
    assert len(asked) == 1


def test_nobody_is_asked_for_a_session_that_ends(session: ToolSession, asked: list[Any]) -> None:
    session.state = "ending"
    with pytest.raises(SessionRefused):
        files_list(session)
    assert asked == []


def test_too_many_questions_wait_their_turn_and_are_told(
    session: ToolSession, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_files, "TURN_SECONDS", 0.01)
    with (
        EXCHANGE.question("spark-1", b""),
        EXCHANGE.question("spark-1", b""),
        EXCHANGE.question("spark-1", b""),
        pytest.raises(FilesAway, match="Too many"),
    ):
        files_list(session)


def test_only_the_node_that_was_asked_answers_and_once() -> None:
    with EXCHANGE.question("spark-1", b"secret") as question:
        answer = Answer(question.uid, True, {"a": 1})
        assert EXCHANGE.body("spark-2", question.uid) is None
        assert EXCHANGE.body("spark-1", question.uid) == b"secret"
        assert not EXCHANGE.answer("spark-2", answer)
        assert EXCHANGE.answer("spark-1", answer)
        assert not EXCHANGE.answer("spark-1", Answer(question.uid, False))
        assert question.answer == answer
    assert EXCHANGE.body("spark-1", question.uid) is None


def test_the_addresses_take_only_what_is_signed_and_asked_for(
    session: ToolSession, client: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = Streams(redis_url)
    monkeypatch.setattr(http_views, "shared_streams", lambda: streams)
    asked, other = signer_make(), signer_make("spark-2")

    def post(signer: Signer, what: str, body: bytes) -> int:
        target = f"/node/session-files/{what}/"
        headers = proof_headers(signer, "POST", target, body, time.time())
        answer = client.post(target, body, content_type="application/octet-stream", headers=headers)
        return int(answer.status_code)

    with EXCHANGE.question("spark-1", b"bytes") as question:
        wanted = json.dumps({"request": question.uid}).encode()
        done = answer_pack(Answer(question.uid, True, {"size_bytes": 1}))
        assert [post(signer, "body", wanted) for signer in (other, asked)] == [404, 200]
        assert [post(signer, "answer", done) for signer in (other, asked)] == [410, 200]
        for odd in (b"[]", b"7", b'{"request": 7}', b"\xff"):
            assert post(asked, "body", odd) in (400, 404)
            assert post(asked, "answer", odd + b"\n") == 400
    streams.close()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"no line", b"x\n", b"[]\n", b'{"ok": 1}\n', b'{"ok": true, "request": "../x"}\n',
        b'{"ok": true, "request": "' + b"0" * 32 + b'", "data": []}\n',
        b'{"ok": true, "request": "' + b"0" * 32 + b'"}\n' + bytes(PIECE_BYTES + 1),
        b"[" * 100_000 + b"\n",
    ],
    ids=range(9),
)  # fmt: skip
def test_odd_answers_are_refused(body: bytes) -> None:
    with pytest.raises(AnswerInvalid):
        answer_read(body)


@pytest.mark.parametrize("told", ["many", -1, 1.5, True, 2**80, {}, [1]])
def test_a_count_that_a_node_makes_up_is_refused_in_words(
    session: ToolSession, monkeypatch: pytest.MonkeyPatch, told: Any
) -> None:
    answer = Answer("r", True, {"size_bytes": told, "deleted": told})
    monkeypatch.setattr(session_files, "_ask", lambda *_: answer)
    with pytest.raises(session_files.FilesRefused, match="cannot be read"):
        session_files.files_write(session, "a", b"x", actor=SYSTEM, last=False)
    with pytest.raises(session_files.FilesRefused, match="cannot be read"):
        session_files.files_delete(session, "a", actor=SYSTEM)


def test_an_answer_survives_the_way() -> None:
    for answer in (
        Answer("0" * 32, True, {"a": "ä"}, body=b"\n\0x"),
        Answer("0" * 32, False, code="full", sentence="The workspace is full."),
    ):
        assert answer_read(answer_pack(answer)) == answer


def test_where_files_are_in_memory_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    told: list[bytes] = []

    class Web:
        def post(self, target: str, body: bytes) -> Any:
            told.append(body)
            return type("Said", (), {"status": 200, "text": ""})()

    journal = Journal(tmp_path / "journal.sqlite3")
    desk = SessionDesk(Workspaces(tmp_path / "ws", 0), journal, lambda: Web())  # type: ignore[arg-type,return-value]
    desk.workspaces.start()
    job = {"uid": str(uuid.uuid4()), "size_bytes": 1, "inodes": 1, "idle_seconds": 1}
    desk.files.answer("0" * 32, job, "list", {"path": ""})
    answer = answer_read(told[0])
    assert (answer.ok, answer.code) == (False, "memory_only")
    assert "the agent does not run as root" in answer.sentence
    journal.close()
