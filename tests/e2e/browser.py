"""How the browser is started, and a server for pages without sockets."""

from __future__ import annotations

import time
from typing import Any

import orjson
from django.conf import settings
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.http import HttpRequest
from playwright.sync_api import Page

from tests.support.redis import RedisServer

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class StaticHandler(StaticFilesHandler):
    """Serves static files from their sources, through the finders that the product uses."""

    def get_base_url(self) -> str:
        return str(settings.STATIC_URL)

    def serve(self, request: HttpRequest) -> Any:
        from django.contrib.staticfiles.views import serve

        return serve(request, self.file_path(request.path), insecure=True)


def own_redis() -> RedisServer:
    """Return a Redis, running, at the address that the test settings give this process."""
    server = RedisServer()
    server.socket = settings.DATA_DIR / "run" / "redis.sock"
    server.socket.parent.mkdir(parents=True, exist_ok=True)
    return server.start()


def snapshot_store(server: RedisServer, node: str, report: dict[str, Any], received_at: float) -> None:
    """Put a report where control keeps a node's newest one."""
    stored = {"report": report, "received_at": received_at, "boot": "b", "seq": 1}
    with server.client() as client:
        client.set(f"sparkweb:snapshot:{node}", orjson.dumps(stored))


def until(page: Page, expression: str, seconds: float = 60.0) -> None:
    """Wait until a JavaScript expression is true. Playwright's own way needs eval, which we forbid."""
    deadline = time.monotonic() + max(seconds, 60.0)
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"never true: {expression}"
        page.wait_for_timeout(20)
