"""The page on which admins limit what people and API keys may ask of models."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from chat_app.forms import LimitForm
from chat_app.limits import NUMBERS, limit_set
from chat_app.models_limits import UsageLimit
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of

TITLES = {
    "requests_per_minute": "Requests a minute", "requests_per_day": "Requests in 24 h",
    "tokens_per_minute": "Tokens a minute", "tokens_per_day": "Tokens in 24 h", "parallel": "At once",
}  # fmt: skip


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMIN)
def usage_limits(request: HttpRequest) -> HttpResponse:
    """Every limit, and a form that sets one; with nothing filled in it takes the limit away."""
    form = LimitForm(request.POST or None, initial=_initial(request.GET.get("whose", "")))
    if request.method == "POST" and form.is_valid():
        wanted = {name: form.cleaned_data[name] for name in (*NUMBERS, "model_names")}
        try:
            row = limit_set(actor=actor_of(request), **form.subject(), **wanted)
        except ValidationError as error:
            form.add_error(None, error)
        else:
            words = f"Set: {row}." if row else "There are no limits for this one any more."
            messages.success(request, words)
            return HttpResponseRedirect(reverse("usage_limits"))
    rows = UsageLimit.objects.select_related("user", "key__user").order_by("user__username", "key__name")
    shown = [
        {
            "row": row,
            "whose": f"user:{row.user_id}" if row.user_id else f"key:{row.key_id}",
            "numbers": [(TITLES[name], getattr(row, name)) for name in NUMBERS],
        }
        for row in rows
    ]
    return render(request, "chat_app/limits.html", {"form": form, "rows": shown, "titles": TITLES.values()})


def _initial(whose: str) -> dict[str, object]:
    kind, _, number = whose.partition(":")
    if kind not in ("user", "key") or not number.isdigit() or len(number) > 18:
        return {}
    row = UsageLimit.objects.filter(**{f"{kind}_id": int(number)}).first()
    if row is None:
        return {"whose": whose}
    return {"whose": whose, "model_names": row.model_names, **{name: getattr(row, name) for name in NUMBERS}}
