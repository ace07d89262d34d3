"""Pages about a definition's history, and forms that begin as a copy."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from models_app.definition_changes import (
    change_lines,
    definition_revert,
    draft_of_definition,
    draft_of_launch,
    picture,
)
from models_app.exceptions import LaunchRefused
from models_app.models import Launch, ModelDefinition
from models_app.models_changes import DefinitionChange
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of

PAGE_SIZE = 30


@never_cache
@require_safe
def definition_history(request: HttpRequest, slug: str) -> HttpResponse:
    """Who changed what of a definition, newest first."""
    row = get_object_or_404(ModelDefinition, slug=slug)
    rows = DefinitionChange.objects.filter(definition_slug=slug)
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    lines = change_lines(list(page.object_list), picture(row))
    context = {"definition": row, "page": page, "lines": lines}
    return render(request, "models_app/definition_history.html", context)


@require_POST
@role_required(Role.ADMIN)
def change_revert(request: HttpRequest, pk: int) -> HttpResponse:
    """Make of a definition what it was before a change."""
    change = get_object_or_404(DefinitionChange, pk=pk)
    back = reverse("definitions")
    if change.definition:
        back = reverse("definition_history", args=[change.definition_slug])
    try:
        definition = definition_revert(change=change, actor=actor_of(request))
    except LaunchRefused as refused:
        messages.error(request, refused.message)
    except ValidationError as error:
        messages.error(request, "It cannot go back: " + " ".join(error.messages))
    else:
        messages.success(request, f"{definition.name} is what it was before that change.")
        return HttpResponseRedirect(definition.get_absolute_url())
    return HttpResponseRedirect(back)


def draft_wanted(request: HttpRequest) -> ModelDefinition | None:
    """The copy that `?copy=` (a definition) or `?launch=` asks for; None without. Raises LaunchRefused."""
    if slug := request.GET.get("copy"):
        return draft_of_definition(get_object_or_404(ModelDefinition, slug=slug.replace("\0", "")))
    if uid := request.GET.get("launch"):
        return draft_of_launch(get_object_or_404(Launch, uid=uid.replace("\0", "")))
    return None
