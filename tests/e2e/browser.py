"""How the browser is started, and a server for pages without sockets."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.http import HttpRequest

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
