"""The page of the image that tools run in."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from metrics_app.models import Node
from sandbox_app.exceptions import ToolRefused
from sandbox_app.image_builds import BASE_DEFAULT, NETWORKS, build_cancel, build_create
from sandbox_app.models_images import ImageBuild
from sandbox_app.selectors_images import node_images
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of


@never_cache
@require_safe
def tool_image(request: HttpRequest) -> HttpResponse:
    """Where the image is, and how its builds go."""
    context = {"images": node_images(), "base_default": BASE_DEFAULT, "networks": NETWORKS}
    return render(request, "sandbox_app/image.html", context)


@never_cache
@require_safe
def tool_image_list(request: HttpRequest) -> HttpResponse:
    """The nodes alone, fetched again when a build moved."""
    return render(request, "sandbox_app/_images.html", {"images": node_images()})


@require_POST
@role_required(Role.ADMIN)
def tool_image_build(request: HttpRequest) -> HttpResponse:
    """Have a node build the image."""
    told = {
        name: request.POST.get(name, "").strip().replace("\0", "") for name in ("base", "extra", "network")
    }
    try:
        build, made = build_create(
            node=get_object_or_404(Node, name=request.POST.get("node", "").replace("\0", "")),
            actor=actor_of(request),
            base=told["base"],
            libraries=request.POST.get("libraries") == "on",
            extra=told["extra"].replace(",", " ").split(),
            network=told["network"] or "default",
        )
    except ToolRefused as refused:
        return render(request, "models_app/_refusal.html", {"refused": refused}, status=409)
    return _done(f"{build.node_name} builds the image" if made else "A build is under way already")


@require_POST
@role_required(Role.ADMIN)
def tool_image_cancel(request: HttpRequest, uid: str) -> HttpResponse:
    """End a build."""
    build_cancel(build=get_object_or_404(ImageBuild, uid=uid), actor=actor_of(request))
    return _done("The build is being stopped")


def _done(words: str) -> HttpResponse:
    response = trigger_client_event(HttpResponse(status=204), "toast", {"message": words, "tone": "good"})
    return trigger_client_event(response, "sandbox-image-changed", {})
