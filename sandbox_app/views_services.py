"""The page of services that run beside the tools."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from metrics_app.models import Node
from sandbox_app.exceptions import ToolRefused
from sandbox_app.managed import service_log, service_restart, service_start, service_stop
from sandbox_app.models_services import ServiceName
from sandbox_app.selectors_services import node_services, searxng_url
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of

VERBS = {"start": service_start, "restart": service_restart, "stop": service_stop}
WORDS = {"start": "starts", "restart": "starts again", "stop": "stops"}


@never_cache
@require_safe
def tool_services(request: HttpRequest) -> HttpResponse:
    """What runs where."""
    return render(
        request, "sandbox_app/services.html", {"services": node_services(), "searxng_url": searxng_url()}
    )


@never_cache
@require_safe
def tool_service_list(request: HttpRequest) -> HttpResponse:
    """The cards alone, fetched again when something moved."""
    return render(request, "sandbox_app/_services.html", {"services": node_services()})


@require_POST
@role_required(Role.ADMIN)
def tool_service_change(request: HttpRequest, name: str, node: str, verb: str) -> HttpResponse:
    """Start, restart or stop one."""
    service, where = _found(name, node)
    if verb not in VERBS:
        raise Http404
    try:
        VERBS[verb](name=service, node=where, actor=actor_of(request))
    except ToolRefused as refused:
        return render(request, "models_app/_refusal.html", {"refused": refused}, status=409)
    message = f"{service.label} on {where} {WORDS[verb]}"
    response = trigger_client_event(HttpResponse(status=204), "toast", {"message": message, "tone": "good"})
    return trigger_client_event(response, "tool-service-changed", {})


@never_cache
@require_safe
@role_required(Role.ADMIN)
def tool_service_log(request: HttpRequest, name: str, node: str) -> HttpResponse:
    """Its last lines, asked of the node."""
    service, where = _found(name, node)
    try:
        lines = service_log(name=service, node=where)
    except ToolRefused as refused:
        return render(request, "models_app/_refusal.html", {"refused": refused}, status=409)
    return render(request, "sandbox_app/_service_log.html", {"lines": lines})


def _found(name: str, node: str) -> tuple[ServiceName, Node]:
    if name not in ServiceName.values:
        raise Http404
    return ServiceName(name), get_object_or_404(Node, name=node)
