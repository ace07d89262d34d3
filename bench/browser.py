"""A Chromium with the dashboard open, for benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

from tests.support.stack import PASSWORD, Stack

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def dashboard_open(stack: Stack) -> Iterator[Page]:
    """Log in as the admin and open the dashboard; it is live when this returns."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(stack.url + "/login/")
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", PASSWORD)
        page.press("input[name=password]", "Enter")
        page.wait_for_url(stack.url + "/")
        page.wait_for_function("document.documentElement.dataset.lastDrawn !== undefined", timeout=30_000)
        yield page
        browser.close()
