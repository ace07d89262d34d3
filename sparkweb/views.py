"""Pages that belong to no app: liveness, and what is shown when something goes wrong."""

from __future__ import annotations

import sys
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views import defaults
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, requires_csrf_token

from sparkweb.exceptions import RETRY_SECONDS
from sparkweb.streams import StreamsDown

AWAY = (OperationalError, InterfaceError, StreamsDown)


@never_cache
@csrf_exempt
def health(_request: HttpRequest) -> JsonResponse:
    """Liveness: this process answers. Asks neither database nor Redis."""
    return JsonResponse({"status": "ok"})


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400, as JSON below /api/."""
    if _is_api(request):
        return _json(400, "This request cannot be understood.", "bad_request")
    return defaults.bad_request(request, exception)


@requires_csrf_token
def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403, as JSON below /api/."""
    if _is_api(request):
        return _json(403, str(exception) or "You may not do this.", "permission_denied")
    return defaults.permission_denied(request, exception)


@requires_csrf_token
def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404, as JSON below /api/."""
    if _is_api(request):
        return _json(404, f"There is no call {request.path_info}; see /api/docs/.", "not_found")
    return defaults.page_not_found(request, exception)


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 with Retry-After where database or Redis is away. Rendered without either."""
    away = isinstance(sys.exc_info()[1], AWAY)
    status, code = (503, "unavailable") if away else (500, "internal")
    if _is_api(request):
        sentence = (
            "The database or Redis does not answer; try again in a moment."
            if away
            else "SparkWeb hit an error of its own; it is in the log of the web process."
        )
        response: HttpResponse = _json(status, sentence, code)
    else:
        response = HttpResponse(render_to_string(f"{status}.html"), status=status)
    if away:
        response["Retry-After"] = str(RETRY_SECONDS)
    return response


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def _json(status: int, sentence: str, code: str, **more: Any) -> JsonResponse:
    return JsonResponse({"error": sentence, "code": code, **more}, status=status)
