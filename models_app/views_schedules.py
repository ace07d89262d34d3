"""Pages about schedules: a week at a glance, what was changed, and the form for admins."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from metrics_app.selectors import local_node
from models_app.forms_schedules import ScheduleForm
from models_app.models_schedules import Schedule
from models_app.schedules import schedule_delete, schedule_save, turns_of
from models_app.week import now_percent, schedule_rows, week
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of

TURNS_SHOWN = 15


@never_cache
@require_safe
def schedules(request: HttpRequest) -> HttpResponse:
    """The week, the schedules, and the newest changes that came of them."""
    now = timezone.now()
    rows = schedule_rows(list(_all()), now)
    context = {
        "rows": rows,
        "week": week(rows, now),
        "now_percent": now_percent(now),
        "hours": [f"{hour:02}:00" for hour in range(0, 24, 4)],
        "zone": settings.TIME_ZONE,
        "turns": turns_of()[:TURNS_SHOWN],
    }
    return render(request, "models_app/schedules.html", context)


def _all() -> Any:
    return Schedule.objects.select_related("node").prefetch_related("definitions")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMIN)
def schedule_new(request: HttpRequest) -> HttpResponse:
    start = {"node": local_node(), "starts_at": "08:00", "ends_at": "20:00", "days": list(range(7))}
    return _form_page(request, ScheduleForm(request.POST or None, initial=start), None)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMIN)
def schedule(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Schedule, pk=pk)
    return _form_page(request, ScheduleForm(request.POST or None, instance=row), pk)


def _form_page(request: HttpRequest, form: ScheduleForm, pk: int | None) -> HttpResponse:
    if request.method == "POST" and form.is_valid():
        try:
            saved = schedule_save(
                schedule=form.save(commit=False), actor=actor_of(request), definitions=form.chosen()
            )
        except ValidationError as error:
            form.add_error(None, error)
        else:
            messages.success(request, f"{saved.name} is saved.")
            return HttpResponseRedirect(reverse("schedules"))
    shown = Schedule.objects.get(pk=pk) if pk else None  # a failed form has changed its own
    context = {"form": form, "schedule": shown, "zone": settings.TIME_ZONE}
    return render(request, "models_app/schedule_form.html", context)


@require_POST
@role_required(Role.ADMIN)
def schedule_delete_view(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Schedule, pk=pk)
    schedule_delete(schedule=row, actor=actor_of(request))
    messages.success(request, f"{row.name} is deleted; what runs goes on.")
    return HttpResponseRedirect(reverse("schedules"))
