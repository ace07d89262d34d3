"""The main job as its user does it: Chromium on the whole product, at a desk and on a phone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser import until
from tests.e2e.conftest import visit
from tests.support import nvml
from tests.support.images import STANDIN
from tests.support.stack import PASSWORD, Stack, free_port, wait_for

pytestmark = [pytest.mark.docker, pytest.mark.browser]

DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
DRAWN = "document.documentElement.dataset.lastDrawn"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, docker_host: str) -> Iterator[Stack]:
    gpu = {"LD_LIBRARY_PATH": str(nvml.build()), "NVML_STANDIN_PROFILE": "gb10"}
    with Stack(tmp_path_factory.mktemp("browser"), docker_host=docker_host, **gpu) as running:
        running.wait_online()
        yield running


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def page(request: pytest.FixtureRequest, chromium: Browser, stack: Stack) -> Iterator[Page]:
    """A logged-in page; a script error on it fails the test."""
    errors: list[str] = []
    context = chromium.new_context(viewport=request.param, reduced_motion="reduce")
    context.on("weberror", lambda error: errors.append(str(error.error)))
    page = context.new_page()
    page.goto(stack.url)
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(stack.url + "/")
    visit(page, stack.url + "/")
    yield page
    context.close()
    assert not errors, errors


def import_on_page(page: Page, stack: Stack, slug: str) -> None:
    settings = {
        "gpus": "none",
        "ulimit_memlock": None,
        "ulimit_stack": None,
        "env": {"STANDIN_LOAD_SECONDS": "2"},
    }
    entry = {
        "engine": "vllm",
        "port": free_port(),
        "model_id": "test/model",
        "image": STANDIN,
        "settings": settings,
    }
    page.goto(stack.url + "/models/import/")
    page.fill("#id_text", json.dumps({"models": {slug: entry}}))
    page.get_by_role("button", name="Check").click()
    page.locator("#import-result").get_by_role("button", name="Import", exact=True).click()
    page.wait_for_url(stack.url + "/models/")


def test_figures_move_each_second(page: Page, stack: Stack) -> None:
    until(page, f"{DRAWN} !== undefined", 30)
    first = json.loads(page.evaluate(DRAWN))
    expect(page.get_by_text("NVIDIA GB10")).to_be_visible()
    until(page, f"JSON.parse({DRAWN}).seq >= {first['seq'] + 3}", 15)
    assert "NaN" not in page.locator("main").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is too wide"


def test_import_start_log_stop_history_and_admin(page: Page, stack: Stack) -> None:
    slug = f"model-{page.viewport_size['width']}"  # type: ignore[index]
    import_on_page(page, stack, slug)
    page.goto(stack.url + "/")
    card = page.locator(f"[data-definition='{slug}']")
    if not card.locator(".btn-start").is_visible():
        page.locator("details.idle-models > summary").click()
    card.locator(".btn-start").click()
    card.get_by_role("link", name="Log and details").click()
    page.wait_for_url("**/launches/*/")
    badge, log = page.locator("[data-member-now] .badge-state"), page.locator("[data-log-lines]")
    expect(badge).to_have_text("Ready")
    expect(log).to_contain_text("Application startup complete.")
    page.get_by_role("button", name="Stop").click()
    page.locator("#confirm").get_by_role("button", name="Stop").click()
    expect(badge).to_have_text("Stopped")
    wait_for(lambda: not stack.containers(), "no container is left")
    page.goto(stack.url + "/launches/")
    expect(page.locator("main")).to_contain_text(re.compile(slug, re.IGNORECASE))
    page.goto(stack.url + "/admin/models_app/launch/")
    expect(page.locator("#result_list")).to_contain_text(slug)
