"""Figures of transcripts in Chromium: charts are drawn, filters apply, prices are added and deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from sparkweb.accounts.models import User
from tests.support.page_transcripts import transcripts_seed
from transcripts_app.models import ModelPrice

pytestmark = [pytest.mark.browser]
WIDE = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture
def keys(site: str, archive: Path, projects: Path) -> dict[str, str]:
    return transcripts_seed(projects)


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
def test_charts_are_drawn_and_filters_apply(
    open_page: Any, keys: dict[str, str], page_admin: User, width: int, dark: bool
) -> None:
    page, _ = open_page("/transcripts/figures/?days=0", page_admin, width=width, dark=dark)
    expect(page.locator("[data-figure-charts] canvas")).to_have_count(4)
    expect(page.locator("[data-legend]").first).to_contain_text("Cost $")
    assert page.evaluate(WIDE) <= 0
    page.get_by_label("Tool", exact=True).select_option("Grep")
    expect(page.get_by_text("Tokens and cost are those of the sessions that used Grep.")).to_be_visible()
    page.get_by_role("link", name="All", exact=True).click()
    expect(page.get_by_label("Tool", exact=True)).to_have_value("")


def test_prices_are_added_and_deleted_after_a_question(
    open_page: Any, keys: dict[str, str], page_admin: User
) -> None:
    page, _ = open_page("/transcripts/prices/", page_admin, width=1440)
    for label, value in (("Model", "mine*"), ("Input", "0.5"), ("Output", "2")):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("cell", name="mine*", exact=True)).to_be_visible()
    page.get_by_role("button", name="Delete mine*").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("cell", name="mine*", exact=True)).to_have_count(0)
    assert not ModelPrice.objects.filter(pattern="mine*").exists()
