"""A Chromium with the dashboard open, for benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

from tests.e2e.browser import CHROMIUM, FLAGS, until
from tests.support.stack import PASSWORD, Stack


@contextmanager
def dashboard_open(stack: Stack) -> Iterator[Page]:
    """Log in as the admin and open the dashboard; it is live when this returns."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(stack.url + "/login/")
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", PASSWORD)
        page.press("input[name=password]", "Enter")
        page.wait_for_url(stack.url + "/")
        until(page, "document.documentElement.dataset.lastDrawn !== undefined", 30)
        yield page
        browser.close()
