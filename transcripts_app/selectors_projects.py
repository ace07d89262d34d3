"""Projects of the archive, with what their sessions came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Max, Min, Q, QuerySet, Sum

from sparkweb.accounts.models import User
from transcripts_app.access import projects_visible
from transcripts_app.archive.models import Project, Response, Session, ToolCall
from transcripts_app.selectors_sessions import ERRORS, TOKENS

DAYS_SHOWN = 365
FILES_MOST = 12
MODELS_MOST = 12
TOKENS_OF = Sum("input_tokens") + Sum("output_tokens") + Sum("cache_read_tokens") + Sum(
    "cache_write_5m_tokens"
) + Sum("cache_write_1h_tokens")  # fmt: skip
FIGURES: dict[str, Any] = {
    "count": Count("pk", filter=Q(is_warmup=False)), "warmups": Count("pk", filter=Q(is_warmup=True)),
    "tokens": Sum(TOKENS), "output": Sum("output_tokens"), "cost": Sum("cost_micros"),
    "unpriced": Count("pk", filter=Q(cost_micros=None)), "errors": Sum(ERRORS), "prompts": Sum("prompts"),
    "calls": Sum("tool_calls"), "active_ms": Sum("active_ms"), "first_ms": Min("started_ms"),
    "last_ms": Max("ended_ms"), "added": Sum("lines_added"), "removed": Sum("lines_removed"),
    "agents": Sum("agents"), "gone": Count("pk", filter=Q(gone_ms__isnull=False)), "secrets": Sum("secrets"),
    "bytes": Sum("bytes"),
}  # fmt: skip


@dataclass(frozen=True)
class ProjectRow:
    """A project and FIGURES of its sessions."""

    project: Project
    figures: dict[str, Any]


def projects_shown(user: User) -> QuerySet[Project]:
    """Return the projects that a user may see and that hold sessions."""
    visible = projects_visible(user)
    projects = Project.objects.filter(pk__in=Session.objects.values("project"))
    return projects if visible is None else projects.filter(pk__in=visible)


def project_rows(user: User, text: str = "") -> list[ProjectRow]:
    """Return projects with their figures, the latest first; `text` is looked for in path and node."""
    projects = projects_shown(user)
    if text:
        projects = projects.filter(Q(path__icontains=text) | Q(node__icontains=text))
    figures = figures_of(Session.objects.filter(project__in=projects))
    rows = [ProjectRow(one, figures[one.pk]) for one in projects if one.pk in figures]
    return sorted(rows, key=lambda row: (row.figures["last_ms"] or 0, row.project.pk), reverse=True)


def figures_of(sessions: QuerySet[Session]) -> dict[int, dict[str, Any]]:
    """Return FIGURES by project."""
    rows = sessions.values("project").annotate(**FIGURES)
    return {row["project"]: dict(row) for row in rows}


def project_days(project: Project) -> list[tuple[int, int, int]]:
    """Return (day as 20261201, responses, output tokens) of the last days with any, oldest first."""
    rows = Response.objects.filter(session__project=project, day__isnull=False).values("day")
    rows = rows.annotate(responses=Count("pk"), output=Sum("output_tokens")).order_by("-day")[:DAYS_SHOWN]
    return [(row["day"] or 0, row["responses"], row["output"]) for row in reversed(rows)]


def project_models(project: Project) -> list[dict[str, Any]]:
    """Return the models that answered, most output first."""
    rows = Response.objects.filter(session__project=project, is_synthetic=False).values("model")
    rows = rows.annotate(responses=Count("pk"), output=Sum("output_tokens"), tokens=TOKENS_OF)
    return [dict(row) for row in rows.order_by("-output", "model")[:MODELS_MOST]]


def project_files(project: Project) -> list[dict[str, Any]]:
    """Return the files that were changed most often."""
    calls = ToolCall.objects.filter(
        session__project=project, operation__in=("write", "edit"), is_error=False
    ).exclude(path="")
    rows = calls.values("path").annotate(
        times=Count("pk"), sessions=Count("session", distinct=True), added=Sum("lines_added"),
        removed=Sum("lines_removed"),
    )  # fmt: skip
    return [dict(row) for row in rows.order_by("-times", "path")[:FILES_MOST]]
