"""How many calls a user or key may make."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from sparkweb.accounts.models import ApiKey


class CallerRateThrottle(SimpleRateThrottle):
    """Counts each API key and each session user by itself. Over the rate: 429 with Retry-After."""

    scope = "caller"

    def get_cache_key(self, request: Request, view: Any) -> str:
        if isinstance(request.auth, ApiKey):
            return f"throttle:key:{request.auth.pk}"
        return f"throttle:user:{request.user.pk}"
