"""Pages that belong to no app."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt


@never_cache
@csrf_exempt
def health(_request: HttpRequest) -> JsonResponse:
    """Liveness: this process answers. Asks neither database nor Redis."""
    return JsonResponse({"status": "ok"})
