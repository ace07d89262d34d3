"""The ASGI application of the web process: Django's pages and API, and the live socket."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkweb.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import re_path  # noqa: E402

from metrics_app.consumers import LiveSocket  # noqa: E402
from metrics_app.hub import HUB  # noqa: E402
from sparkweb.lifespan import Lifespan  # noqa: E402
from sparkweb.origins import ExactOrigin, refuse  # noqa: E402
from sparkweb.request_threads import RequestThreads  # noqa: E402

websocket_urlpatterns = [
    re_path(r"^ws/live/$", LiveSocket(HUB), name="live"),
    re_path(r"", refuse, name="no_socket"),
]

application = ProtocolTypeRouter(
    {
        "http": RequestThreads(django_application),
        "websocket": ExactOrigin(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
        "lifespan": Lifespan(start=HUB.start, stop=HUB.stop),
    }
)
