"""What all pages share: login, colours, keyboard, phone width, security of scripts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, expect

from metrics_app.models import Node
from models_app.models import Launch
from sparkweb.accounts.models import User
from tests.e2e.conftest import Opened
from tests.factories import PASSWORD

pytestmark = pytest.mark.browser


def addresses() -> list[str]:
    launches = [launch.get_absolute_url() for launch in Launch.objects.exclude(state="stopped")]
    model = "/models/qwen3-coder-30b-awq/"
    return [
        "/",
        "/nodes/",
        "/nodes/spark-1/",
        "/node-new/",
        "/models/",
        model,
        f"{model}edit/",
        "/models/new/",
        "/models/import/",
        "/launches/",
        *launches,
        "/audit/",
        "/account/keys/",
        "/account/password/",
        "/nowhere/",
    ]


@pytest.mark.parametrize("width", [360, 768, 2560])
def test_no_page_scrolls_sideways(
    width: int, house: Node, page_admin: User, open_page: Opened, site: str
) -> None:
    page, _ = open_page("/", page_admin, width=width, dark=True)
    for address in addresses():
        page.goto(site + address)
        page.wait_for_load_state("load")
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{address} is {wide} px too wide at {width}"


def test_every_control_has_a_name(house: Node, page_admin: User, open_page: Opened, site: str) -> None:
    page, _ = open_page("/", page_admin)
    for address in addresses():
        page.goto(site + address)
        page.wait_for_load_state("load")
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('button, a[href], input:not([type=hidden]), select')]
                .filter((it) => !(it.textContent.trim() || it.ariaLabel || it.title
                    || it.labels?.length
                    || it.querySelector('[aria-label]')))
                .map((it) => it.outerHTML.slice(0, 120))"""
        )
        assert not nameless, (address, nameless)
        assert page.locator("h1").count() >= 1, f"{address} has no heading"


def test_login_refuses_then_lets_in(house: Node, page_admin: User, open_page: Opened, site: str) -> None:
    page, _ = open_page("/nodes/", None)
    page.wait_for_url(lambda url: "/login/?next=" in url and "nodes" in url)
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("do not fit")
    expect(page.get_by_label("User name")).to_have_value("admin")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(site + "/nodes/")
    page.get_by_role("button", name="Account: admin").first.click()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login/")


def test_a_one_time_password_must_be_changed(site: str, page_admin: User, open_page: Opened) -> None:
    User.objects.update(must_change_password=True)
    page, _ = open_page("/", page_admin, ready=False)
    page.wait_for_url("**/account/password/")
    page.get_by_label("One-time password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("another long password")
    page.get_by_label("New password, again").fill("another long pasword")
    page.get_by_role("button", name="Set password").click()
    expect(page.locator(".problem")).to_contain_text("match")
    page.get_by_label("One-time password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("another long password")
    page.get_by_label("New password, again").fill("another long password")
    page.get_by_role("button", name="Set password").click()
    page.wait_for_url(site + "/")
    expect(page.locator(".toast-item")).to_contain_text("Your new password is set")


def test_colours_follow_the_system_until_chosen(house: Node, page_admin: User, open_page: Opened) -> None:
    page, _ = open_page("/", page_admin, dark=True)
    root = page.locator("html")
    expect(root).to_have_attribute("data-bs-theme", "dark")
    page.emulate_media(color_scheme="light")
    expect(root).to_have_attribute("data-bs-theme", "light")
    page.get_by_role("button", name="Account: admin").first.click()
    page.get_by_role("button", name="Dark").click()
    expect(root).to_have_attribute("data-bs-theme", "dark")
    # Chosen before the first paint: the script in the head has run when the body begins.
    page.add_init_script(
        """new MutationObserver((_, watcher) => {
            if (!document.body) return;
            window.themeAtBody = document.documentElement.dataset.bsTheme;
            watcher.disconnect();
        }).observe(document, {childList: true, subtree: true})"""
    )
    page.reload()
    assert page.evaluate("themeAtBody") == "dark"
    page.get_by_role("button", name="Account: admin").first.click()
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")


def test_keyboard_reaches_content_and_shows_focus(house: Node, page_admin: User, open_page: Opened) -> None:
    page, _ = open_page("/models/", page_admin)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    expect(focused).to_have_text("Export")
    assert focused.evaluate("it => getComputedStyle(it).outlineStyle") != "none"


def test_focus_stays_with_the_button_that_was_pressed(
    house: Node, page_admin: User, open_page: Opened
) -> None:
    page, _ = open_page("/models/", page_admin)
    row = page.locator("[data-definition='ministral-3-14b']")
    row.get_by_role("button", name="Start").focus()
    page.keyboard.press("Enter")
    expect(row.locator(".badge-state")).to_have_text("Requested")
    expect(row.get_by_role("button", name="Stop")).to_be_focused()


def test_new_api_key_is_shown_once_and_revoked(house: Node, page_admin: User, open_page: Opened) -> None:
    page, _ = open_page("/account/keys/", page_admin)
    page.get_by_label("Name").fill("backup")
    page.get_by_role("button", name="Make key").click()
    key = page.locator("#new-key").inner_text()
    assert len(key) > 30
    page.goto(page.url)
    expect(page.locator("#new-key")).to_have_count(0)
    page.get_by_role("button", name="Revoke").click()
    page.locator("#confirm").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("No keys yet")).to_be_visible()


def test_deleting_asks_first(house: Node, page_admin: User, open_page: Opened) -> None:
    page, _ = open_page("/models/nemotron-3-nano-30b/", page_admin)
    page.get_by_role("button", name="Delete").click()
    dialog = page.locator("#confirm")
    expect(dialog).to_contain_text("Delete Nemotron-3-Nano-30B?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/models/")
    expect(page.locator(".toast-item")).to_contain_text("is deleted")


def test_a_script_that_is_not_ours_does_not_run(
    chromium: Browser, house: Node, page_viewer: User, site: str, client_of: Callable[..., object]
) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{site}/login/")
    ran = page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'window.injected = true';
            document.head.append(script);
            document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.injected = true">');
            return new Promise((done) => setTimeout(() => done(Boolean(window.injected)), 200));
        }"""
    )
    context.close()
    assert ran is False
