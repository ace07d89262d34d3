"""Pages about definitions: what can be run."""

from __future__ import annotations

from typing import Any

import orjson
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from metrics_app.models import Node
from metrics_app.selectors import local_node
from models_app.exceptions import CatalogueInvalid, LaunchRefused
from models_app.forms import DefinitionForm
from models_app.models import ModelDefinition
from models_app.planning import engine_defaults
from models_app.run_lines import docker_run_line_for
from models_app.selectors import definition_card_of, definition_cards
from models_app.services import (
    catalogue_export,
    catalogue_import,
    catalogue_lines,
    definition_delete,
    definition_save,
)
from models_app.views_changes import draft_wanted
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of


@never_cache
@require_safe
def definitions(request: HttpRequest) -> HttpResponse:
    """Every definition with its newest launch."""
    context = {"cards": definition_cards(), "nodes": list(Node.objects.all())}
    return render(request, "models_app/definitions.html", context)


@never_cache
@require_safe
def definition(request: HttpRequest, slug: str) -> HttpResponse:
    """One definition: where it runs, what would be run, its settings and launches."""
    row = get_object_or_404(ModelDefinition, slug=slug)
    places: list[dict[str, Any]] = []
    for node in Node.objects.all():
        # A model that lies on several nodes has one set of lines, not one a node.
        once = row.node_count > 1 and places
        line, notes = ("", []) if once else docker_run_line_for(row, node)
        places.append({"node": node, "card": definition_card_of(row, node), "line": line, "notes": notes})
    context = {"definition": row, "places": places, "settings": _settings_rows(row)}
    return render(request, "models_app/definition.html", context)


def _settings_rows(row: ModelDefinition) -> list[dict[str, Any]]:
    """Return the effective settings by name; what comes from the engine's defaults is marked."""
    inherited = engine_defaults(row.engine)
    effective = {**inherited, **row.settings}
    return [
        {"name": name, "text": _text(effective[name]), "inherited": name not in row.settings}
        for name in sorted(effective, key=lambda name: (name not in row.settings, name))
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMIN)
def definition_new(request: HttpRequest) -> HttpResponse:
    """An empty form; with `?copy=` or `?launch=` what that one has, under a free name and port."""
    try:
        draft = draft_wanted(request)
    except LaunchRefused as refused:
        messages.error(request, refused.message)
        return HttpResponseRedirect(reverse("definition_new"))
    return _form_page(request, draft, reverse("definition_new_preview"))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMIN)
def definition_edit(request: HttpRequest, slug: str) -> HttpResponse:
    row = get_object_or_404(ModelDefinition, slug=slug)
    return _form_page(request, row, reverse("definition_edit_preview", args=[slug]))


def _form_page(request: HttpRequest, row: ModelDefinition | None, preview_url: str) -> HttpResponse:
    form = DefinitionForm(request.POST or None, instance=row)
    stored = row is not None and row.pk is not None
    if request.method == "POST" and form.is_valid():
        try:
            saved = definition_save(definition=form.save(commit=False), actor=actor_of(request))
        except ValidationError as error:
            form.add_error(None, error.messages)
        else:
            messages.success(request, f"{saved.name} is {'saved' if stored else 'defined'}.")
            return HttpResponseRedirect(saved.get_absolute_url())
    # A failed form has changed `row`.
    shown = ModelDefinition.objects.get(pk=row.pk) if row and stored else None
    context = {"form": form, "definition": shown, "preview_url": preview_url}
    return render(request, "models_app/definition_form.html", context)


@require_POST
@role_required(Role.ADMIN)
def definition_preview(request: HttpRequest, slug: str = "") -> HttpResponse:
    """Show what the form as it stands would run, or what is still wrong with it."""
    row = get_object_or_404(ModelDefinition, slug=slug) if slug else None
    form = DefinitionForm(request.POST, instance=row)
    context: dict[str, Any] = {"node": local_node()}
    if not form.is_valid():
        context["problems"] = [
            (form.fields[name].label if name in form.fields else "Form", errors[0])
            for name, errors in form.errors.items()
        ]
    elif context["node"]:
        context["line"], context["notes"] = docker_run_line_for(form.instance, context["node"])
    if form.engine_changed:
        context["other_form"] = DefinitionForm(instance=form.instance)
    return render(request, "models_app/_preview.html", context)


@require_POST
@role_required(Role.ADMIN)
def definition_delete_view(request: HttpRequest, slug: str) -> HttpResponse:
    """Delete a definition that is not running."""
    row = get_object_or_404(ModelDefinition, slug=slug)
    try:
        definition_delete(definition=row, actor=actor_of(request))
    except LaunchRefused as refused:
        messages.error(request, refused.message)
        return HttpResponseRedirect(row.get_absolute_url())
    messages.success(request, f"{row.name} is deleted.")
    return HttpResponseRedirect(reverse("definitions"))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMIN)
def definitions_import(request: HttpRequest) -> HttpResponse:
    """Check a models.yaml, show what it would change, and import it on `step=apply`."""
    if request.method != "POST":
        return render(request, "models_app/import.html")
    uploaded = request.FILES.get("file")
    text = uploaded.read() if uploaded else request.POST.get("text", "").encode()
    filename = (uploaded.name if uploaded else "") or "models.yaml"
    try:
        if request.POST.get("step") != "apply":
            lines = catalogue_lines(text=text, filename=filename)
            verdicts = [line.verdict for line in lines]
            counts = {verdict: verdicts.count(verdict) for verdict in ("created", "updated", "unchanged")}
            context = {"lines": lines, "counts": counts}
            return render(request, "models_app/_import_result.html", context)
        only = set(request.POST.getlist("slug")) if "chosen" in request.POST else None
        result = catalogue_import(text=text, filename=filename, actor=actor_of(request), only=only)
    except CatalogueInvalid as invalid:
        return render(request, "models_app/_import_result.html", {"problems": invalid.problems}, status=422)
    new, changed, same = (len(slugs) for slugs in (result.created, result.updated, result.unchanged))
    messages.success(request, f"Imported: {new} new, {changed} changed, {same} the same.")
    return HttpResponseClientRedirect(reverse("definitions"))


@never_cache
@require_safe
def definitions_choose(request: HttpRequest) -> HttpResponse:
    """Choose which definitions to export."""
    return render(request, "models_app/export.html", {"definitions": ModelDefinition.objects.all()})


@require_safe
def definitions_export(request: HttpRequest) -> HttpResponse:
    """All definitions, or those that `?slug=` names, as a models.yaml to download."""
    name = f"models-{timezone.localdate():%Y-%m-%d}.yaml"
    return HttpResponse(
        catalogue_export(request.GET.getlist("slug")),
        content_type="application/yaml; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
