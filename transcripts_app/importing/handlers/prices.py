"""Costs by new prices."""

from __future__ import annotations

from typing import Any

from transcripts_app.importing.costs import costs_refresh
from transcripts_app.importing.requests import Job, handler
from transcripts_app.services_prices import REQUEST, prices_table


@handler(REQUEST)
def prices_apply(job: Job) -> dict[str, Any]:
    """Compute all costs anew where prices changed."""
    return {"sessions": costs_refresh(job.writer, prices_table())}
