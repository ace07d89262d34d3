"""Pages and API of the tool audit: filtered by number, for admins and those who ran it, exported whole."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from kombu.exceptions import OperationalError

from sandbox_app import audit_checks, audit_tasks, selectors_audit
from sandbox_app.audit import audit_append
from sandbox_app.audit_heads import head_copy, heads_file
from sandbox_app.models import ToolRun
from sandbox_app.models_audit import AuditCheck, AuditKind, CheckState
from sandbox_app.selectors_audit import AuditFilter, audit_page
from sparkweb.accounts.models import User
from tests.sandbox.audit_data import TABLE, entries_make, tamper

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators"),
]
Clients = Callable[[User | None], Client]


@pytest.fixture(autouse=True)
def _no_copies() -> None:
    heads_file().unlink(missing_ok=True)


def numbers(wanted: AuditFilter, rows: int = 50) -> list[int]:
    return [record.number for record in audit_page(wanted, rows).records]


@pytest.fixture
def entries() -> None:
    entries_make(4)
    entries_make(2, tool_name="web_fetch", user_label="bob (key sw_1234…)", outcome="wall")
    entries_make(2, tool_name="web_fetch", user_label="bob")
    audit_append(
        AuditKind.REFUSED, tool_name="bash", user_label="bobby", outcome="refused", body={"x": "Gänse_%"}
    )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ({"tool": "web_fetch"}, [8, 7, 6, 5]),
        ({"user": "bob"}, [8, 7, 6, 5]),
        ({"user": "bobby"}, [9]),
        ({"user": "nobody"}, []),
        ({"kind": "refused"}, [9]),
        ({"outcome": "ok"}, [8, 4, 2]),
        ({"outcome": "failed"}, [9, 6, 5]),
        ({"run": f"{1:016x}"}, [4, 3]),
        ({"tool": "web_fetch", "outcome": "failed"}, [6, 5]),
        ({"tool": "web_fetch", "user": "bob", "kind": "ended", "outcome": "ok"}, [8]),
        ({"text": "PRINT(3)"}, [4]),
        ({"text": "gänse_%"}, [9]),
        ({"text": "_"}, [9]),
        ({"text": "%"}, [9]),
        ({"before": 3}, [2, 1]),
        ({"before": 1}, []),
        ({"before": 500}, [9, 8, 7, 6, 5, 4, 3, 2, 1]),
    ],
)
def test_filters(entries: None, wanted: dict[str, Any], found: list[int]) -> None:
    assert numbers(AuditFilter(**wanted)) == found


def test_times_are_found_by_number(entries: None) -> None:
    now = timezone.now()
    assert numbers(AuditFilter(since=now + timedelta(minutes=1))) == []
    assert numbers(AuditFilter(until=now - timedelta(minutes=5))) == []
    around = AuditFilter(since=now - timedelta(minutes=5), until=now + timedelta(minutes=1), tool="bash")
    assert numbers(around) == [9]


def test_pages_follow_each_other(entries: None) -> None:
    for wanted in (
        AuditFilter(),
        AuditFilter(outcome="failed"),
        AuditFilter(user="bob"),
        AuditFilter(text="a"),
    ):
        seen: list[int] = []
        page = audit_page(wanted, 2)
        for _ in range(9):
            seen += [record.number for record in page.records]
            if page.next_before is None:
                break
            page = audit_page(AuditFilter(**{**vars(wanted), "before": page.next_before}), 2)
        assert seen == numbers(wanted)


def test_search_stops_and_says_so(entries: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectors_audit, "TEXT_SCAN_ROWS", 3)
    page = audit_page(AuditFilter(text="print(3)"))
    assert (page.records, page.looked_back_to, page.next_before) == ([], 7, 7)
    further = audit_page(AuditFilter(text="print(3)", before=5))
    assert [record.number for record in further.records] == [4]
    assert (further.looked_back_to, further.next_before) == (2, 2)


# Who may ------------------------------------------------------------------------------


def test_entry_is_for_admins_and_for_whoever_ran_it(
    entries: None, client_of: Clients, admin: User, operator: User, viewer: User
) -> None:
    ToolRun.objects.create(uid=f"{1:016x}", tool_name="code_execution", tool_digest="d", user=operator,
                           user_label="operator", via="api", node_name="spark-1")  # fmt: skip
    for path in ("/tools/audit/3/", "/api/tool-audit/3"):
        assert client_of(admin).get(path).status_code == 200
        assert client_of(operator).get(path).status_code == 200
        assert client_of(viewer).get(path).status_code == 404
    assert client_of(operator).get("/tools/audit/5/").status_code == 404
    for path in ("/tools/audit/", "/tools/audit/export/", "/tools/audit/use/", "/tools/audit/state/",
                 "/api/tool-audit", "/api/tool-audit/export", "/api/tool-audit/use",
                 "/api/tool-audit/verify"):  # fmt: skip
        assert client_of(operator).get(path).status_code == 403


def test_read_key_of_an_admin_reads_nobody_elses_entries(
    entries: None, admin: User, bearer: Callable[..., Client]
) -> None:
    assert bearer(admin, "read").get("/api/tool-audit/3").status_code == 404
    assert bearer(admin, "read").get("/api/tool-audit").status_code == 403
    assert bearer(admin, "admin").get("/api/tool-audit/3").status_code == 200


# Pages --------------------------------------------------------------------------------


def test_list_shows_and_escapes(client_of: Clients, admin: User) -> None:
    entries_make(1, tool_name="<b>x</b>", user_label="<script>")
    page = client_of(admin).get("/tools/audit/").content.decode()
    assert "&lt;script&gt;" in page and "<script>" not in page.replace("<script src", "")
    assert "Not verified yet" in page


@pytest.mark.parametrize(
    "query", ["since=yesterday", "before=-1", "before=x", "kind=odd", "outcome=%00", "text=%00",
              "since=0001-01-01", "until=9999-12-31", "tool=" + "x" * 99]
)  # fmt: skip
def test_odd_filters_break_nothing(entries: None, client_of: Clients, admin: User, query: str) -> None:
    assert client_of(admin).get(f"/tools/audit/?{query}").status_code == 200
    assert client_of(admin).get(f"/api/tool-audit?{query}").status_code in (200, 400)


def test_empty_states(client_of: Clients, admin: User) -> None:
    browser = client_of(admin)
    assert "Nothing was recorded yet" in browser.get("/tools/audit/").content.decode()
    assert "No run ended in this time" in browser.get("/tools/audit/use/").content.decode()
    entries_make(1)
    assert "No entry matches" in browser.get("/tools/audit/?tool=none").content.decode()
    assert browser.get("/tools/audit/2/").status_code == 404
    assert browser.get(f"/tools/audit/{2**70}/").status_code == 404


def test_entry_says_whether_it_was_changed(entries: None, client_of: Clients, admin: User) -> None:
    assert "as it was written" in client_of(admin).get("/tools/audit/3/").content.decode()
    tamper(f"UPDATE {TABLE} SET body = 'no json' WHERE number = 3")
    page = client_of(admin).get("/tools/audit/3/").content.decode()
    assert "changed or forged" in page and "no json" in page


# Export -------------------------------------------------------------------------------


def test_json_lines_hold_all_that_is_hashed(entries: None, client_of: Clients, admin: User) -> None:
    answer = client_of(admin).get("/tools/audit/export/?format=jsonl&tool=web_fetch&before=2")
    lines = [json.loads(line) for line in b"".join(answer).splitlines()]
    assert [line["number"] for line in lines] == [8, 7, 6, 5]
    assert lines[0]["body"] == {"arguments": {"code": "print(1)"}} and len(lines[0]["mac"]) == 64
    assert "attachment" in answer["Content-Disposition"]


def test_csv_is_safe_for_spreadsheets(client_of: Clients, admin: User) -> None:
    entries_make(1, user_label="=cmd()", tool_name="@x")
    answer = client_of(admin).get("/tools/audit/export/?format=csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode())))
    assert (rows[0]["user"], rows[0]["tool"], rows[0]["number"]) == ("'=cmd()", "'@x", "1")


def test_export_goes_in_batches(client_of: Clients, admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    entries_make(23)
    monkeypatch.setattr(selectors_audit, "SCAN_ROWS", 7)
    monkeypatch.setattr(selectors_audit, "EXPORT_ROWS", 3)
    answer = client_of(admin).get("/api/tool-audit/export")
    assert [json.loads(line)["number"] for line in b"".join(answer).splitlines()] == list(range(23, 0, -1))
    assert client_of(admin).get("/api/tool-audit/export?form=xml").status_code == 400
    assert client_of(admin).get("/tools/audit/export/?format=xml").status_code == 404


# Verification -------------------------------------------------------------------------


def test_verification_is_asked_for_and_told(
    entries: None, client_of: Clients, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sandbox_app import audit_tasks

    monkeypatch.setattr(audit_tasks.audit_check, "apply_async", lambda *_args, **_kwargs: None)
    browser = client_of(admin)
    assert browser.get("/api/tool-audit/verify").status_code == 404
    asked = browser.post("/api/tool-audit/verify")
    assert (asked.status_code, asked.json()["state"]) == (202, "waiting")
    assert "Being verified" in browser.get("/tools/audit/state/").content.decode()
    audit_checks.check_run(AuditCheck.objects.get())
    told = browser.get("/api/tool-audit/verify").json()
    assert (told["state"], told["percent"], told["verdict"]["rows"]) == ("good", 100, 9)
    tamper(f"DELETE FROM {TABLE} WHERE number = 3")
    pressed = browser.post("/tools/audit/verify/", headers={"HX-Request": "true"})
    assert "Being verified" in pressed.content.decode()
    audit_checks.check_run(AuditCheck.objects.get(state=CheckState.WAITING))
    assert "Entry 3 is gone" in browser.get("/tools/audit/").content.decode()


def test_restored_backup_is_seen_and_accepted_on_the_page(
    entries: None, client_of: Clients, admin: User, operator: User, django_capture_on_commit_callbacks: Any
) -> None:
    head_copy()
    tamper(
        f"DELETE FROM {TABLE} WHERE number > 5",
        f"UPDATE sandbox_app_audithead SET number = 5, mac = (SELECT mac FROM {TABLE} WHERE number = 5)",
    )
    browser = client_of(admin)
    page = browser.get("/tools/audit/").content.decode()
    assert (
        "It ends at 5, but the file audit_heads holds its head at 9" in page and "Accept this chain" in page
    )
    assert client_of(operator).post("/tools/audit/accept/", {"reason": "x"}).status_code == 403
    assert browser.post("/api/tool-audit/accept", {}, content_type="application/json").status_code == 400
    with django_capture_on_commit_callbacks(execute=True):
        accepted = browser.post("/tools/audit/accept/", {"reason": "restored on purpose"})
    assert accepted["Location"] == "/tools/audit/"
    assert "Accept this chain" not in browser.get("/tools/audit/").content.decode()
    again = browser.post("/api/tool-audit/accept", {"reason": "x"}, content_type="application/json")
    assert (again.status_code, again.json()["code"]) == (409, "agreed")
    for aside in heads_file().parent.glob("audit_heads.until-*"):
        aside.unlink()


def test_redis_away_is_said(client_of: Clients, admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("connection refused")

    # Other modules of this worker may have left a Redis where the settings look for one.
    monkeypatch.setattr(audit_tasks.audit_check, "apply_async", away)
    answer = client_of(admin).post("/api/tool-audit/verify")
    assert (answer.status_code, answer.json()["code"]) == (409, "redis_down")
    assert client_of(admin).get("/api/tool-audit/verify").json()["state"] == "failed"


# Use over time ------------------------------------------------------------------------


def test_use_counts_ends_by_tool_and_person(entries: None, client_of: Clients, admin: User) -> None:
    by_tool = client_of(admin).get("/api/tool-audit/use?days=1&by=tool").json()
    assert {line["name"]: (sum(line["runs"]), sum(line["failed"])) for line in by_tool["lines"]} == {
        "code_execution": (2, 0), "web_fetch": (2, 1)
    }  # fmt: skip
    assert by_tool["total"] == {"runs": 4, "failed": 1}
    by_user = client_of(admin).get("/api/tool-audit/use?days=30&by=user").json()
    assert {line["name"]: sum(line["runs"]) for line in by_user["lines"]} == {"ann": 2, "bob": 2}
    for query in ("days=2", "by=node", "days=x"):
        assert client_of(admin).get(f"/api/tool-audit/use?{query}").status_code == 400
