"""The ASGI application of the web process: Django's pages and API, and the live socket."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkweb.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import re_path  # noqa: E402

from chat_app.gateway.app import Gateway  # noqa: E402
from metrics_app.consumers import LiveSocket  # noqa: E402
from metrics_app.hub import HUB  # noqa: E402
from sparkweb.body_limit import BodyLimit  # noqa: E402
from sparkweb.lifespan import Lifespan  # noqa: E402
from sparkweb.origins import ExactOrigin, refuse  # noqa: E402
from sparkweb.request_threads import RequestThreads  # noqa: E402

# Django's stubs know views alone; Channels routes ASGI applications by the same patterns.
live_socket: Any = LiveSocket(HUB)
no_socket: Any = refuse
pages: Any = django_application
websocket_urlpatterns = [
    re_path(r"^ws/live/$", live_socket, name="live"),
    re_path(r"", no_socket, name="no_socket"),
]

gateway = Gateway(BodyLimit(RequestThreads(pages)))


async def _stop() -> None:
    await gateway.close()
    await HUB.stop()


application = ProtocolTypeRouter(
    {
        "http": gateway,
        "websocket": ExactOrigin(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
        "lifespan": Lifespan(start=HUB.start, stop=_stop),
    }
)
