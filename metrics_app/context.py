"""What every page is told about alerts."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from metrics_app.alerts.selectors import firing_count


def alerts_now(request: HttpRequest) -> dict[str, Any]:
    """`alerts_firing`: how many alerts fire; asked for only where a template wants it."""
    return {"alerts_firing": firing_count if request.user.is_authenticated else 0}
