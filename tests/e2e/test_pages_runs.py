"""The page of a run in Chromium: output as it comes, its end, and the buttons."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.tool_house import House
from tests.support.web import PASSWORD

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    made = House()
    yield made
    made.close()


@pytest.fixture(params=[(1440, 900), (390, 844)], ids=["desk", "phone"])
def page(request: pytest.FixtureRequest, chromium: Browser, house: House) -> Iterator[Page]:
    """A logged-in page; a script error on it fails the test."""
    errors: list[str] = []
    width, height = request.param
    context = chromium.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    context.on("weberror", lambda error: errors.append(str(error.error)))
    page = context.new_page()
    page.goto(f"http://{house.web.host}/")
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"http://{house.web.host}/")
    yield page
    context.close()
    assert not errors, errors


def test_output_comes_and_hides_nothing_and_the_end_is_drawn(page: Page, house: House) -> None:
    connection = house.execute("wait", detached=True)
    (uid,) = house.running()
    page.goto(f"http://{house.web.host}/tools/runs/{uid}/")
    output, badge = page.locator("[data-run-output]"), page.locator("[data-run-panel] .badge-state")
    expect(output).to_contain_text("begins")
    house.agent.out(uid, "\x1b[31mred\x1b[0m <img src=x> \u202etxt.exe\x07\n", fd=2)
    expect(output).to_contain_text("red <img src=x> ⟨U+202E⟩txt.exe⟨U+0007⟩")
    expect(output.locator(".run-error .ansi-f1")).to_have_text("red")
    expect(badge).to_have_text("Running")
    house.agent.finish(uid, "memory", reason="It used more than 512 MiB.", stdout="begins\n")
    expect(badge).to_have_text("Out of memory")
    expect(page.locator("[data-run-panel]")).to_contain_text("more than 512 MiB")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is too wide"
    connection.close()


def test_a_run_is_cancelled_by_its_button(page: Page, house: House) -> None:
    connection = house.execute("wait", detached=True)
    (uid,) = house.running()
    page.goto(f"http://{house.web.host}/tools/runs/{uid}/")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("[data-run-panel] .badge-state")).to_have_text("Cancelled")
    assert "admin" in house.agent.cancelled[uid]
    expect(page.get_by_role("button", name="Run again")).to_be_visible()
    connection.close()
