"""Pages about webhooks, for admins."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from models_app.forms_webhooks import WebhookForm
from models_app.models_webhooks import Webhook
from models_app.webhooks import (
    deliveries_of,
    secret_of,
    webhook_delete,
    webhook_save,
    webhook_secret_renew,
    webhook_test,
)
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of

DELIVERIES_SHOWN = 30


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMIN)
def webhooks(request: HttpRequest) -> HttpResponse:
    """Every webhook, and a form for another one, whose secret is shown once."""
    form = WebhookForm(request.POST or None)
    secret, made = "", None
    if request.method == "POST" and (made := _saved(request, form)):
        secret, form = secret_of(made), WebhookForm()
    context = {"hooks": Webhook.objects.prefetch_related("definitions"), "form": form}
    return render(request, "models_app/webhooks.html", context | {"secret": secret, "made": made})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMIN)
def webhook(request: HttpRequest, uid: str) -> HttpResponse:
    """One webhook: its settings and what was delivered."""
    hook = get_object_or_404(Webhook, uid=uid)
    form = WebhookForm(request.POST or None, instance=hook)
    if request.method == "POST" and _saved(request, form):
        messages.success(request, f"{hook.name} is saved.")
        return HttpResponseRedirect(hook.get_absolute_url())
    return _page(request, uid, form)


@never_cache
@require_POST
@role_required(Role.ADMIN)
def webhook_secret_view(request: HttpRequest, uid: str) -> HttpResponse:
    """Make a new secret and show it once."""
    hook = get_object_or_404(Webhook, uid=uid)
    secret = webhook_secret_renew(hook=hook, actor=actor_of(request))
    return _page(request, uid, WebhookForm(instance=hook), secret)


def _page(request: HttpRequest, uid: str, form: WebhookForm, secret: str = "") -> HttpResponse:
    hook = get_object_or_404(Webhook, uid=uid)  # a failed form has changed its own
    context = _delivered(hook) | {"form": form, "secret": secret}
    return render(request, "models_app/webhook.html", context)


def _saved(request: HttpRequest, form: WebhookForm) -> Webhook | None:
    if not form.is_valid():
        return None
    try:
        return webhook_save(hook=form.save(commit=False), actor=actor_of(request), definitions=form.chosen())
    except ValidationError as error:
        form.add_error(None, error)
        return None


@never_cache
@require_safe
@role_required(Role.ADMIN)
def webhook_deliveries(request: HttpRequest, uid: str) -> HttpResponse:
    """The newest deliveries; the page asks again while one waits to be sent."""
    return _deliveries(request, get_object_or_404(Webhook, uid=uid))


@require_POST
@role_required(Role.ADMIN)
def webhook_test_view(request: HttpRequest, uid: str) -> HttpResponse:
    """Put a test message into the queue, and show the queue."""
    hook = get_object_or_404(Webhook, uid=uid)
    webhook_test(hook=hook, actor=actor_of(request))
    return _deliveries(request, hook)


def _deliveries(request: HttpRequest, hook: Webhook) -> HttpResponse:
    return render(request, "models_app/_deliveries.html", _delivered(hook))


def _delivered(hook: Webhook) -> dict[str, Any]:
    rows = list(deliveries_of(hook)[:DELIVERIES_SHOWN])
    return {"hook": hook, "deliveries": rows, "waits": any(row.state == "waiting" for row in rows)}


@require_POST
@role_required(Role.ADMIN)
def webhook_delete_view(request: HttpRequest, uid: str) -> HttpResponse:
    hook = get_object_or_404(Webhook, uid=uid)
    webhook_delete(hook=hook, actor=actor_of(request))
    messages.success(request, f"{hook.name} is deleted.")
    return HttpResponseRedirect(reverse("webhooks"))
