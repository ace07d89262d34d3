"""Sessions by API and page: forged ids, strangers, files with their headers; a node is played."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client

from metrics_app.models import Node
from sandbox_app import session_files, session_selectors
from sandbox_app.models import ToolSession
from sandbox_app.session_files import EXCHANGE
from sandbox_app.session_observing import tool_session_ready
from sandbox_app.session_wire import PIECE_BYTES, Answer
from sparkweb.accounts.models import AuditEntry, Role, User
from tests.factories import NodeFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def node(db: None) -> Node:
    return NodeFactory(name="spark-1", status="online")  # type: ignore[no-any-return]


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any], bytes]]:
    """What a node was asked (op, arguments, bytes); it answers at once what `SAYS` has for the op."""
    asked: list[tuple[str, dict[str, Any], bytes]] = []

    def send(node_name: str, task: str, **told: Any) -> bool:
        if task != "sandbox.session_files":
            return True
        op, arguments = told["op"], told["arguments"]
        asked.append((op, arguments, EXCHANGE.body(node_name, told["request"]) or b""))
        data, body = SAYS[op](arguments)
        if isinstance(data, str):
            code, _, sentence = data.partition(": ")
            return EXCHANGE.answer(node_name, Answer(told["request"], False, code=code, sentence=sentence))
        return EXCHANGE.answer(node_name, Answer(told["request"], True, data, body=body))

    monkeypatch.setattr(session_files.commands, "send", send)
    return asked


ENTRY = {"name": "<b>a</b>.txt", "kind": "file", "size_bytes": 3, "modified_at": 1.0, "reachable": True}
LISTED = {"path": "", "entries": [ENTRY], "more": False, "workspace": "ext4", "workspace_used_bytes": 9}
SAYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "list": lambda asked: (
        (LISTED, b"") if not asked["path"] else ("not_found: There is no such folder.", b"")
    ),
    "read": lambda asked: (
        ({"size_bytes": 3, "version": "v", "offset": 0}, b"abc")
        if asked["path"] != "full"
        else ("is_link: full goes over a link; links are not followed.", b"")
    ),
    "write": lambda asked: ({"size_bytes": asked["offset"] + asked["bytes"]}, b""),
    "delete": lambda asked: ({"deleted": 2}, b""),
    "mkdir": lambda asked: ("exists: x is there already.", b"") if asked["path"] == "x" else ({}, b""),
}


@pytest.fixture
def caller(bearer: Callable[..., Client], operator: User) -> Client:
    return bearer(operator, "operate")


@pytest.fixture
def uid(caller: Client, node: Node) -> str:
    answer = caller.post("/api/sessions", b"{}", content_type="application/json")
    assert answer.status_code == 201
    return str(answer.json()["session_id"])


def post(client: Client, path: str, /, **body: Any) -> Any:
    return client.post(path, json.dumps(body), content_type="application/json")


def content(answer: Any) -> bytes:
    """The whole of a streamed answer, read as the server would."""

    async def read() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    return async_to_sync(read)() if answer.streaming else answer.content


# Sessions ----------------------------------------------------------------------------


def test_a_session_is_begun_seen_extended_and_ended(caller: Client, node: Node, played: Any) -> None:
    answer = post(caller, "/api/sessions/", label="Plots", size_mb=64, hours=2, node="spark-1")
    body = answer.json()
    assert (answer.status_code, body["id"] == body["session_id"], body["state"]) == (201, True, "live")
    assert (body["owner"], body["node"], body["size_bytes"]) == ("operator", "spark-1", 64 * 2**20)
    assert [row["id"] for row in caller.get("/api/sessions").json()] == [body["id"]]
    assert caller.get(f"/api/sessions/{body['id']}").json()["label"] == "Plots"
    longer = post(caller, f"/api/sessions/{body['id']}/extend", hours=50).json()
    assert longer["expires_at"] > body["expires_at"]
    for _ in range(2):
        ended = caller.delete(f"/api/sessions/{body['id']}")
        assert (ended.status_code, ended.json()["state"]) == (200, "ending")
    refused = caller.get(f"/api/sessions/{body['id']}/files")
    assert (refused.status_code, refused.json()["code"]) == (409, "session_ended")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"size_mb": 1}, 400), ({"size_mb": "big"}, 400), ({"hours": 10**9}, 400), ({"node": "none"}, 400),
        ({"node": "a\0"}, 400), ({"label": "x" * 121}, 400), ({"label": "a\0"}, 400), ({"label": ["x"]}, 400),
    ],
)  # fmt: skip
def test_odd_wishes_are_400(caller: Client, node: Node, body: dict[str, Any], status: int) -> None:
    answer = post(caller, "/api/sessions", **body)
    assert (answer.status_code, "error" in answer.json()) == (status, True)
    assert not ToolSession.objects.exists()


FORGED = ["x", "%00", "{uid}x", "{uid}%0a", "00000000-0000-0000-0000-00000000000G", "%ff"]


@pytest.mark.parametrize("path", ["", "/files", "/content?path=a", "/files?path=a"])
def test_row_38_forged_ids_are_400_and_foreign_ones_404(
    caller: Client, uid: str, path: str, bearer: Callable[..., Client], admin: User, played: Any
) -> None:
    for forged in FORGED:
        answer = caller.get(f"/api/sessions/{forged.format(uid=uid)}{path}")
        assert (answer.status_code, answer.json()["code"]) == (400, "session_invalid"), forged
    assert caller.get(f"/api/sessions/..%2f{uid}{path}").status_code in (401, 404)  # there is no such address
    stranger = bearer(UserFactory(role=Role.OPERATOR), "operate")
    nobodys = "00000000-0000-4000-8000-000000000000"
    assert stranger.get(f"/api/sessions/{uid}{path}").status_code == 404
    assert caller.get(f"/api/sessions/{nobodys}{path}").status_code == 404
    assert stranger.delete(f"/api/sessions/{uid}").status_code == 404
    assert stranger.get("/api/sessions").json() == []
    seen = bearer(admin, "admin").get(f"/api/sessions/{uid}{path}").status_code
    assert seen == (200 if path == "" else 404)  # that it is there, never what is in it
    assert played == []
    assert ToolSession.objects.get().state == "live"


def test_an_admin_ends_anybodys_but_not_by_a_key_that_may_not(
    uid: str, bearer: Callable[..., Client], admin: User, played: Any
) -> None:
    assert bearer(admin, "operate").delete(f"/api/sessions/{uid}").status_code == 404
    assert bearer(admin, "admin").delete(f"/api/sessions/{uid}").status_code == 200
    assert ToolSession.objects.get().end_reason.startswith("ended by admin")


# Files -------------------------------------------------------------------------------


def test_files_are_listed_written_read_and_deleted(caller: Client, uid: str, played: Any) -> None:
    where = f"/api/sessions/{uid}"
    listed = caller.get(f"{where}/files").json()
    assert (listed["entries"], listed["workspace_used_bytes"]) == ([ENTRY], 9)
    assert ToolSession.objects.get().used_bytes == 9
    written = caller.put(f"{where}/files?path=a/b.txt", b"hello", content_type="text/plain")
    assert (written.status_code, written.json()["size_bytes"]) == (200, 5)
    op, asked, body = played[-1]
    assert (op, asked["path"], asked["offset"], asked["last"], body) == (
        "write",
        "a/b.txt",
        0,
        True,
        b"hello",
    )
    answer = caller.get(f"{where}/content?path=a/b.txt")
    assert content(answer) == b"abc"
    assert answer["Content-Disposition"] == 'attachment; filename="b.txt"'
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Length"] == "3"
    assert caller.delete(f"{where}/files?path=a").json() == {"deleted": 2}
    assert post(caller, f"{where}/folders", path="y").status_code == 201
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"tool_session_write", "tool_session_delete", "tool_session_folder"} <= actions


def test_a_body_of_several_pieces_is_split(caller: Client, uid: str, played: Any) -> None:
    body = bytes(2 * PIECE_BYTES + 5)
    written = caller.put(
        f"/api/sessions/{uid}/files?path=big&upload=00000000000000aa&offset=10&last=false", body,
        content_type="application/octet-stream",
    )  # fmt: skip
    assert written.json() == {"path": "big", "upload": "00000000000000aa", "size_bytes": len(body) + 10}
    assert [(asked["offset"], len(data), asked["last"]) for _, asked, data in played] == [
        (10, PIECE_BYTES, False), (10 + PIECE_BYTES, PIECE_BYTES, False), (10 + 2 * PIECE_BYTES, 5, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "files?path=nowhere", 404, "not_found"),
        ("GET", "content?path=full", 409, "is_link"),
        ("GET", "content", 400, "invalid"),
        ("GET", "content?path=a%00b", 400, "path_invalid"),
        ("DELETE", "files", 400, "invalid"),
        ("PUT", "files", 400, "invalid"),
        ("PUT", "files?path=a&upload=../x", 400, "invalid"),
        ("PUT", "files?path=a&offset=-1", 400, "invalid"),
        ("PUT", "files?path=" + "a" * 2000, 400, "invalid"),
    ],
)
def test_refusals_have_their_status_and_sentence(
    caller: Client, uid: str, played: Any, method: str, path: str, status: int, code: str
) -> None:
    answer = caller.generic(method, f"/api/sessions/{uid}/{path}", b"", content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_names_do_not_break_out_of_the_header(caller: Client, uid: str, played: Any) -> None:
    for name, shown in (
        ("a\r\nSet-Cookie: x", 'attachment; filename="a__Set-Cookie: x"'),
        ('a".txt', 'attachment; filename="a\\".txt"'),
        ("ä.txt", "attachment; filename*=utf-8''%C3%A4.txt"),
    ):
        answer = caller.get(f"/api/sessions/{uid}/content", {"path": f"d/{name}"})
        assert answer["Content-Disposition"] == shown
        content(answer)


def test_downloads_give_their_places_back(
    caller: Client, uid: str, played: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        content(caller.get(f"/api/sessions/{uid}/content?path=a"))
        assert caller.get(f"/api/sessions/{uid}/content?path=full").status_code == 409


def test_a_silent_node_is_said_to_be(caller: Client, uid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_files, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(session_files.commands, "send", lambda *_, **__: True)
    answer = caller.get(f"/api/sessions/{uid}/files")
    assert (answer.status_code, answer.json()["code"]) == (503, "node_silent")
    assert "spark-1 has not answered" in answer.json()["error"]


# Pages -------------------------------------------------------------------------------


def test_the_page_begins_and_ends_one(client_of: Any, operator: User, node: Node, played: Any) -> None:
    client = client_of(operator)
    assert "No sessions" in client.get("/tools/sessions/").content.decode()
    wrong = client.post("/tools/sessions/new/", {"node": node.pk, "size_mb": 1, "hours": 1})
    assert "greater than or equal to 32" in wrong.content.decode()
    made = client.post(
        "/tools/sessions/new/", {"node": node.pk, "size_mb": 64, "hours": 1, "label": "<i>P</i>"}
    )
    session = ToolSession.objects.get()
    assert (made.status_code, made["Location"]) == (302, f"/tools/sessions/{session.uid}/")
    page = client.get(made["Location"]).content.decode()
    assert "&lt;i&gt;P&lt;/i&gt;" in page
    assert "<i>P" not in page
    ended = client.post(f"/tools/sessions/{session.uid}/end/")
    assert ended.status_code == 302
    assert ToolSession.objects.get().state == "ending"


def test_the_page_says_beforehand_where_files_are_in_memory(
    client_of: Any, operator: User, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"spark-1": {"report": {"sandbox": {"workspaces": "tmpfs", "workspaces_why": "no <root>"}}}}
    monkeypatch.setattr(
        session_selectors, "node_snapshots", lambda names: {name: told[name] for name in names}
    )
    page = client_of(operator).get("/tools/sessions/").content.decode()
    assert "spark-1 keeps files of sessions in memory: no &lt;root&gt;." in page
    told["spark-1"] = {"report": {"sandbox": {"workspaces": "ext4", "workspaces_why": ""}}}
    assert "in memory" not in client_of(operator).get("/tools/sessions/").content.decode()
    told["spark-1"] = {}
    assert client_of(operator).get("/tools/sessions/").status_code == 200


def test_the_folder_is_shown_escaped_and_its_buttons_work(
    client_of: Any, operator: User, uid: str, played: Any
) -> None:
    client, where = client_of(operator), f"/tools/sessions/{uid}"
    part = client.get(f"{where}/files/").content.decode()
    assert "&lt;b&gt;a&lt;/b&gt;.txt" in part
    assert "<b>a" not in part
    assert "There is no such folder." in client.get(f"{where}/files/?path=x").content.decode()
    assert content(client.get(f"{where}/download/?path=a")) == b"abc"
    missing = client.get(f"{where}/download/?path=full")
    assert (missing.status_code, "over a link" in missing.content.decode()) == (409, True)
    assert client.post(f"{where}/delete/", {"path": "a"}).status_code == 204
    assert client.post(f"{where}/folders/", {"path": "d", "name": "new"}).status_code == 204
    assert played[-1][1]["path"] == "d/new"
    for name in ("x", "a/b", ""):
        assert client.post(f"{where}/folders/", {"name": name}).status_code == 409
    for hours, status in (("24", 204), ("x", 409), ("99999", 409), ("9999", 409)):
        assert client.post(f"{where}/extend/", {"hours": hours}).status_code == status


def test_pages_of_a_session_are_its_owners(
    client_of: Any, admin: User, viewer: User, uid: str, played: Any
) -> None:
    for path in ("", "panel/"):
        assert client_of(viewer).get(f"/tools/sessions/{uid}/{path}").status_code == 404
    page = client_of(admin).get(f"/tools/sessions/{uid}/").content.decode()
    assert "Only operator sees them." in page
    for path in ("files/", "download/?path=a"):
        assert client_of(admin).get(f"/tools/sessions/{uid}/{path}").status_code == 404
    for path in ("delete/", "folders/", "extend/"):
        assert client_of(admin).post(f"/tools/sessions/{uid}/{path}", {"path": "a"}).status_code == 404
    assert played == []
    assert "operator" in client_of(admin).get("/tools/sessions/").content.decode()
    assert uid not in client_of(viewer).get("/tools/sessions/").content.decode()


def test_lost_variables_and_memory_are_told(client_of: Any, operator: User, uid: str) -> None:
    note = "Files are kept in memory: no root"
    ToolSession.objects.update(workspace="tmpfs", workspace_note=note)
    panel = client_of(operator).get(f"/tools/sessions/{uid}/panel/").content.decode()
    assert "Files are kept in memory: no root. They go with the container" in panel
    for tool in ("code", "bash", "code"):
        fact = {"session": uid, "workspace": "ext4", "tool": tool}
        tool_session_ready("spark-1", fact)
    panel = client_of(operator).get(f"/tools/sessions/{uid}/panel/").content.decode()
    assert panel.count("those of the container before are gone") == 1
    assert "in memory" not in panel


# Storage -----------------------------------------------------------------------------


def test_storage_of_others_and_of_nobody(
    caller: Client, uid: str, bearer: Callable[..., Client], played: Any
) -> None:
    stranger = bearer(UserFactory(role=Role.OPERATOR), "operate")
    for client, session, status in ((stranger, uid, 404), (caller, "x%00", 400), (caller, "x", 400)):
        assert post(client, f"/api/storage/{session}", key="a", value=1).status_code == status
        for part in ("keys", "files"):
            assert client.get(f"/api/storage/{session}/{part}").status_code == status
    assert played == []


@pytest.mark.parametrize(
    "body", [{}, {"key": "a"}, {"key": "a", "value": 1, "operation": "query"},
             {"key": "a", "value": 1, "ttl_seconds": 0},
             {"key": "a\0", "value": 1}, {"key": "x" * 501, "value": 1}]
)  # fmt: skip
def test_odd_values_are_400(caller: Client, uid: str, body: dict[str, Any]) -> None:
    assert post(caller, f"/api/storage/{uid}", **body).status_code == 400


def test_files_of_storage_are_listed_through_folders(caller: Client, uid: str, played: Any) -> None:
    told = caller.get(f"/api/storage/{uid}/files").json()
    assert told["files"] == [{"name": ENTRY["name"], "path": ENTRY["name"], "size": 3, "modified_at": 1.0}]
    assert (told["session_id"], told["count"], told["truncated"]) == (uid, 1, False)
