"""The tool audit and the list of runs in a browser: verified while one looks, filtered, compared."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from playwright.sync_api import expect

from sandbox_app import audit_checks, audit_tasks
from sandbox_app.audit_heads import heads_file
from sandbox_app.models import ToolRun
from sandbox_app.models_audit import AuditCheck, AuditRecord
from sparkweb.accounts.models import User
from tests.e2e.conftest import Opened
from tests.support.page_audit import audit_seed

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def again(site: str, page_admin: User) -> ToolRun:
    heads_file().unlink(missing_ok=True)
    return audit_seed(timezone.now(), page_admin, calls=40)


def test_chain_is_verified_while_one_looks(
    again: ToolRun, open_page: Opened, page_admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    workers: list[threading.Thread] = []

    def work(check_id: int) -> None:
        assert go.wait(120)
        audit_checks.check_run(AuditCheck.objects.get(pk=check_id))
        connections.close_all()

    def ask(arguments: tuple[int], **_: Any) -> None:
        workers.append(threading.Thread(target=work, args=arguments))
        workers[0].start()

    monkeypatch.setattr(audit_tasks.audit_check, "apply_async", ask)
    AuditCheck.objects.all().delete()
    page, _ = open_page("/tools/audit/", page_admin)
    expect(page.locator("#audit-state")).to_contain_text("Not verified yet")
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator("#audit-state")).to_contain_text("Being verified")
    go.set()
    expect(page.locator("#audit-state")).to_contain_text("The chain holds")
    expect(page.locator("#audit-state")).to_contain_text("All 80 entries hold")
    workers[0].join()


def test_list_is_filtered_and_paged(again: ToolRun, open_page: Opened, page_admin: User) -> None:
    page, _ = open_page("/tools/audit/", page_admin, width=390)
    rows = page.locator("#audit tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(rows).to_have_count(30)
    page.get_by_role("link", name="Newest").click()
    expect(rows).to_have_count(50)
    page.get_by_label("Kind").select_option("ended")
    expect(rows).to_have_count(40)
    number = AuditRecord.objects.filter(kind="ended").latest("number").number
    page.get_by_role("link", name=str(number), exact=True).click()
    expect(page.get_by_text("as it was written")).to_be_visible()


def test_use_is_drawn(again: ToolRun, open_page: Opened, page_admin: User) -> None:
    page, _ = open_page("/tools/audit/use/?days=7", page_admin)
    expect(page.locator(".history-panel canvas")).to_have_count(4)
    expect(page.locator(".history-panel").first).to_contain_text("code_execution")


def test_both_outputs_stand_side_by_side(again: ToolRun, open_page: Opened, page_admin: User) -> None:
    page, _ = open_page(f"/tools/runs/{again.uid}/compare/", page_admin, dark=True)
    expect(page.locator(".diff-changed")).to_have_count(1)
    expect(page.locator(".diff-new .diff-right")).to_have_text("centre     310.00")
    expect(page.get_by_text("limits.memory_bytes")).to_be_visible()


def test_list_of_runs_follows_the_socket(again: ToolRun, open_page: Opened, page_admin: User) -> None:
    page, socket = open_page("/tools/runs/", page_admin)
    expect(page.locator("#runs .badge-state").first).to_have_text("Running")
    live = ToolRun.objects.get(live=True)
    ToolRun.objects.filter(pk=live.pk).update(
        state="ended", live=False, outcome="wall", reason="30 s were over"
    )
    socket.send(
        {"type": "tool_run", "run": live.uid, "tool": live.tool_name, "state": "ended", "outcome": "wall"}
    )
    expect(page.locator("#runs .badge-state").first).to_have_text("Out of time")
