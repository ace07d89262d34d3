"""Pages about starting a model that lies on several nodes."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from metrics_app.models import Node
from models_app.exceptions import LaunchRefused
from models_app.models import Launch, ModelDefinition
from models_app.placement import nodes_chosen, spanning_nodes
from models_app.preflights import preflight_run
from models_app.run_lines import rank_lines
from models_app.services import launch_create
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of

FORCEABLE = ("preflight_failed", "memory_short")


@never_cache
@require_safe
def definition_nodes(request: HttpRequest, slug: str) -> HttpResponse:
    """Choose the nodes of a definition by rank, see what each would run, check and start."""
    definition = get_object_or_404(ModelDefinition, slug=slug)
    nodes = _nodes(request.GET) or spanning_nodes()[: definition.node_count]
    chosen = [nodes[rank] if rank < len(nodes) else None for rank in range(definition.node_count)]
    context: dict[str, Any] = {
        "definition": definition,
        "ranks": list(enumerate(chosen)),
        "nodes": Node.objects.all(),
        "live": Launch.objects.filter(definition=definition, live=True).first(),
    }
    try:
        context["lines"] = rank_lines(definition, _placed(definition, nodes)) if nodes else []
    except LaunchRefused as refused:
        context["refused"] = refused
    return render(request, "models_app/definition_nodes.html", context)


@require_POST
@role_required(Role.OPERATOR)
def definition_preflight(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask the chosen nodes, and list what they found."""
    definition = get_object_or_404(ModelDefinition, slug=slug)
    context: dict[str, Any] = {"definition": definition}
    try:
        nodes = _placed(definition, _nodes(request.POST))
        preflight = preflight_run(definition=definition, nodes=nodes, actor=actor_of(request))
    except LaunchRefused as refused:
        return render(request, "models_app/_refusal.html", {"refused": refused}, status=409)
    context |= {"checks": preflight.checks, "passed": preflight.passed}
    return render(request, "models_app/_preflight.html", context)


@require_POST
@role_required(Role.OPERATOR)
def definition_nodes_start(request: HttpRequest, slug: str) -> HttpResponse:
    """Start a definition on the chosen nodes; with `force_reason` also where a check refuses."""
    definition = get_object_or_404(ModelDefinition, slug=slug)
    reason = request.POST.get("force_reason", "").replace("\x00", "").strip()
    try:
        first, *followers = _placed(definition, _nodes(request.POST))
        launch, _ = launch_create(
            definition=definition,
            node=first,
            followers=followers,
            actor=actor_of(request),
            force_reason=reason,
        )
    except LaunchRefused as refused:
        context = {
            "refused": refused,
            "checks": refused.data.get("checks"),
            "forceable": refused.code in FORCEABLE,
        }
        return render(request, "models_app/_preflight.html", context, status=409)
    return HttpResponseClientRedirect(launch.get_absolute_url())


def _nodes(data: QueryDict) -> list[Node]:
    """The nodes named by `nodes`, in that order; names that are none are left out."""
    names = [name for name in data.getlist("nodes") if "\x00" not in name]
    found = {node.name: node for node in Node.objects.filter(name__in=names)}
    return [found[name] for name in names if name in found]


def _placed(definition: ModelDefinition, nodes: list[Node]) -> list[Node]:
    if not nodes:
        raise LaunchRefused(f"choose the nodes for {definition.name}", "nodes_wanted")
    return nodes_chosen(definition, nodes[0], nodes[1:])
