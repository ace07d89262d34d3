"""The purge clock, and writing a session back."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from sparkweb.accounts.models import Role, User
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of
from transcripts_app.access import session_of
from transcripts_app.requests import request_make
from transcripts_app.selectors_purge import purge_page


@never_cache
@require_safe
def transcript_purge(request: HttpRequest) -> HttpResponse:
    """What Claude Code deletes next, and that it is here."""
    return render(request, "transcripts_app/purge.html", {"page": purge_page(cast(User, request.user))})


@require_POST
@role_required(Role.ADMIN)
def transcript_restore(request: HttpRequest, key: str) -> HttpResponse:
    """Have a session written back to where it was read."""
    session = session_of(cast(User, request.user), key)
    if session is None:
        raise Http404("There is no such session.")
    request_make(kind="restore", payload={"session": session.key}, actor=actor_of(request))
    messages.success(request, "It is being written back; the Import page says what was.")
    return HttpResponseRedirect(reverse("transcript_keep", args=[session.key]))
