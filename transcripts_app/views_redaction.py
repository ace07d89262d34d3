"""Masking on pages: profiles, the preview of one, what a project masks, and looking behind it."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from sparkweb.accounts.models import Role, User
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of
from transcripts_app.access import project_of, session_of
from transcripts_app.models_redaction import RedactionProfile
from transcripts_app.redaction import display
from transcripts_app.redaction.preview import preview
from transcripts_app.redaction.profiles import (
    BUILT_IN,
    NONE,
    profile_delete,
    profile_of,
    profile_save,
    profiles,
    rules_of,
)
from transcripts_app.redaction.rules import built_in


@never_cache
@require_safe
def transcript_redaction(request: HttpRequest) -> HttpResponse:
    """Every profile, and a form for a new one."""
    return _profiles(request, {"profile": RedactionProfile(rules=["keys"]), "is_new": True})


@require_POST
@role_required(Role.ADMIN)
def transcript_redaction_new(request: HttpRequest) -> HttpResponse:
    """Make a profile."""
    return _saved(request, None)


@never_cache
@require_safe
def transcript_redaction_profile(request: HttpRequest, name: str) -> HttpResponse:
    """One profile, in the form."""
    found = profile_of(name)
    if found is None:
        raise Http404("There is no such profile.")
    return _profiles(request, {"profile": found, "is_new": False})


@require_POST
@role_required(Role.ADMIN)
def transcript_redaction_change(request: HttpRequest, name: str) -> HttpResponse:
    """Change or delete a profile."""
    found = profile_of(name)
    if found is None or name in BUILT_IN:
        raise Http404("There is no such profile of an owner.")
    if "delete" in request.POST:
        profile_delete(profile=found, actor=actor_of(request))
        messages.success(request, f"{name} is deleted")
        return HttpResponseRedirect(reverse("transcript_redaction"))
    return _saved(request, found)


@never_cache
@require_safe
def transcript_redaction_preview(request: HttpRequest) -> HttpResponse:
    """What a profile would mask of a session: `?session=&profile=`."""
    user = cast(User, request.user)
    session = session_of(user, request.GET.get("session", "").replace("\0", ""))
    if session is None:
        raise Http404("There is no such session, or you may not see it.")
    profile = profile_of(request.GET.get("profile", "secrets")) or BUILT_IN["secrets"]
    rules = rules_of(profile)
    assert rules is not None
    told = preview(session, rules)
    display.session_mask(request, session)
    context = {
        "session": session, "profile": profile, "profiles": profiles(), "preview": told,
        "counts": [(rule.label, told.counts[rule.name], told.values[rule.word]) for rule in rules.rules],
    }  # fmt: skip
    return render(request, "transcripts_app/redaction_preview.html", context)


@require_POST
def transcript_mask(request: HttpRequest, key: str) -> HttpResponse:
    """Choose what a project's pages mask; for its owner and admins."""
    user = cast(User, request.user)
    project = project_of(user, key)
    name = request.POST.get("profile", "")
    if project is None or not display.may_reveal(user, project):
        raise Http404("There is no such project, or it is not yours.")
    if name != NONE and profile_of(name) is None:
        messages.error(request, "There is no such profile.")
    else:
        display.project_mask_set(project=project, profile=name, actor=actor_of(request))
        messages.success(
            request, "Its pages mask nothing now" if name == NONE else f"Its pages mask {name} now"
        )
    return HttpResponseRedirect(reverse("transcript_project", args=[project.key]))


@require_POST
def transcript_reveal(request: HttpRequest, key: str) -> HttpResponse:
    """Show a session unmasked for a quarter of an hour, or (`hide`) masked again; the audit notes it."""
    user = cast(User, request.user)
    session = session_of(user, key)
    if session is None or not display.may_reveal(user, session.project):
        raise Http404("There is no such session, or it is not yours.")
    if "hide" in request.POST:
        display.conceal(request, session)
    else:
        display.reveal(request, session, actor_of(request))
    return HttpResponseRedirect(reverse("transcript_session", args=[session.key]))


def _profiles(request: HttpRequest, context: dict[str, Any], status: int = 200) -> HttpResponse:
    profile = context["profile"]
    context |= {
        "profiles": profiles(), "rules": list(built_in().values()),
        "may_change": cast(User, request.user).has_role(Role.ADMIN), "is_built_in": profile.name in BUILT_IN,
        "patterns": [*profile.patterns, *({"name": "", "pattern": ""},) * 3],
    }  # fmt: skip
    return render(request, "transcripts_app/redaction.html", context, status=status)


def _saved(request: HttpRequest, profile: RedactionProfile | None) -> HttpResponse:
    post = request.POST
    pairs = zip(post.getlist("pattern_name"), post.getlist("pattern"), strict=False)
    name, about, rules = post.get("name", "").strip(), post.get("about", "").strip(), post.getlist("rules")
    patterns = [{"name": one, "pattern": pattern} for one, pattern in pairs if one or pattern]
    try:
        saved = profile_save(
            name=name, about=about, rules=rules, patterns=patterns, actor=actor_of(request), profile=profile
        )
    except ValidationError as error:
        told = {
            "profile": RedactionProfile(name=name, about=about, rules=rules, patterns=patterns),
            "is_new": profile is None, "errors": error.message_dict,
            "saved_name": profile.name if profile else "",
        }  # fmt: skip
        return _profiles(request, told, 422)
    messages.success(request, f"{saved.name} is saved")
    return HttpResponseRedirect(reverse("transcript_redaction_profile", args=[saved.name]))
