"""The page that adopts a container which SparkWeb did not start, and the button that gives it back."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from metrics_app.models import Node
from models_app.adoption import container_adopt, container_of, launch_release
from models_app.adoption_match import definitions_by_likelihood, not_adoptable
from models_app.exceptions import LaunchRefused
from models_app.models import Launch, ModelDefinition
from models_app.views import launch_done
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.OPERATOR)
def container_adopt_view(request: HttpRequest, name: str, container: str) -> HttpResponse:
    """Choose which definition a container serves; adopt it."""
    node = get_object_or_404(Node, name=name)
    refused = None
    if request.method == "POST":
        slug = request.POST.get("definition", "").replace("\x00", "")
        definition = get_object_or_404(ModelDefinition, slug=slug)
        try:
            return redirect(
                container_adopt(
                    node=node, container_id=container, definition=definition, actor=actor_of(request)
                )
            )
        except LaunchRefused as error:
            refused = error
    context = _context(node, container) | ({"refused": refused.message} if refused else {})
    return render(request, "models_app/adopt.html", context, status=409 if refused else 200)


def _context(node: Node, container_id: str) -> dict[str, Any]:
    try:
        found = container_of(node, container_id)
    except LaunchRefused as refused:
        return {"node": node, "why": refused.message}
    definitions = ModelDefinition.objects.filter(enabled=True)
    return {
        "node": node,
        "container": found,
        "why": not_adoptable(found),
        "choices": definitions_by_likelihood(found, definitions),
    }


@require_POST
@role_required(Role.OPERATOR)
def launch_release_view(request: HttpRequest, uid: str) -> HttpResponse:
    """Give an adopted container back; it goes on."""
    launch = get_object_or_404(Launch, uid=uid)
    try:
        launch = launch_release(launch=launch, actor=actor_of(request))
    except LaunchRefused as refused:
        return render(request, "models_app/_refusal.html", {"refused": refused}, status=409)
    return launch_done(launch, f"{launch.definition_slug} is given back; its container goes on")
