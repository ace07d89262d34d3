"""The page of prices: what models cost, since when; admins add and delete."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from typing import Any, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from sparkweb.accounts.models import Role, User
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of
from transcripts_app.archive.models_figures import Fact
from transcripts_app.figures import Wanted, day_number
from transcripts_app.figures_query import FigureReader
from transcripts_app.forms_figures import PriceForm
from transcripts_app.importing.costs import PRICES
from transcripts_app.models_prices import ModelPrice
from transcripts_app.services_prices import PriceRefused, price_add, price_delete, prices_table


@never_cache
@require_http_methods(["GET", "HEAD"])
def transcript_prices(request: HttpRequest) -> HttpResponse:
    """What models cost, by pattern, the newest prices first; models that were used and have none."""
    return _page(
        request, PriceForm(initial={"pattern": request.GET.get("model", "")[:120].replace("\0", "")})
    )


@require_POST
@role_required(Role.ADMIN)
def transcript_price_add(request: HttpRequest) -> HttpResponse:
    """Add prices from a day on."""
    form = PriceForm(request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    try:
        price = price_add(fields=form.cleaned_data, actor=actor_of(request))
    except PriceRefused as refusal:
        form.add_error("valid_from", refusal.message)
        return _page(request, form, status=409)
    messages.success(request, f"Added: {price}. Costs are computed anew.")
    return HttpResponseRedirect(reverse("transcript_prices"))


@require_POST
@role_required(Role.ADMIN)
def transcript_price_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Take prices away."""
    price = get_object_or_404(ModelPrice, pk=pk)
    price_delete(price=price, actor=actor_of(request))
    messages.success(request, f"Deleted: {price}. Costs are computed anew.")
    return HttpResponseRedirect(reverse("transcript_prices"))


def _page(request: HttpRequest, form: PriceForm, status: int = 200) -> HttpResponse:
    prices = list(ModelPrice.objects.select_related("created_by"))
    today = day_number(datetime.now(UTC).date())
    groups: list[dict[str, Any]] = []
    for pattern, rows in groupby(prices, key=lambda row: row.pattern):
        dated = list(rows)
        now = next((row for row in dated if day_number(row.valid_from) <= today), None)
        groups.append({"pattern": pattern, "rows": dated, "now": now})
    models = FigureReader(cast(User, request.user), Wanted()).by("model")
    computed = Fact.objects.filter(name=PRICES).values_list("value", flat=True).first()
    context = {
        "form": form, "groups": groups,
        "unpriced": [row for row in models if row.unpriced],
        "is_behind": computed is not None and computed != prices_table().as_json(),
    }  # fmt: skip
    return render(request, "transcripts_app/prices.html", context, status=status)
