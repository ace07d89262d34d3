"""The page's one WebSocket: lost, found, silent, asleep, hidden, ended; and what the page says meanwhile."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect

from metrics_app.models import Node
from sparkweb.accounts.models import User
from tests.e2e.conftest import Opened, PlayedSocket
from tests.support import frames

pytestmark = pytest.mark.browser


def snapshot(socket: PlayedSocket, seq: int = 1) -> None:
    now = time.time()
    socket.send(frames.snapshot("spark-1", frames.report(now=now), seq, now))


def badge(page: Page):  # type: ignore[no-untyped-def]
    return page.locator("[data-node-badge=spark-1]").first


def link(page: Page):  # type: ignore[no-untyped-def]
    return page.locator(".side [data-link-words]")


def hide(page: Page, hidden: bool) -> None:
    page.evaluate(
        """(hidden) => {
            Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
            document.dispatchEvent(new Event('visibilitychange'));
        }""",
        hidden,
    )


@pytest.fixture
def clocked(house: Node, page_viewer: User, open_page: Opened) -> tuple[Page, PlayedSocket]:
    """The dashboard, online, with time in the test's hands."""
    page, socket = open_page("/", page_viewer)
    page.clock.install()
    page.reload()
    page.clock.run_for(100)
    expect(link(page)).to_have_text("Live")
    snapshot(socket)
    page.clock.run_for(600)
    expect(badge(page)).to_have_text("Online")
    return page, socket


def test_silence_turns_a_node_stale_and_then_offline(clocked: tuple[Page, PlayedSocket]) -> None:
    page, socket = clocked
    page.clock.run_for(5000)
    expect(badge(page)).to_have_text("Online")
    page.clock.run_for(1600)
    expect(badge(page)).to_contain_text("Stale · ")
    expect(page.locator("section[data-node=spark-1]")).to_contain_class("is-stale")
    page.clock.run_for(4000)
    expect(badge(page)).to_contain_text("Offline · ")
    expect(page.locator("#announce")).to_have_text("spark-1 is offline")
    snapshot(socket, 2)
    page.clock.run_for(600)
    expect(badge(page)).to_have_text("Online")


def test_the_servers_word_counts_at_once(clocked: tuple[Page, PlayedSocket]) -> None:
    page, socket = clocked
    socket.send({"type": "node_status", "node": "spark-1", "status": "offline", "since": time.time()})
    expect(badge(page)).to_contain_text("Offline")


def test_a_lost_link_is_shown_and_comes_back(clocked: tuple[Page, PlayedSocket]) -> None:
    page, socket = clocked
    socket.drop()
    expect(link(page)).to_have_text("Connection lost")
    assert len(socket.routes) == 2  # the first was of the page before the reload
    page.clock.run_for(1000)
    expect(link(page)).to_have_text("Live")
    assert len(socket.routes) == 3
    expect(page.locator("[data-lost-banner]")).to_be_hidden()


def test_the_banner_stays_until_the_server_is_back(clocked: tuple[Page, PlayedSocket]) -> None:
    page, socket = clocked
    greeting, socket.greeting = socket.greeting, []  # a server that accepts but says nothing
    socket.drop()
    page.clock.run_for(3000)
    expect(page.locator("[data-lost-banner]")).to_be_visible()
    expect(page.locator("#announce")).to_have_text("Connection to SparkWeb lost. Trying again.")
    socket.greeting = greeting
    page.clock.run_for(20_000)
    expect(page.locator("[data-lost-banner]")).to_be_hidden()


def test_backoff_grows_while_nobody_answers(clocked: tuple[Page, PlayedSocket]) -> None:
    page, socket = clocked
    page.evaluate(
        """() => {
            window.tries = 0;
            window.WebSocket = class {
                constructor() { window.tries++; setTimeout(() => this.onclose({code: 1006}), 1); }
                close() {}
            };
        }"""
    )
    socket.drop()
    page.clock.run_for(60_000)
    early = page.evaluate("tries")
    page.clock.run_for(60_000)
    late = page.evaluate("tries") - early
    assert 3 <= late <= 6
    assert early > late


def test_a_dead_link_is_noticed_without_a_close(clocked: tuple[Page, PlayedSocket]) -> None:
    page, socket = clocked
    before = len(socket.routes)
    page.clock.run_for(17_000)
    expect(link(page)).to_have_text("Live")
    assert len(socket.routes) == before + 1


def test_sleep_is_noticed_by_the_timers_drift(clocked: tuple[Page, PlayedSocket]) -> None:
    page, socket = clocked
    before = len(socket.routes)
    page.clock.fast_forward(9000)
    page.clock.run_for(100)
    expect(link(page)).to_have_text("Live")
    assert len(socket.routes) == before + 1


def test_a_hidden_tab_rests_and_catches_up(clocked: tuple[Page, PlayedSocket]) -> None:
    page, socket = clocked
    before = len(socket.routes)
    hide(page, True)
    page.clock.run_for(31_000)
    expect(link(page)).to_have_text("Paused")
    assert len(socket.routes) == before
    hide(page, False)
    expect(link(page)).to_have_text("Live")
    assert len(socket.routes) == before + 1


def test_a_short_look_away_only_asks_for_a_resync(clocked: tuple[Page, PlayedSocket]) -> None:
    page, socket = clocked
    before = len(socket.routes)
    hide(page, True)
    page.clock.run_for(8000)
    hide(page, False)
    assert {"type": "resync"} in socket.said
    assert len(socket.routes) == before


def test_an_ended_session_leads_to_the_login(house: Node, page_viewer: User, open_page: Opened) -> None:
    page, socket = open_page("/", page_viewer)
    page.context.clear_cookies()
    socket.drop(4401)
    page.wait_for_url("**/login/?next=**")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_node_that_joins_gets_its_section(house: Node, page_viewer: User, open_page: Opened) -> None:
    page, socket = open_page("/", page_viewer)
    Node.objects.create(name="spark-2", status="online")
    now = time.time()
    socket.send(frames.snapshot("spark-2", frames.report("none", now=now), 1, now))
    expect(page.locator("section[data-node=spark-2]")).to_be_visible()
