"""The history page in Chromium: charts of what was kept, other spans, a link that shows the same."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from metrics_app.models import Node
from sparkweb.accounts.models import User
from tests.e2e.browser import until
from tests.factories import NodeFactory
from tests.support.history_data import history_seed

pytestmark = [pytest.mark.browser]
SETTLED = "document.documentElement.dataset.historySettled"


def settled(page: Page, before: str | None = None) -> str:
    """Wait until the charts of the span on the page are filled; returns the span."""
    until(page, f"Boolean({SETTLED}) && {SETTLED} !== {before!r}".replace("None", "undefined"))
    return str(page.evaluate(SETTLED))


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


@pytest.fixture
def kept(house: Node) -> Node:
    history_seed(house.name, now=time.time(), seconds=6 * 3600)
    return house


def test_charts_zoom_move_and_a_link_that_shows_the_same(
    open_page: Any, kept: Node, page_viewer: User
) -> None:
    page, _ = open_page("/nodes/spark-1/history/?range=3600", page_viewer)
    first = settled(page)
    cpu = page.locator(".history-panel", has_text="CPU").first
    expect(cpu.locator("[data-legend] b")).to_contain_text("%")
    expect(page.locator("[data-range='3600']")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-event-list] li").first).to_be_visible()
    plot = cpu.locator(".u-over").bounding_box()
    assert plot
    page.mouse.move(plot["x"] + plot["width"] * 0.25, plot["y"] + 40)
    page.mouse.down()
    page.mouse.move(plot["x"] + plot["width"] * 0.5, plot["y"] + 40, steps=4)
    page.mouse.up()
    zoomed = settled(page, first)
    asked = query(page)
    assert 600 < int(asked["to"][0]) - int(asked["from"][0]) < 1200, "a quarter of an hour of the hour"
    page.locator("[data-move=back]").click()
    settled(page, zoomed)
    assert int(query(page)["to"][0]) < int(asked["to"][0])
    address = urlsplit(page.url)
    other, _ = open_page(f"{address.path}?{address.query}", page_viewer, width=390, dark=True)
    settled(other)
    assert query(other) == query(page)
    assert other.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert f"start={query(page)['from'][0]}" in str(other.locator("[data-export=csv]").get_attribute("href"))


def test_the_wheel_zooms_about_the_pointer_and_moves_sideways(
    open_page: Any, kept: Node, page_viewer: User
) -> None:
    page, _ = open_page("/nodes/spark-1/history/?range=3600", page_viewer)
    first = settled(page)
    page.locator(".history-panel .u-over").first.hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    zoomed = settled(page, first)
    start, end = (int(query(page)[name][0]) for name in ("from", "to"))
    assert 1_500 < end - start < 2_200, "e to the power of two thirds"
    page.mouse.wheel(-300, 0)
    settled(page, zoomed)
    assert int(query(page)["from"][0]) < start
    assert abs(int(query(page)["to"][0]) - int(query(page)["from"][0]) - (end - start)) <= 2


def test_tabs_two_nodes_and_the_day_before(open_page: Any, kept: Node, page_viewer: User) -> None:
    NodeFactory(name="spark-2")
    history_seed("spark-2", now=time.time(), seconds=3600)
    page, _ = open_page("/nodes/spark-1/history/?tab=gpu&with=spark-2&compare=86400", page_viewer)
    settled(page)
    power = page.locator(".history-panel", has_text="Power").first
    expect(power.locator("[data-legend] > span")).to_have_count(4)
    expect(power).to_contain_text("spark-2 GPU 0, before")
    page.locator("#history-tab").select_option("model")
    page.wait_for_url("**tab=model**")
    settled(page)
    expect(page.locator(".history-panel", has_text="Generated tokens")).to_be_visible()


def test_a_node_without_history_says_what_comes(open_page: Any, house: Node, page_viewer: User) -> None:
    NodeFactory(name="spark-3")
    page, _ = open_page("/nodes/spark-3/history/", page_viewer)
    expect(page.get_by_text("No history yet")).to_be_visible()
