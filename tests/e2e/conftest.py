"""Chromium for page tests: a server without sockets, a Redis, and a socket that the test plays."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test.testcases import LiveServerThread
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, WebSocketRoute, expect, sync_playwright

from metrics_app.models import Node
from sparkweb.accounts.models import Role, User
from tests.e2e.browser import CHROMIUM, FLAGS, StaticHandler, own_redis, snapshot_store
from tests.factories import UserFactory
from tests.support import frames
from tests.support.page_data import seed
from tests.support.redis import RedisServer

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One Chromium for the tests of a module, which one worker runs as a whole.

    Playwright's sync API keeps an event loop running in this thread until it is
    closed; a test with a loop of its own could not run meanwhile.
    """
    # Playwright's sync API runs an event loop in this thread; Django would refuse the ORM beside it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="session")
def page_redis() -> Iterator[RedisServer]:
    server = own_redis()
    yield server
    server.close()


@pytest.fixture
def site(transactional_db: None, page_redis: RedisServer) -> Iterator[str]:
    """Address of a running server with an empty database and an empty Redis."""
    with page_redis.client() as client:
        client.flushall()
    server = LiveServerThread("127.0.0.1", StaticHandler, port=0)
    server.daemon = True
    server.start()
    server.is_ready.wait()
    assert server.error is None
    yield f"http://127.0.0.1:{server.port}"
    server.terminate()
    connections.close_all()
    # The next test of this worker may know a node of the same name, and no report of it.
    with page_redis.client() as client:
        client.flushall()


class PlayedSocket:
    """The far end of the page's WebSocket: the test sends frames and sees what the page says."""

    def __init__(self, page: Page) -> None:
        self.routes: list[WebSocketRoute] = []
        self.said: list[dict[str, Any]] = []
        self.greeting: list[dict[str, Any]] = [{"type": "hello", "server_time": time.time(), "nodes": []}]
        page.route_web_socket("**/ws/live/", self._opened)

    def _opened(self, route: WebSocketRoute) -> None:
        self.routes.append(route)
        route.on_message(lambda text: self.said.append(json.loads(text)))
        for frame in self.greeting:
            route.send(json.dumps(frame))

    def send(self, frame: dict[str, Any]) -> None:
        self.routes[-1].send(json.dumps(frame))

    def drop(self, code: int = 1006) -> None:
        self.routes[-1].close(code=code if code >= 3000 else 3000)


def visit(page: Page, address: str) -> None:
    """Go there; again when Chromium cut requests because a container changed the network interfaces."""
    for _ in range(4):
        cut: list[str] = []
        page.on("requestfailed", lambda request, cut=cut: cut.append(request.failure or ""))
        page.goto(address)
        if not any("ERR_NETWORK_CHANGED" in reason for reason in cut):
            return


Opened = Callable[..., tuple[Page, PlayedSocket]]


@pytest.fixture
def open_page(chromium: Browser, site: str, client_of: Any) -> Iterator[Opened]:
    """Open a page as a user: `open_page("/", user, width=390, dark=True)`. Script errors fail the test."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def opened(
        path: str, user: User | None, *, width: int = 1440, dark: bool = False, ready: bool = True
    ) -> tuple[Page, PlayedSocket]:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        contexts.append(context)
        if user is not None:
            cookie = client_of(user).cookies[settings.SESSION_COOKIE_NAME].value
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": site}])
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None,
        )
        socket = PlayedSocket(page)
        visit(page, site + path)
        if ready and user is not None:
            page.locator("[data-link-state][data-state=open]").first.wait_for(state="attached")
        return page, socket

    yield opened
    for context in contexts:
        context.close()
    assert not errors, errors


@pytest.fixture
def page_admin(transactional_db: None) -> User:
    return UserFactory(username="admin", role=Role.ADMIN)


@pytest.fixture
def page_viewer(transactional_db: None) -> User:
    return UserFactory(username="viewer", role=Role.VIEWER)


@pytest.fixture
def house(site: str, page_redis: RedisServer, page_admin: User) -> Node:
    """The owners' catalogue, launches in every state, and a GB10 that reports."""
    node = seed(timezone.now(), page_admin, days=2)
    snapshot_store(page_redis, node.name, frames.report(now=time.time()), time.time())
    return node
