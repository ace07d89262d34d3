"""Tools in Chromium, at a desk and on a phone: an example filled in, a refusal, a decision that asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from metrics_app.models import Node
from sandbox_app.models import Tool
from sandbox_app.registry import tools_load
from sparkweb.accounts.models import User
from tests.e2e.browser import until

pytestmark = [pytest.mark.browser]


@pytest.fixture
def tools(house: Node, tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR, settings.TOOLS_DIR = tmp_path, tmp_path / "tools"
    tools_load()


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
def test_a_tool_is_looked_at_tried_and_bounded(
    open_page: Any, tools: None, page_admin: User, width: int, dark: bool
) -> None:
    page, _ = open_page("/tools/", page_admin, width=width, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.get_by_role("link", name="file_analysis").click()
    page.get_by_role("link", name="Fill in").first.click()
    expect(page.locator("#id_arg_query")).to_have_value("$.a[*].b")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.locator("#id_arg_schema").fill("[1]")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#try [role=alert]")).to_contain_text("schema must be an object, not [1].")
    expect(page.locator("#id_arg_query")).to_have_value("$.a[*].b")
    page.get_by_text("OpenAI function").click()
    expect(page.locator("#form-openai")).to_contain_text('"additionalProperties": false')

    page.locator("#id_timeout_seconds").fill("7")
    page.locator("#id_timeout_seconds").press("Enter")
    dialog = page.locator("dialog[open]")
    expect(dialog).to_contain_text("Change file_analysis?")
    dialog.get_by_role("button", name="Cancel").click()
    assert Tool.objects.get(name="file_analysis").overrides == {}
    page.get_by_role("button", name="Save").click()
    dialog.locator("[data-verb]").click()
    expect(page.locator("dl.facts").first).to_contain_text("7 s set here")
    assert Tool.objects.get(name="file_analysis").overrides == {"timeout_seconds": 7}


def test_the_tab_of_the_page_shows_on_a_phone(open_page: Any, house: Node, page_admin: User) -> None:
    page, _ = open_page("/tools/selftest/", page_admin, width=390)
    until(page, "document.querySelector('.sub-tabs').scrollLeft > 0")
    expect(page.get_by_role("link", name="Self-test")).to_be_in_viewport()
