"""The page of what stands beside a session, and the page of who sees a project."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from sparkweb.accounts.models import Role, User
from sparkweb.accounts.services import actor_of
from sparkweb.refusal import Refused
from transcripts_app.access import project_of, session_of
from transcripts_app.archive.models import Project, Record, Session
from transcripts_app.keeping import (
    may_share,
    note_add,
    note_remove,
    project_access_set,
    star_set,
    tag_add,
    tag_remove,
)
from transcripts_app.models import ProjectAccess, Visibility
from transcripts_app.models_keeping import SessionNote
from transcripts_app.selectors_keeping import keeping_of


class AccessForm(forms.Form):
    """Who sees a project."""

    visibility = forms.ChoiceField(choices=Visibility.choices, widget=forms.RadioSelect, label="Who sees it")
    users = forms.ModelMultipleChoiceField(
        User.objects.none(), required=False, to_field_name="username", label="Chosen users",
        widget=forms.CheckboxSelectMultiple,
    )  # fmt: skip
    owner = forms.ModelChoiceField(
        User.objects.none(), required=False, to_field_name="username", label="Owner",
        empty_label="That of its source",
    )  # fmt: skip

    def __init__(self, *args: Any, admin: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = User.objects.filter(is_active=True).order_by("username")
        for name in ("users", "owner"):
            self.fields[name].queryset = people  # type: ignore[attr-defined]
        if not admin:
            del self.fields["owner"]


@never_cache
@require_safe
def transcript_keep(request: HttpRequest, key: str) -> HttpResponse:
    """Star, tags and notes of a session; a form for a note on one message with `?record=`."""
    session = _session(request, key)
    context = {
        "session": session,
        "keeping": keeping_of(_user(request), session),
        "record": _record(session, request.GET.get("record", "")),
        "may_share": may_share(_user(request), session.project),
    }
    return render(request, "transcripts_app/keep.html", context)


@require_POST
def transcript_keep_change(request: HttpRequest, key: str) -> HttpResponse:
    """One change of what stands beside a session: `action` says which."""
    session, told, actor = _session(request, key), request.POST, actor_of(request)
    action, record = told.get("action", ""), _record(session, told.get("record", ""))
    try:
        if action in ("star", "unstar"):
            star_set(session=session, user=_user(request), starred=action == "star", record=record)
        elif action == "tag":
            tag_add(session=session, name=told.get("name", ""), actor=actor)
        elif action == "untag":
            tag_remove(session=session, name=told.get("name", ""))
        elif action == "note":
            note_add(session=session, text=told.get("text", ""), actor=actor, record=record)
        elif action == "unnote":
            note_remove(note=_note(session, told.get("note", "")), actor=actor)
    except Refused as refused:
        messages.error(request, refused.message)
    return HttpResponseRedirect(reverse("transcript_keep", args=[session.key]))


@never_cache
def transcript_access(request: HttpRequest, key: str) -> HttpResponse:
    """Who sees a project; for its owner and admins."""
    project = _project(request, key)
    if not may_share(_user(request), project):
        raise PermissionDenied("Only its owner and admins say who sees a project.")
    admin = actor_of(request).may(Role.ADMIN)
    access = ProjectAccess.objects.filter(project_key=project.key).first()
    form = AccessForm(request.POST or None, admin=admin, initial=_initial(access))
    if request.method == "POST" and form.is_valid():
        wanted = form.cleaned_data
        project_access_set(
            project=project, visibility=wanted["visibility"], users=list(wanted["users"]),
            owner=wanted.get("owner"), actor=actor_of(request),
        )  # fmt: skip
        messages.success(request, "Saved. It counts from the next click on.")
        return HttpResponseRedirect(reverse("transcript_access", args=[project.key]))
    return render(request, "transcripts_app/access.html", {"project": project, "form": form})


def _initial(access: ProjectAccess | None) -> dict[str, Any]:
    if access is None:
        return {"visibility": Visibility.OWNER}
    return {
        "visibility": access.visibility,
        "users": list(access.users.values_list("username", flat=True)),
        "owner": access.owner.username if access.owner else None,
    }


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)


def _session(request: HttpRequest, key: str) -> Session:
    session = session_of(_user(request), key)
    if session is None:
        raise Http404("There is no such session.")
    return session


def _project(request: HttpRequest, key: str) -> Project:
    project = project_of(_user(request), key)
    if project is None:
        raise Http404("There is no such project.")
    return project


def _record(session: Session, number: str) -> Record | None:
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        return None
    return Record.objects.filter(session=session, pk=int(number)).first()


def _note(session: Session, number: str) -> SessionNote:
    known = number.isascii() and number.isdigit() and len(number) < 19
    note = SessionNote.objects.filter(session_key=session.key, pk=int(number)).first() if known else None
    if note is None:
        raise Http404("There is no such note.")
    return note
