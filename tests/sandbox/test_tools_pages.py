"""Pages about tools, and their API: what each role sees and may change, forms from the schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from sandbox_app.dispatch import arguments_of
from sandbox_app.models import Tool, ToolRun, ToolSession
from sandbox_app.registry import tools_load
from sparkweb.accounts.models import AuditEntry, User
from tests.factories import UserFactory

ClientOf = Callable[..., Client]


@pytest.fixture
def home(db: None, tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path
    settings.TOOLS_DIR = tmp_path / "tools"
    settings.TOOLS_DIR.mkdir()
    tools_load()
    return Path(settings.TOOLS_DIR)


def write(home: Path, text: str) -> None:
    (home / "mine").mkdir(exist_ok=True)
    (home / "mine" / "TOOL.md").write_text(text)
    (home / "mine" / "run.py").write_text("print(1)")


ODD = """\
---
name: mine
description: <script>alert(1)</script>
runner: run.py
parameters:
  - {name: data, type: object}
  - {name: list, type: array, items: integer}
  - {name: level, type: integer, enum: [1, 2], default: 1}
  - {name: sure, type: boolean}
  - {name: ratio, type: number, min: 0}
  - {name: short, type: string, max: 20, default: "a b"}
---
</pre><script>alert(2)</script>
"""

BROKEN = "---\nname: mine\nprivileged: true\ndescription: Mine\nrunner: run.py\n---\n"


# Pages -----------------------------------------------------------------------------


def test_without_tools_the_page_says_what_to_do(client_of: ClientOf, admin: User, viewer: User) -> None:
    said = client_of(admin).get("/tools/").content.decode()
    assert "No tools yet" in said
    assert "Read them now" in said
    assert "Read them now" not in client_of(viewer).get("/tools/").content.decode()


def test_the_list_shows_state_and_reasons(
    home: Path, client_of: ClientOf, viewer: User, operator: User, admin: User
) -> None:
    write(home, BROKEN)
    tools_load()
    Tool.objects.filter(name="web_fetch").update(enabled=False)
    Tool.objects.filter(name="web_search").update(missing=True)
    ToolRun.objects.create(
        tool=Tool.objects.get(name="code_execution"), tool_name="code_execution", tool_digest="x", live=False,
        state="ended", outcome="memory", user=operator,
    )  # fmt: skip
    assert "Out of memory" not in client_of(viewer).get("/tools/").content.decode()
    assert "You have not run it yet" in client_of(viewer).get("/tools/code_execution/").content.decode()
    assert "Out of memory" in client_of(operator).get("/tools/").content.decode()
    assert "Out of memory" in client_of(admin).get("/tools/code_execution/").content.decode()
    said = client_of(admin).get("/tools/").content.decode()
    for words in (
        "Ready",
        "Refused",
        "Disabled",
        "Missing",
        "line 3: privileged",
        "Out of memory",
        "(1 failed)",
    ):
        assert words in said, words


def test_the_list_costs_the_same_with_many_tools_and_runs(
    home: Path, client_of: ClientOf, admin: User, django_assert_max_num_queries: Any
) -> None:
    browser = client_of(admin)
    for number in range(20):
        tool = Tool.objects.create(name=f"t{number}")
        ToolRun.objects.create(tool=tool, tool_name=tool.name, tool_digest="x")
    with django_assert_max_num_queries(10):
        assert browser.get("/tools/").status_code == 200


def test_a_tools_page_escapes_what_its_file_says(home: Path, client_of: ClientOf, admin: User) -> None:
    write(home, ODD)
    tools_load()
    said = client_of(admin).get("/tools/mine/").content.decode()
    assert "<script>alert" not in said
    assert "&lt;script&gt;alert(1)" in said
    assert client_of(admin).get("/tools/nothing/").status_code == 404
    assert client_of(admin).get("/tools/a%00b/").status_code == 404


def test_only_admins_see_and_use_what_changes_a_tool(
    home: Path, client_of: ClientOf, operator: User, viewer: User, admin: User
) -> None:
    for user, tries, decides in ((viewer, False, False), (operator, True, False), (admin, True, True)):
        said = client_of(user).get("/tools/code_execution/").content.decode()
        assert ("Try it" in said, "Your decisions" in said) == (tries, decides)
    Tool.objects.filter(name="code_execution").update(role="admin")
    assert "Try it" not in client_of(operator).get("/tools/code_execution/").content.decode()


def test_an_admins_decisions_are_saved_shown_and_on_record(
    home: Path, client_of: ClientOf, admin: User
) -> None:
    browser = client_of(admin)
    posted = {"is_enabled": "on", "needs_approval": "on", "least_role": "admin", "timeout_seconds": "9",
              "memory": "1g", "parallel": "", "cpu_percent": ""}  # fmt: skip
    assert browser.post("/tools/code_execution/change/", posted).status_code == 302
    tool = Tool.objects.get(name="code_execution")
    assert tool.overrides == {"approval": True, "role": "admin", "timeout_seconds": 9, "memory_bytes": 2**30}
    said = browser.get("/tools/code_execution/").content.decode()
    assert 'value="9"' in said
    assert 'value="1g"' in said
    assert AuditEntry.objects.get(action="tool_change").actor_label == "admin"
    wrong = {**posted, "timeout_seconds": "0", "memory": "lots", "parallel": "5000"}
    said = browser.post("/tools/code_execution/change/", wrong).content.decode()
    assert "from 16m to 64g" in said
    wrong["memory"] = ""
    said = browser.post("/tools/code_execution/change/", wrong).content.decode()
    assert "from 1 to 3600" in said
    assert "from 1 to 1000" in said
    tool.refresh_from_db()
    assert tool.overrides["timeout_seconds"] == 9
    hosts = {"is_enabled": "on", "least_role": "operator", "egress": "example.com\r\n*.example.org\r\n"}
    assert browser.post("/tools/web_fetch/change/", hosts).status_code == 302
    assert Tool.objects.get(name="web_fetch").overrides == {"egress": ["example.com", "*.example.org"]}
    said = browser.post("/tools/web_fetch/change/", {**hosts, "egress": "http://x/"}).content.decode()
    assert "host names such as" in said


def test_tools_are_read_again_from_the_page(home: Path, client_of: ClientOf, admin: User) -> None:
    write(home, ODD)
    answer = client_of(admin).post("/tools/reload/", follow=True)
    assert "7 tools: 1 added." in answer.content.decode()


def test_the_admin_panel_changes_a_tool_through_the_service(
    home: Path, client_of: ClientOf, admin: User
) -> None:
    tool = Tool.objects.get(name="code_execution")
    path = f"/admin/sandbox_app/tool/{tool.pk}/change/"
    assert client_of(admin).get(path).status_code == 200
    posted = {"least_role": "operator", "timeout_seconds": "4", "memory": ""}
    assert client_of(admin).post(path, posted).status_code == 302
    tool.refresh_from_db()
    assert (tool.enabled, tool.overrides) == (False, {"enabled": False, "timeout_seconds": 4})
    assert AuditEntry.objects.get(action="tool_change").via == "admin"
    said = client_of(admin).post(path, {**posted, "timeout_seconds": "0"})
    assert (said.status_code, "from 1 to 3600" in said.content.decode()) == (200, True)


# Try it ----------------------------------------------------------------------------


def test_a_form_from_the_schema_asks_for_a_run(
    home: Path, node: Any, nudges: list[Any], told: Any, client_of: ClientOf, operator: User
) -> None:
    write(home, ODD)
    tools_load()
    posted = {
        "key": "k1", "arg_data": '{"a": [1]}', "arg_list": "[1, 2]", "arg_level": "2", "arg_sure": "false",
        "arg_ratio": "0.5", "arg_short": "x\r\ny",
    }  # fmt: skip
    browser = client_of(operator)
    answer = browser.post("/tools/mine/run/", posted)
    run = ToolRun.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/tools/runs/{run.uid}/")
    assert arguments_of(run) == {
        "data": {"a": [1]}, "list": [1, 2], "level": 2, "sure": False, "ratio": 0.5, "short": "x\ny"
    }  # fmt: skip
    assert (run.via, run.user) == ("page", operator)
    browser.post("/tools/mine/run/", posted)
    assert ToolRun.objects.count() == 1  # pressed twice
    browser.post("/tools/mine/run/", {"key": "k2"})
    assert arguments_of(ToolRun.objects.first()) == {"level": 1, "short": "a b"}


def test_an_example_fills_the_form(home: Path, client_of: ClientOf, operator: User) -> None:
    browser = client_of(operator)
    said = browser.get("/tools/code_execution/?example=3").content.decode()
    assert "printf &#x27;b\\na\\n&#x27; | sort</textarea>" in said
    assert '<option value="&quot;bash&quot;" selected>' in said
    for number in ("0", "99", "-1", "x", "9" * 50, "²"):
        assert browser.get("/tools/code_execution/", {"example": number}).status_code == 200


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("arg_data", "{", "Expected JSON"),
        ("arg_data", "[" * 100_000, "Expected JSON"),
        ("arg_data", "[1]", "data must be an object, not [1]."),
        ("arg_list", '["a"]', "list[0] must be a whole number"),
        ("arg_level", "3", "Select a valid choice"),
        ("arg_ratio", "-1", "ratio must be at least 0, not -1.0."),
        ("arg_ratio", "nan", "Enter a number"),
        ("arg_short", "x" * 30, "short must have at most 20 characters"),
        ("arg_short", "\x00", "Null characters"),
        ("key", "x" * 500, ""),
    ],
)
def test_what_does_not_fit_is_told_on_the_page(
    field: str, value: str, words: str, home: Path, node: Any, nudges: list[Any], told: Any,
    client_of: ClientOf, operator: User,
) -> None:  # fmt: skip
    write(home, ODD)
    tools_load()
    answer = client_of(operator).post("/tools/mine/run/", {"key": "k", field: value})
    assert answer.status_code == 200
    assert words in answer.content.decode().replace("&quot;", '"')
    assert not ToolRun.objects.filter(state="requested").exists()


def test_a_refusal_of_the_service_is_told_on_the_page(
    home: Path, client_of: ClientOf, operator: User
) -> None:
    answer = client_of(operator).post("/tools/code_execution/run/", {"key": "k", "arg_code": "1"})
    assert answer.status_code == 200
    assert "node" in answer.content.decode()


def test_only_sessions_of_ones_own_can_be_chosen(
    home: Path, node: Any, nudges: list[Any], told: Any, client_of: ClientOf, operator: User
) -> None:
    later = timezone.now() + timedelta(hours=1)
    stranger = UserFactory(username="stranger")
    ToolSession.objects.create(
        owner=stranger, node=node, node_name=node.name, expires_at=later, label="secret"
    )
    browser = client_of(operator)
    assert "secret" not in browser.get("/tools/code_execution/").content.decode()
    mine = ToolSession.objects.create(
        owner=operator, node=node, node_name=node.name, expires_at=later, label="my work"
    )
    assert "my work" in browser.get("/tools/code_execution/").content.decode()
    theirs = ToolSession.objects.get(owner=stranger)
    posted = {"key": "k", "arg_code": "1", "session": theirs.uid}
    assert browser.post("/tools/code_execution/run/", posted).status_code == 200
    assert browser.post("/tools/code_execution/run/", {**posted, "session": mine.uid}).status_code == 302
    assert ToolRun.objects.get(session=mine).tool_name == "code_execution"


# API -------------------------------------------------------------------------------


def test_tools_are_listed_as_older_clients_know_them(home: Path, bearer: ClientOf, viewer: User) -> None:
    client = bearer(viewer, "read")
    listed = client.get("/api/tools").json()
    assert [tool["name"] for tool in listed][:2] == ["bash_command", "code_execution"]
    one = client.get("/api/tools/code_execution").json()
    assert one["parameters"][0]["name"] == "code"
    assert one["limits"]["memory_bytes"] == 512 * 2**20
    assert one["usable"] is True
    assert client.get("/api/tools/nothing").status_code == 404
    assert client.get("/api/tools/a%00b").status_code == 404


def test_functions_are_those_that_can_be_run(home: Path, bearer: ClientOf, viewer: User) -> None:
    client = bearer(viewer, "read")
    Tool.objects.filter(name="web_fetch").update(enabled=False)
    Tool.objects.filter(name="web_search").update(problem="broken")
    functions = client.get("/api/tools-openai").json()
    names = [function["function"]["name"] for function in functions]
    assert names == ["bash_command", "code_execution", "data_storage", "file_analysis"]
    strict = client.get("/api/tools-openai?strict=1").json()
    assert strict[0]["function"]["strict"] is True
    assert client.get("/api/tools-openai?strict=perhaps").status_code == 400


def test_an_admin_changes_a_tool_by_the_api(
    home: Path, bearer: ClientOf, client_of: ClientOf, admin: User, operator: User
) -> None:
    client = bearer(admin, "admin")

    def patch(body: Any) -> Any:
        return client.patch("/api/tools/code_execution", json.dumps(body), content_type="application/json")

    answer = patch({"timeout_seconds": 3, "enabled": False})
    assert (answer.status_code, answer.json()["enabled"], answer.json()["usable"]) == (200, False, False)
    assert answer.json()["limits"]["timeout_seconds"] == 3
    assert patch({"timeout_seconds": None, "enabled": None}).json()["overrides"] == {}
    for body, field in (
        ({"timeout_seconds": 0}, "timeout_seconds"), ({"timeout_seconds": "x"}, "timeout_seconds"),
        ({"image": "evil"}, "image"), ({"role": "viewer"}, "role"), ({"egress": ["x.com"]}, "egress"),
        ({"egress": "x"}, "egress"), ({"memory_bytes": 10**40}, "memory_bytes"), ({"role": "a\x00"}, "role"),
    ):  # fmt: skip
        refused = patch(body)
        assert (refused.status_code, field in refused.json()["fields"]) == (400, True), refused.content
    assert patch([1]).status_code == 400
    assert Tool.objects.get(name="code_execution").overrides == {}


def test_reload_answers_what_came_of_it(home: Path, bearer: ClientOf, admin: User) -> None:
    write(home, BROKEN)
    said = bearer(admin, "admin").post("/api/reload").json()
    assert said["message"] == "6 tools: 1 added, 1 refused."
    assert "privileged" in said["refused"]["mine"]
    assert "mine" not in said["tools"]
