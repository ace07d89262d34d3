"""The error atlas: failures of every session that somebody may see, grouped by what they say."""

from __future__ import annotations

from typing import cast

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from sparkweb.accounts.models import User
from transcripts_app.archive.models import Project, Session, moment
from transcripts_app.forms_errors import ErrorFilterForm
from transcripts_app.insight.atlas import Group, message_normal
from transcripts_app.insight_masks import Masks
from transcripts_app.insight_pages import number_of, query_without
from transcripts_app.selectors_errors import (
    FOLLOWED_MOST,
    OCCURRENCES_SHOWN,
    SPANS,
    Atlas,
    Followed,
    atlas_read,
    followed_read,
)

GROUPS_SHOWN = 25
SPARK_HEIGHT = 22


@never_cache
@require_safe
def transcript_errors(request: HttpRequest) -> HttpResponse:
    """Groups of failures, the largest first."""
    form = ErrorFilterForm(request.GET)
    wanted = form.wanted()
    user = cast(User, request.user)
    masks = Masks(user)
    atlas = atlas_masked(atlas_read(user, wanted), masks)
    pages = max(1, -(-len(atlas.groups) // GROUPS_SHOWN))
    page = min(max(1, number_of(request.GET.get("page")) or 1), pages)
    groups = atlas.groups[(page - 1) * GROUPS_SHOWN : page * GROUPS_SHOWN]
    followed = followed_read([one for group in groups for one in group.newest[:FOLLOWED_MOST]])
    context = {
        "form": form, "wanted": wanted, "atlas": atlas, "page": page, "pages": pages, "spans": SPANS,
        "narrowed": any((wanted.kind, wanted.tool, wanted.project, wanted.model, wanted.text, wanted.days)),
        "query": query_without(request, "page"), "group_query": query_without(request, "page"),
        "rows": [group_facts(group_masked(group, atlas, masks), followed) for group in groups],
    }  # fmt: skip
    return render(request, "transcripts_app/errors.html", context)


@never_cache
@require_safe
def transcript_error(request: HttpRequest, group: str) -> HttpResponse:
    """One group: its numbers, and its newest occurrences with what followed each."""
    wanted = ErrorFilterForm(request.GET).wanted()
    user = cast(User, request.user)
    masks = Masks(user)
    atlas = atlas_masked(atlas_read(user, wanted, newest=OCCURRENCES_SHOWN), masks)
    found = atlas.group(group)
    if found is None:
        raise Http404("There is no such error in what you may see.")
    group_masked(found, atlas, masks)
    followed = followed_read(found.newest)
    context = {
        "atlas": atlas, "facts": group_facts(found, followed), "group": found,
        "query": query_without(request), "occurrences": occurrences(found, followed, masks),
        "projects": _projects(atlas, found),
        "tools": found.tools.most_common(20), "models": found.models.most_common(20),
    }  # fmt: skip
    return render(request, "transcripts_app/error.html", context)


def group_facts(group: Group, followed: dict[tuple[str, int], Followed]) -> dict[str, object]:
    """Return a group with what its template draws: times, a trend as points, what followed."""
    told = [followed[one.kind, one.id] for one in group.newest if (one.kind, one.id) in followed]
    worked = sorted(one.turns for one in told if one.turns is not None)
    return {
        "group": group, "first": moment(group.first_ms), "last": moment(group.last_ms),
        "points": spark_points(group.trend), "tools": group.tools.most_common(4),
        "looked": len(told), "retried": sum(one.is_retried for one in told), "worked": len(worked),
        "turns": worked[len(worked) // 2] if worked else None,
    }  # fmt: skip


def occurrences(
    group: Group, followed: dict[tuple[str, int], Followed], masks: Masks
) -> list[dict[str, object]]:
    """Return a group's newest failures with their sessions."""
    keys = {one.session for one in group.newest}
    sessions = {one.key: one for one in Session.objects.select_related("project").filter(key__in=keys)}
    for session in sessions.values():
        masks.session(session)
    return [
        {"one": one, "message": masks.of(sessions[one.session].project).text(one.message),
         "session": sessions[one.session], "at": moment(one.at_ms),
         "followed": followed.get((one.kind, one.id))}
        for one in group.newest if one.session in sessions
    ]  # fmt: skip


def spark_points(trend: list[int]) -> str:
    """Return a trend as the points of a line, from left to right, 4 units a step."""
    top = max(trend, default=0) or 1
    return " ".join(
        f"{place * 4},{SPARK_HEIGHT - count * (SPARK_HEIGHT - 2) / top:.1f}"
        for place, count in enumerate(trend)
    )


def _projects(atlas: Atlas, group: Group) -> list[tuple[Project, int]]:
    known = {project.key: project for project in atlas.projects}
    return [(known[key], count) for key, count in group.projects.most_common(20) if key in known]


def atlas_masked(atlas: Atlas, masks: Masks) -> Atlas:
    """Mask the names and paths of an atlas' projects, in place."""
    for project in atlas.projects:
        mask = masks.of(project)
        project.name, project.path = mask.text(project.name), mask.text(project.path)
    return atlas


def group_masked(group: Group, atlas: Atlas, masks: Masks) -> Group:
    """Mask a group's message and example as all of its projects say, in place."""
    known = {project.key: project for project in atlas.projects}
    masked = masks.texts_of(known[key] for key in group.projects if key in known)
    group.example = masked(group.example)
    # Folded anew: of a secret that was folded first, a part would stay.
    group.message = message_normal(group.example)
    return group
