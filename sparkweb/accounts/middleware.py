"""Who may come in: proxies that are believed, login on everything, the admin's own policy."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlencode

from csp.constants import SELF
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import Resolver404, ResolverMatch, resolve, reverse

from sparkweb.accounts.models import Role
from sparkweb.env import EnvironmentInvalid

GetResponse = Callable[[HttpRequest], HttpResponse]

FORWARDED = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_FORWARDED",
    "HTTP_X_REAL_IP",
)
PUBLIC = {"login", "health", "shared_session"}
"""URL names that answer without login. Static files never reach this far; the API checks keys itself."""
PASSWORD_PAGES = {"password_change", "logout", "login", "health"}
ADMIN_POLICY = {"script-src": [SELF, "'unsafe-eval'", "'unsafe-inline'"]}
CHALLENGE = 'Bearer realm="SparkWeb"'


@cache
def trusted_networks() -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Return SPARKWEB_TRUSTED_PROXIES as networks. Raises EnvironmentInvalid for what is no address."""
    try:
        return tuple(ipaddress.ip_network(word, strict=False) for word in settings.TRUSTED_PROXIES)
    except ValueError as error:
        value = ",".join(settings.TRUSTED_PROXIES)
        raise EnvironmentInvalid(f"SPARKWEB_TRUSTED_PROXIES={value!r}: {error}") from None


def is_trusted_proxy(address: str | None) -> bool:
    """Say whether X-Forwarded-* headers that come from `address` are believed."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    return any(parsed in network for network in trusted_networks())


def client_address(peer: str | None, forwarded_for: str) -> str | None:
    """Return who really asks: the last address in X-Forwarded-For that is no trusted proxy.

    What stands further left was written by that client, so it proves nothing.
    """
    address = peer
    for hop in reversed([word.strip() for word in forwarded_for.split(",") if word.strip()]):
        if not is_trusted_proxy(address):
            break
        try:
            address = str(ipaddress.ip_address(hop))
        except ValueError:
            break
    return address


class TrustedProxyMiddleware:
    """Believe forwarded headers of listed proxies; drop everyone else's.

    X-Forwarded-Proto stays for settings.SECURE_PROXY_SSL_HEADER when a trusted proxy sent it.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        meta = request.META
        peer = meta.get("REMOTE_ADDR")
        forwarded = {name: meta.pop(name, "") for name in FORWARDED}
        if is_trusted_proxy(peer):
            meta["REMOTE_ADDR"] = client_address(peer, forwarded["HTTP_X_FORWARDED_FOR"]) or ""
            scheme = forwarded["HTTP_X_FORWARDED_PROTO"].split(",")[-1].strip()
            if scheme in ("http", "https"):
                meta["HTTP_X_FORWARDED_PROTO"] = scheme
        return self.get_response(request)


class LoginEverywhereMiddleware:
    """Refuse what nobody is logged in for: pages redirect to login, the API answers 401.

    Views of the API that hold RolePermission are let through, for they read
    API keys and refuse by themselves, and so are those that nodes sign for.
    Everything else is denied by default, also addresses that do not exist.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._answer(request)
        if in_admin(request):
            # The admin's kit evaluates expressions that stand in attributes.
            response._csp_replace = ADMIN_POLICY  # type: ignore[attr-defined]
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        match = _match(request)
        if match is not None and match.url_name in PUBLIC and not match.namespaces:
            return self.get_response(request)
        if _checks_itself(match) and "HTTP_AUTHORIZATION" in request.META:
            return self.get_response(request)
        user = request.user
        if not user.is_authenticated:
            return self.get_response(request) if _checks_itself(match) else refused(request)
        if user.must_change_password and not (match and match.url_name in PASSWORD_PAGES):
            return _password_first(request)
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        """Keep everyone but admins out of the admin panel, before its own login page shows."""
        if in_admin(request) and not request.user.has_role(Role.ADMIN):  # type: ignore[union-attr]
            raise PermissionDenied("The admin panel is for admins.")


def refused(request: HttpRequest) -> HttpResponse:
    """Answer someone who is not logged in, in the manner of what was asked for."""
    if request.path_info.startswith("/api"):
        body = {"error": "Log in, or send Authorization: Bearer <key>.", "code": "not_authenticated"}
        return JsonResponse(body, status=401, headers={"WWW-Authenticate": CHALLENGE})
    target = f"{reverse(settings.LOGIN_URL)}?{urlencode({'next': request.get_full_path()})}"
    if request.headers.get("HX-Request"):
        # A redirect would put the login page into the middle of the page.
        return HttpResponse(status=401, headers={"HX-Redirect": reverse(settings.LOGIN_URL)})
    return HttpResponseRedirect(target)


def in_admin(request: HttpRequest) -> bool:
    return request.path_info.startswith("/admin/")


def _match(request: HttpRequest) -> ResolverMatch | None:
    try:
        return resolve(request.path_info)
    except Resolver404:
        return None


def _checks_itself(match: ResolverMatch | None) -> bool:
    from sparkweb.accounts.permissions import RolePermission

    if match and getattr(match.func, "checks_node", False):
        return True
    view = getattr(match.func, "cls", None) if match else None
    classes = getattr(view, "permission_classes", ())
    return any(isinstance(one, type) and issubclass(one, RolePermission) for one in classes)


def _password_first(request: HttpRequest) -> HttpResponse:
    if request.path_info.startswith("/api"):
        body = {"error": "Change the one-time password first.", "code": "password_change_required"}
        return JsonResponse(body, status=403)
    return HttpResponseRedirect(reverse("password_change"))
