"""The page of what models were used for, and the ledger as a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat_app.forms import UsageForm
from chat_app.models import UsageRecord
from chat_app.usage import (
    CSV_COLUMNS,
    GROUPED,
    SPANS,
    usage_by,
    usage_records,
    usage_rows,
    usage_series,
    usage_total,
)
from sparkweb.accounts.models import User
from sparkweb.csv_text import csv_bytes

TITLES = {"model": "Models", "user": "People", "key": "API keys", "endpoint": "Endpoints"}
PIECE_ROWS = 500


@never_cache
@require_safe
def usage(request: HttpRequest) -> HttpResponse:
    """Requests and tokens over time, by model, person, key and endpoint."""
    wanted = UsageForm(request.GET).wanted()
    records = usage_records(cast(User, request.user), wanted)
    chosen = {name: getattr(wanted, name) for name in GROUPED if getattr(wanted, name)}
    context = {
        "spans": SPANS,
        "days_shown": wanted.days,
        "chosen": chosen,
        "total": usage_total(records),
        "series": usage_series(records, wanted.days),
        "tables": [(TITLES[by], by, usage_by(records, by)) for by in GROUPED],
        "query": urlencode({**chosen, "days": wanted.days}),
        "filters": urlencode(chosen),
    }
    return render(request, "chat_app/usage.html", context)


@never_cache
@require_safe
def usage_export(request: HttpRequest) -> HttpResponse:
    """Every entry that matches, as CSV."""
    records = usage_records(cast(User, request.user), UsageForm(request.GET).wanted())
    return cast(HttpResponse, csv_answer(records))  # a streaming answer is none by its class


def csv_answer(records: QuerySet[UsageRecord]) -> StreamingHttpResponse:
    """Return a download of entries as CSV."""
    name = f"usage-{timezone.now():%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(_pieces(records), content_type="text/csv; charset=utf-8", headers=headers)


def _pieces(records: QuerySet[UsageRecord]) -> Iterator[bytes]:
    rows: list[list[Any]] = [list(CSV_COLUMNS)]
    for row in usage_rows(records):
        rows.append(row)
        if len(rows) >= PIECE_ROWS:
            yield csv_bytes(rows)
            rows = []
    yield csv_bytes(rows)
