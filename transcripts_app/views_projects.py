"""Projects: the list, and the page of one."""

from __future__ import annotations

from datetime import date
from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from sparkweb.accounts.models import User
from transcripts_app.access import project_of
from transcripts_app.archive.models import Project, Session
from transcripts_app.forms_sessions import SessionFilterForm
from transcripts_app.redaction.display import mask_name, may_reveal
from transcripts_app.redaction.profiles import profiles
from transcripts_app.selectors_projects import (
    figures_of,
    project_days,
    project_files,
    project_models,
    project_rows,
)
from transcripts_app.selectors_sessions import SessionFilter, session_page
from transcripts_app.views_sessions import SORT_WORDS, query_without

WEEKS = 53


@never_cache
@require_safe
def transcript_projects(request: HttpRequest) -> HttpResponse:
    """Projects that the visitor may see."""
    text = request.GET.get("text", "")[:200].replace("\0", "")
    context = {"rows": project_rows(cast(User, request.user), text), "text": text}
    return render(request, "transcripts_app/projects.html", context)


@never_cache
@require_safe
def transcript_project(request: HttpRequest, key: str) -> HttpResponse:
    """One project: figures, activity by day, models, files, sessions."""
    user = cast(User, request.user)
    project = project_of(user, key)
    if project is None:
        raise Http404("There is no such project, or you may not see it.")
    form = SessionFilterForm({**request.GET.dict(), "project": project.key})
    wanted: SessionFilter = form.wanted()
    figures = figures_of(Session.objects.filter(project=project)).get(project.pk)
    context: dict[str, Any] = {
        "project": project, "figures": figures, "wanted": wanted, "page": session_page(user, wanted),
        "days": _days(project), "models": project_models(project), "files": project_files(project),
        "sorts": SORT_WORDS, "query": query_without(request, "page"), "project_page": True,
        "query_warmups": query_without(request, "page", "warmups"),
    }  # fmt: skip
    if may_reveal(user, project):
        context |= {"masks": profiles(), "mask": mask_name(project)}
    return render(request, "transcripts_app/project.html", context)


def _days(project: Project) -> dict[str, Any]:
    """Days of the last year with any activity as squares: column by week, level 1 to 4 by output tokens."""
    rows = [(_date(day), responses, output) for day, responses, output in project_days(project)]
    known = [(day, responses, output) for day, responses, output in rows if day is not None]
    if not known:
        return {}
    last = max(day for day, _, _ in known)
    most = max(output for _, _, output in known) or 1
    squares = []
    for day, responses, output in known:
        week = WEEKS - 1 - ((last.toordinal() - last.weekday()) - (day.toordinal() - day.weekday())) // 7
        if week >= 0:
            level = 1 + min(3, int(4 * output / (most + 1)))
            squares.append({"day": day, "responses": responses, "output": output, "level": level,
                            "x": week * 14, "y": day.weekday() * 14})  # fmt: skip
    return {"squares": squares, "width": WEEKS * 14, "last": last}


def _date(day: int) -> date | None:
    try:
        return date(day // 10000, day // 100 % 100, day % 100)
    except ValueError:
        return None
