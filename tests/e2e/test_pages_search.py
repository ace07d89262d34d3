"""The search page in a browser: typing, suggestions, narrowing, saving, opening a hit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from sparkweb.accounts.models import User
from tests.e2e.conftest import Opened
from tests.support.page_transcripts import transcripts_seed
from transcripts_app.models_search import RecentSearch, SavedSearch

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def seeded(site: str, archive: Path, projects: Path) -> Iterator[None]:
    transcripts_seed(projects)
    yield


def test_one_types_narrows_and_opens(seeded: None, open_page: Opened, page_admin: User) -> None:
    page, _ = open_page("/transcripts/search/?q=header", page_admin)
    expect(page.locator(".search-hit mark").first).to_have_text("header", ignore_case=True)
    page.locator("body").press("/")
    field = page.get_by_label("Search", exact=True)
    expect(field).to_be_focused()
    field.press_sequentially("basket")
    expect(page.locator(".search-hit mark").first).to_have_text("basket", ignore_case=True)
    page.wait_for_url("**/search/?q=basket")
    counts = page.locator("#search-counts")
    counts.get_by_role("link", name="prompt").click()
    expect(page.locator(".search-total")).to_contain_text("hit")
    expect(page.get_by_label("Search", exact=True)).to_have_value("basket in:prompt")
    expect(page.locator(".search-hit .tag").first).to_have_text("Prompt")
    page.locator(".search-open").first.click()
    page.wait_for_url("**/transcripts/sessions/**")
    assert RecentSearch.objects.get().query == "basket in:prompt"


def test_suggestions_are_chosen_with_the_keyboard(seeded: None, open_page: Opened, page_admin: User) -> None:
    page, _ = open_page("/transcripts/search/", page_admin)
    field = page.get_by_label("Search", exact=True)
    field.press_sequentially("too")
    options = page.locator("#search-suggestions [role=option]")
    expect(options).to_have_count(1)
    field.press("ArrowDown")
    field.press("Enter")
    expect(field).to_have_value("tool:")
    field.press_sequentially("ba")
    expect(options.first).to_contain_text("tool:Bash")
    field.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    field.press("Tab")
    expect(field).to_have_value("tool:Bash ")
    expect(page.locator(".search-hit").first).to_be_visible()
    field.press_sequentially("is:er")
    expect(options).to_have_count(1)
    field.press("Escape")
    expect(options).to_have_count(0)


def test_a_misspelt_filter_is_put_right(seeded: None, open_page: Opened, page_admin: User) -> None:
    page, _ = open_page("/transcripts/search/?q=tol:Bash", page_admin, width=390)
    page.get_by_role("button", name="Use tool:").click()
    expect(page.get_by_label("Search", exact=True)).to_have_value("tool:Bash")
    expect(page.locator(".search-hit").first).to_be_visible()


def test_a_search_is_saved_renamed_and_deleted(seeded: None, open_page: Opened, page_admin: User) -> None:
    page, _ = open_page("/transcripts/search/?q=basket&sort=newest", page_admin)
    page.get_by_label("Name of this search").fill("Baskets")
    page.get_by_role("button", name="Save", exact=True).click()
    saved = page.locator("#saved-searches")
    expect(saved.get_by_role("link", name="Baskets")).to_be_visible()
    assert (SavedSearch.objects.get().query, SavedSearch.objects.get().sort) == ("basket", "newest")
    saved.get_by_label("Rename Baskets").click()
    saved.get_by_label("New name").fill("All baskets")
    saved.get_by_role("button", name="Rename", exact=True).click()
    expect(saved.get_by_role("link", name="All baskets")).to_be_visible()
    saved.get_by_role("link", name="All baskets").click()
    page.wait_for_url("**/search/?q=basket&sort=newest")
    page.locator("#saved-searches").get_by_label("Delete All baskets").click()
    expect(page.locator("#saved-searches").get_by_role("link", name="All baskets")).to_have_count(0)
