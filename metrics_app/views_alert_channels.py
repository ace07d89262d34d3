"""Pages of the channels by which owners are told, for admins."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from metrics_app.alerts.notices import CHANNEL, channel_delete, channel_save, channel_test
from metrics_app.forms_alerts import AlertChannelForm
from metrics_app.models_alerts import AlertChannel
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of
from sparkweb.outbox.models import Notice

NOTICES_SHOWN = 30


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMIN)
def alert_channels(request: HttpRequest) -> HttpResponse:
    """Every channel, what was sent, and a form for another one."""
    form = AlertChannelForm(request.POST or None)
    if request.method == "POST" and _saved(request, form):
        return HttpResponseRedirect(reverse("alert_channels"))
    return _page(request, form)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMIN)
def alert_channel(request: HttpRequest, pk: int) -> HttpResponse:
    """Change one channel."""
    channel = get_object_or_404(AlertChannel, pk=pk)
    form = AlertChannelForm(request.POST or None, instance=channel)
    if request.method == "POST" and _saved(request, form):
        return HttpResponseRedirect(reverse("alert_channels"))
    return _page(request, form, get_object_or_404(AlertChannel, pk=pk))


def _page(request: HttpRequest, form: AlertChannelForm, edited: AlertChannel | None = None) -> HttpResponse:
    context = {
        "channels": AlertChannel.objects.all(),
        "notices": _notices(),
        "form": form,
        "edited": edited,
    }
    return render(request, "metrics_app/alert_channels.html", context)


def _notices() -> list[tuple[Notice, str]]:
    names = {str(channel.pk): channel.name for channel in AlertChannel.objects.all()}
    rows = Notice.objects.filter(channel=CHANNEL)[:NOTICES_SHOWN]
    return [(row, names.get(row.recipient, "a deleted channel")) for row in rows]


def _saved(request: HttpRequest, form: AlertChannelForm) -> bool:
    if not form.is_valid():
        return False
    try:
        channel = channel_save(
            channel=form.save(commit=False), actor=actor_of(request), url=form.cleaned_data["url"]
        )
    except ValidationError as error:
        form.add_error(None, error)
        return False
    messages.success(request, f"{channel.name} is saved.")
    return True


@require_POST
@role_required(Role.ADMIN)
def alert_channel_test(request: HttpRequest, pk: int) -> HttpResponse:
    channel = get_object_or_404(AlertChannel, pk=pk)
    channel_test(channel=channel, actor=actor_of(request))
    messages.success(request, f"A test message to {channel.name} is in the queue; how it went stands below.")
    return HttpResponseRedirect(reverse("alert_channels"))


@require_POST
@role_required(Role.ADMIN)
def alert_channel_delete(request: HttpRequest, pk: int) -> HttpResponse:
    channel = get_object_or_404(AlertChannel, pk=pk)
    channel_delete(channel=channel, actor=actor_of(request))
    messages.success(request, f"{channel.name} is deleted.")
    return HttpResponseRedirect(reverse("alert_channels"))
