"""Pages of alerts: what fires, the rules, and silences."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from metrics_app.alerts.selectors import alerts_firing, alerts_pending, silences_now
from metrics_app.alerts.services import (
    AlertRefused,
    alert_acknowledge,
    rule_delete,
    rule_save,
    silence_add,
    silence_end,
)
from metrics_app.forms_alerts import AlertRuleForm, SilenceForm
from metrics_app.models_alerts import Alert, AlertRule, AlertState, Silence
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of

ROWS = 30


@never_cache
@require_safe
def alerts(request: HttpRequest) -> HttpResponse:
    """What fires and what is pending now, what was, and who is told nothing."""
    ended = Alert.objects.filter(state=AlertState.RESOLVED).select_related("rule")
    context = _now() | {
        "page": Paginator(ended, ROWS).get_page(request.GET.get("page")),
        "silences": silences_now(),
        "silence_form": SilenceForm(),
    }
    return render(request, "metrics_app/alerts.html", context)


@never_cache
@require_safe
def alerts_firing_part(request: HttpRequest) -> HttpResponse:
    """The part of the page that changes."""
    return render(request, "metrics_app/_alerts_firing.html", _now())


def _now() -> dict[str, object]:
    return {"firing": alerts_firing(), "pending": alerts_pending()}


@require_POST
@role_required(Role.OPERATOR)
def alert_acknowledge_view(request: HttpRequest, pk: int) -> HttpResponse:
    alert_acknowledge(alert=get_object_or_404(Alert, pk=pk), actor=actor_of(request))
    return HttpResponseRedirect(reverse("alerts"))


@require_POST
@role_required(Role.OPERATOR)
def silence_add_view(request: HttpRequest) -> HttpResponse:
    """Silence a rule or a node for a while."""
    form = SilenceForm(request.POST)
    if form.is_valid():
        data = form.cleaned_data
        try:
            silence_add(
                rule=data["rule"], node_name=data["node_name"], ends_at=form.ends_at(), reason=data["reason"],
                actor=actor_of(request),
            )  # fmt: skip
            messages.success(request, "Silenced.")
        except AlertRefused as refused:
            messages.error(request, refused.message)
    else:
        messages.error(request, " ".join(f"{name}: {text[0]}" for name, text in form.errors.items()))
    return HttpResponseRedirect(reverse("alerts"))


@require_POST
@role_required(Role.OPERATOR)
def silence_end_view(request: HttpRequest, pk: int) -> HttpResponse:
    silence_end(silence=get_object_or_404(Silence, pk=pk), actor=actor_of(request))
    return HttpResponseRedirect(reverse("alerts"))


@never_cache
@require_safe
def alert_rules(request: HttpRequest) -> HttpResponse:
    return render(request, "metrics_app/alert_rules.html", {"rules": AlertRule.objects.all()})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMIN)
def alert_rule_new(request: HttpRequest) -> HttpResponse:
    return _rule_form(request, AlertRule())


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMIN)
def alert_rule(request: HttpRequest, pk: int) -> HttpResponse:
    return _rule_form(request, get_object_or_404(AlertRule, pk=pk))


def _rule_form(request: HttpRequest, rule: AlertRule) -> HttpResponse:
    name = rule.name
    form = AlertRuleForm(request.POST or None, instance=rule)
    if request.method == "POST" and form.is_valid():
        try:
            rule_save(rule=form.save(commit=False), actor=actor_of(request))
            messages.success(request, f"{rule.name} is saved.")
            return HttpResponseRedirect(reverse("alert_rules"))
        except ValidationError as error:
            form.add_error(None, error)
    return render(request, "metrics_app/alert_rule_form.html", {"form": form, "rule": rule, "name": name})


@require_POST
@role_required(Role.ADMIN)
def alert_rule_delete(request: HttpRequest, pk: int) -> HttpResponse:
    rule = get_object_or_404(AlertRule, pk=pk)
    rule_delete(rule=rule, actor=actor_of(request))
    messages.success(request, f"{rule.name} is deleted.")
    return HttpResponseRedirect(reverse("alert_rules"))
