"""Exports on pages: choose, start, follow, fetch."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from sparkweb.accounts.models import User
from sparkweb.accounts.services import actor_of
from sparkweb.refusal import Refused
from transcripts_app.access import project_of, projects_visible, session_of
from transcripts_app.archive.models import Project
from transcripts_app.export.jobs import export_cancel, export_delete, export_request, exports_of
from transcripts_app.export.selection import Format, What
from transcripts_app.forms_export import ExportForm
from transcripts_app.models_export import ExportState, TranscriptExport
from transcripts_app.redaction.display import DisplayMask
from transcripts_app.redaction.profiles import profiles
from transcripts_app.redaction.rules import likely_rules

LISTED = 30
PROJECTS_MOST = 500


@never_cache
def transcript_exports(request: HttpRequest) -> HttpResponse:
    """What to export, as what, masked how; and the exports of before."""
    user = cast(User, request.user)
    form = ExportForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            export_request(**form.wanted(), user=user, actor=actor_of(request))
        except Refused as refused:
            messages.error(request, f"{refused}.")
        else:
            return HttpResponseRedirect(reverse("transcript_exports") + "#exports")
    return render(request, "transcripts_app/exports.html", _context(request, user, form))


@never_cache
@require_safe
def transcript_export_list(request: HttpRequest) -> HttpResponse:
    """The list alone: asked for each second while one is under way."""
    return render(request, "transcripts_app/_exports.html", _listed(cast(User, request.user)))


@require_POST
def transcript_export_cancel(request: HttpRequest, uid: str) -> HttpResponse:
    """End an export."""
    export_cancel(export=export_or_404(request, uid))
    return HttpResponseRedirect(reverse("transcript_exports"))


@require_POST
def transcript_export_delete(request: HttpRequest, uid: str) -> HttpResponse:
    """Take an export away before its day is over."""
    export_delete(export=export_or_404(request, uid))
    return HttpResponseRedirect(reverse("transcript_exports"))


@never_cache
@require_safe
def transcript_export_file(request: HttpRequest, uid: str) -> HttpResponseBase:
    """The ZIP file."""
    return export_file(export_or_404(request, uid))


def export_file(export: TranscriptExport) -> FileResponse:
    """Answer with an export's file, as a download. Raises Http404 where there is none."""
    try:
        file = export.path.open("rb") if export.state == ExportState.DONE else None
    except FileNotFoundError:
        file = None
    if file is None:
        raise Http404("The file is not there: it is not ready, or its day is over.")
    return FileResponse(file, as_attachment=True, filename=export.file_name, content_type="application/zip")


def export_or_404(request: HttpRequest, uid: str) -> TranscriptExport:
    """Return an export of the visitor's own."""
    found = None if "\0" in uid else exports_of(cast(User, request.user)).filter(uid=uid[:16]).first()
    if found is None:
        raise Http404("There is no such export, or it is somebody else's.")
    return found


def _listed(user: User) -> dict[str, Any]:
    rows = list(exports_of(user)[:LISTED])
    return {"exports": rows, "live": any(one.live for one in rows)}


def _context(request: HttpRequest, user: User, form: ExportForm) -> dict[str, Any]:
    """`?project=`, `?session=` and `?q=` choose what the form starts with."""
    mask = DisplayMask(likely_rules())
    session = session_of(user, request.GET.get("session", "")) if request.GET.get("session") else None
    project = project_of(user, request.GET.get("project", "")) if request.GET.get("project") else None
    query = request.GET.get("q", "")[:500].replace("\0", "")
    chosen = What.SESSION if session else What.PROJECT if project else What.SEARCH if query else What.ALL
    visible = projects_visible(user)
    projects = Project.objects.all() if visible is None else Project.objects.filter(pk__in=visible)
    return {
        "form": form, "profiles": profiles(), "formats": Format.choices, "query": query,
        "chosen": form["what"].value() or chosen, "session": session, "project": project,
        "session_title": mask.text(session.title) if session else "",
        "projects": [(one.key, mask.text(one.path), one.node)
                     for one in projects.order_by("path")[:PROJECTS_MOST]],
        "format_chosen": form["format"].value() or Format.HTML,
        "profile_chosen": form["profile"].value() if form.is_bound else "secrets", **_listed(user),
    }  # fmt: skip
