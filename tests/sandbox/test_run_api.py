"""The API of runs: who sees which, what is refused how, and bodies that nobody should send."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from metrics_app.models import Node, NodeStatus
from sandbox_app.models import RunState, Tool, ToolRun
from sparkweb.accounts.models import User

pytestmark = pytest.mark.django_db
UNKNOWN = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def post(client_of: Any, operator: User, tool: Tool, node: Node, told: Any, nudges: Any, frames: Any) -> Any:
    """Send a body to an address, as the operator."""
    client: Client = client_of(operator)

    def send(path: str, body: Any, **headers: str) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body)
        return client.post(path, data, content_type="application/json", headers=headers)

    return send


def row(user: User | None = None, **fields: Any) -> ToolRun:
    return ToolRun.objects.create(tool_name="code", node_name="spark-1", user=user, **fields)


# Making -------------------------------------------------------------------------------------


def test_a_run_is_made_followed_by_its_address_and_made_once_by_key(post: Any) -> None:
    body = {"tool": "code", "arguments": {"code": "1", "password": "hunter2"}}
    first = post("/api/runs", body, **{"Idempotency-Key": "k"})
    again = post("/api/runs", body | {"idempotency_key": "k"})
    assert (first.status_code, again.status_code) == (202, 200)
    told = first.json()
    assert (told["uid"], told["state"], told["detached"]) == (again.json()["uid"], "requested", True)
    assert told["arguments"]["password"] == "[masked]"
    assert b"hunter2" not in first.content


def test_a_waiting_call_names_its_run_before_it_ends(post: Any) -> None:
    answer = post("/api/execute/code", {"args": {"code": "1"}})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert ToolRun.objects.get(uid=answer["X-Run"]).detached is False


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"args": {}}, 400, "arguments_invalid"),
        ({"args": []}, 400, "arguments_invalid"),
        ({"args": "code"}, 400, "arguments_invalid"),
        ({"args": {"code": "x", "more": 1}}, 400, "arguments_invalid"),
        ({"args": {"code": "nul \0"}}, 400, "arguments_invalid"),
        (b'{"args": {"code": "half \\ud800"}}', 400, "arguments_invalid"),
        ({"args": {"code": "x" * (4 * 2**20)}}, 400, "arguments_invalid"),
        (b'{"args": {"code": ' + b"[" * 60 + b"]" * 60 + b"}}", 400, "arguments_invalid"),
        (b'{"args": ' + b"[" * 100_000, 400, "parse_error"),
        (b'{"args": {"code": NaN}}', 400, "parse_error"),
        (b'{"args": ' + b"9" * 5000 + b"}", 400, "parse_error"),
        (b"\xff\xfe", 400, "parse_error"),
        (b"", 400, "arguments_invalid"),
        ([1], 400, "invalid"),
        ({"args": {"code": "x"}, "session_id": "../../etc/passwd"}, 400, "invalid"),
        ({"args": {"code": "x"}, "session_id": "x\0"}, 400, "invalid"),
        ({"args": {"code": "x"}, "session_id": 5}, 404, "session_unknown"),
        ({"args": {"code": "x"}, "session_id": UNKNOWN}, 404, "session_unknown"),
        ({"args": {"code": "x"}, "idempotency_key": "k" * 101}, 400, "invalid"),
        ({"args": {"code": "x"}, "idempotency_key": "k\n1"}, 400, "invalid"),
    ],
    ids=str,
)
def test_bad_calls_are_told_why(post: Any, body: Any, status: int, code: str) -> None:
    answer = post("/api/execute/code", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content[:300]
    assert answer.json()["error"]
    assert not ToolRun.objects.exists()


@pytest.mark.parametrize("session", ["../victim", "x" * 500, "{" + UNKNOWN[:-1] + "}"])
def test_a_session_header_that_is_none(post: Any, session: str) -> None:
    answer = post("/api/execute/code", {"args": {"code": "x"}}, **{"X-Session-Id": session})
    assert answer.status_code == 400


@pytest.mark.parametrize("name", ["nothing", "..%2f..", "co%00de", "x" * 300])
def test_an_unknown_tool(post: Any, name: str) -> None:
    assert post(f"/api/execute/{name}", {"args": {}}).status_code == 404


def test_refusals_have_their_status(post: Any, tool: Tool, settings: Any, told: Any) -> None:
    body = {"tool": "code", "arguments": {"code": "1"}}
    settings.SANDBOX_USER_RUNS, settings.SANDBOX_QUEUE_RUNS = 1, 1
    assert [post("/api/runs", body).status_code for _ in range(2)] == [202, 202]
    busy = post("/api/runs", body)
    assert (busy.status_code, busy.json()["code"], busy["Retry-After"]) == (429, "queue_full", "5")
    told(image="missing")
    assert post("/api/runs", body).status_code == 409
    Node.objects.update(status=NodeStatus.OFFLINE)
    away = post("/api/runs", body)
    assert (away.status_code, away["Retry-After"]) == (503, "5")
    assert post("/api/runs", body | {"node": "nowhere"}).status_code == 404
    Tool.objects.update(role="admin")
    assert post("/api/runs", body).status_code == 403


# Seeing --------------------------------------------------------------------------------------


def test_everyone_sees_their_own_admins_all_operators_what_waits(
    client_of: Any, bearer: Any, viewer: User, operator: User, admin: User
) -> None:
    mine, theirs = row(viewer), row(operator)
    waits = row(viewer, state=RunState.APPROVAL)

    def seen(client: Client) -> set[str]:
        return {one["uid"] for one in client.get("/api/runs").json()["results"]}

    assert seen(client_of(viewer)) == {mine.uid, waits.uid}
    assert seen(client_of(operator)) == {theirs.uid, waits.uid}
    assert seen(client_of(admin)) == {mine.uid, theirs.uid, waits.uid}
    assert seen(bearer(admin, "read")) == set()
    for path in ("", "/stream", "/output", "/artifacts"):
        assert client_of(viewer).get(f"/api/runs/{theirs.uid}{path}").status_code == 404
    for path in ("cancel", "replay"):
        assert client_of(viewer).post(f"/api/runs/{theirs.uid}/{path}").status_code == 404
    assert client_of(operator).post(f"/api/runs/{waits.uid}/cancel").status_code == 403


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"tool": "code"}, 2),
        ({"tool": "nul\0"}, 400),
        ({"state": "ended"}, 1),
        ({"state": "odd"}, 400),
        ({"outcome": "memory"}, 1),
        ({"live": "true"}, 1),
        ({"session": "x"}, 400),
        ({"since": "2100-01-01T00:00:00Z"}, 0),
        ({"since": "yesterday"}, 400),
        ({"page_size": 1}, 1),
    ],
)
def test_lists_are_filtered(client_of: Any, operator: User, query: Any, count: int) -> None:
    row(operator)
    row(operator, state=RunState.ENDED, live=False, outcome="memory")
    answer = client_of(operator).get("/api/runs", query)
    assert count == (answer.status_code if answer.status_code != 200 else len(answer.json()["results"]))


def test_approval_is_for_people_and_for_admins_keys(
    client_of: Any,
    bearer: Any,
    operator: User,
    admin: User,
    node: Node,
    tool: Tool,
    told: Any,
    nudges: Any,
    frames: Any,
) -> None:
    waits = row(operator, state=RunState.APPROVAL, node=node, tool=tool)
    url = f"/api/runs/{waits.uid}/approve"
    assert bearer(operator, "operate").post(url).status_code == 403
    assert bearer(admin, "operate").post(url).status_code == 403
    assert client_of(operator).post(url).json()["state"] == "requested"
    assert client_of(operator).post(url).status_code == 409
    other = row(operator, state=RunState.APPROVAL)
    answer = bearer(admin, "admin").post(
        f"/api/runs/{other.uid}/deny", {"reason": "no"}, content_type="application/json"
    )
    assert answer.json()["outcome"] == "denied"


@pytest.mark.parametrize("after", ["x", "1-", "-1", "1-1\n", "9" * 50])
def test_an_odd_place_in_a_stream(client_of: Any, operator: User, after: str) -> None:
    run = row(operator)
    assert client_of(operator).get(f"/api/runs/{run.uid}/stream", {"after": after}).status_code == 400


# The page -------------------------------------------------------------------------------------


def test_the_page_shows_what_hides_and_runs_nothing(client_of: Any, operator: User, viewer: User) -> None:
    run = row(
        operator,
        state=RunState.ENDED,
        live=False,
        outcome="exit",
        arguments={"code": "</script><script>alert(1)</script>\u202e"},
        stdout="<img src=x onerror=alert(1)>\u202egpj\x1b[31mred\x07",
        reason="it said \u202eno",
        result={"a": "\u2066"},
    )
    page = client_of(operator).get(f"/tools/runs/{run.uid}/").content.decode()
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    assert "\u202e" not in page.replace("\\u202e", "")
    assert "⟨U+202E⟩no" in page
    assert client_of(viewer).get(f"/tools/runs/{run.uid}/").status_code == 404
    assert client_of(operator).get(f"/tools/runs/{run.uid}/panel/").status_code == 200


@pytest.mark.parametrize("state", ["approval", "queued", "requested", "running", "ended"])
def test_the_page_of_each_state(client_of: Any, operator: User, admin: User, state: str) -> None:
    ended = {"live": False, "outcome": "ok"} if state == "ended" else {}
    run = row(operator, state=state, **ended)
    for user in (operator, admin):
        assert client_of(user).get(f"/tools/runs/{run.uid}/").status_code == 200


def test_buttons_answer_and_refuse_in_words(client_of: Any, operator: User, frames: Any) -> None:
    run = row(operator, state=RunState.QUEUED)
    answer = client_of(operator).post(f"/tools/runs/{run.uid}/cancel/")
    assert (answer.status_code, "run-changed" in answer["HX-Trigger"]) == (204, True)
    refused = client_of(operator).post(f"/tools/runs/{run.uid}/approve/")
    assert refused.status_code == 409
    assert "does not wait for approval" in refused.content.decode()
