"""Sockets are opened only by our own pages: host listed, origin the same to the port; or by programs.

Browsers let any page open a socket to any server and send its cookies along;
the Origin header is what tells ours from theirs. Source: RFC 6455, section 10.2.
A program with an API key sends no Origin and an Authorization header, which no page can
have a browser send with a socket.
"""

from __future__ import annotations

import structlog
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from sparkweb.accounts.middleware import is_trusted_proxy
from sparkweb.request_threads import App, Receive, Scope, Send

log = structlog.get_logger(__name__)


class ExactOrigin:
    """Refuses a handshake (403) whose Host is not allowed or whose Origin is another one."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = origin_refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
            return
        log.warning("socket refused", reason=refusal, peer=(scope.get("client") or ["?"])[0])
        await refuse(scope, receive, send)


async def refuse(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a handshake with 403."""
    await receive()
    await send({"type": "websocket.close", "code": 4403})


def origin_refusal(scope: Scope) -> str | None:
    """Return why a handshake is refused, or None."""
    host, origin = _header(scope, b"host"), _header(scope, b"origin")
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        return f"Host {host!r} is not in SPARKWEB_ALLOWED_HOSTS"
    if not origin:
        named = [name for name, _ in scope["headers"] if name.lower() in (b"origin", b"authorization")]
        return None if named == [b"authorization"] else "there is no Origin header"
    if origin in settings.CSRF_TRUSTED_ORIGINS or origin == f"{_scheme(scope)}://{host}":
        return None
    return f"Origin {origin!r} is not {_scheme(scope)}://{host}"


def _scheme(scope: Scope) -> str:
    peer = (scope.get("client") or [None])[0]
    forwarded = _header(scope, b"x-forwarded-proto").split(",")[-1].strip()
    if forwarded in ("http", "https") and is_trusted_proxy(peer):
        return forwarded
    return "https" if scope.get("scheme") == "wss" else "http"


def _header(scope: Scope, name: bytes) -> str:
    found = [value for key, value in scope["headers"] if key.lower() == name]
    return found[0].decode("latin-1") if len(found) == 1 else ""
