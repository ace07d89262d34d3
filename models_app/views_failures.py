"""The button of a failure card."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRedirect

from models_app.exceptions import LaunchRefused
from models_app.failure_cards import launch_correct
from models_app.models import Launch
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of


@require_POST
@role_required(Role.OPERATOR)
def launch_correct_view(request: HttpRequest, uid: str) -> HttpResponse:
    """Start a failed launch again with the correction that its card shows."""
    failed = get_object_or_404(Launch, uid=uid)
    reason = request.POST.get("force_reason", "").replace("\x00", "").strip()
    try:
        launch, _ = launch_correct(launch=failed, actor=actor_of(request), force_reason=reason)
    except LaunchRefused as refused:
        return render(request, "models_app/_refusal.html", {"refused": refused}, status=409)
    return HttpResponseClientRedirect(launch.get_absolute_url())
