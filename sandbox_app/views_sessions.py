"""Pages about sessions of tools: all that one may see, and one with its files and runs."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from metrics_app.models import Node
from metrics_app.selectors import local_node
from sandbox_app.forms_sessions import SessionForm
from sandbox_app.models import SessionState, ToolRun, ToolSession
from sandbox_app.session_download import file_download
from sandbox_app.session_files import files_delete, files_list, folder_make
from sandbox_app.session_selectors import FolderRow, memory_notes, session_rows
from sandbox_app.sessions import (
    SessionInvalid,
    SessionUnknown,
    session_find,
    session_live,
    session_seen,
    sessions_visible,
    tool_session_create,
    tool_session_end,
    tool_session_extend,
)
from sparkweb.accounts.models import Role, User
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of
from sparkweb.refusal import Refused
from sparkweb.request_threads import thread_return_early

ENDED_SHOWN = 10
RUNS_SHOWN = 20
EXTEND_HOURS = (24, 72, 168, 720)


@never_cache
@require_safe
def tool_sessions(request: HttpRequest) -> HttpResponse:
    """The sessions one may see, those that ended at the end, and the form for another."""
    return _list_page(request, None)


@never_cache
@require_POST
@role_required(Role.OPERATOR)
def tool_session_new(request: HttpRequest) -> HttpResponse:
    """Begin a session; the page again where something does not fit."""
    form = SessionForm(request.POST)
    if form.is_valid():
        wanted = form.cleaned_data
        try:
            session = tool_session_create(
                owner=_user(request), node=wanted["node"], actor=actor_of(request), label=wanted["label"],
                size_mb=wanted["size_mb"], hours=wanted["hours"],
            )  # fmt: skip
        except Refused as refused:
            form.add_error(None, refused.message)
        else:
            messages.success(
                request, "The session is there; its workspace is made with the first run or file."
            )
            return HttpResponseRedirect(reverse("tool_session", args=[session.uid]))
    return _list_page(request, form)


def _list_page(request: HttpRequest, form: SessionForm | None) -> HttpResponse:
    visible = sessions_visible(actor_of(request))
    context = {
        "rows": session_rows(visible.exclude(state=SessionState.ENDED)[:200]),
        "ended": visible.filter(state=SessionState.ENDED).order_by("-ended_at")[:ENDED_SHOWN],
        "form": form or SessionForm(initial={"node": local_node()}),
        "asked": form is not None,
        "nodes": Node.objects.exists(),
        "memory_notes": memory_notes(),
    }
    return render(request, "sandbox_app/sessions.html", context)


@never_cache
@require_safe
def tool_session(request: HttpRequest, uid: str) -> HttpResponse:
    """One session: how it is, its files (to its owner alone), its runs."""
    return render(request, "sandbox_app/session.html", _session_context(request, uid))


@never_cache
@require_safe
def tool_session_panel(request: HttpRequest, uid: str) -> HttpResponse:
    """How a session is, alone; fetched again while the page is open."""
    return render(request, "sandbox_app/_session_panel.html", _session_context(request, uid))


@never_cache
@require_safe
@role_required(Role.OPERATOR)
def tool_session_files(request: HttpRequest, uid: str) -> HttpResponse:
    """One folder of the workspace, asked of the node."""
    session = _own(request, uid)
    return _files_part(request, session, request.GET.get("path", ""))


@never_cache
@require_safe
@role_required(Role.OPERATOR)
def tool_session_download(request: HttpRequest, uid: str) -> Any:
    """One file, as an attachment."""
    session = _own(request, uid)
    try:
        answer = file_download(session_live(session.uid, _user(request)), request.GET.get("path", ""))
    except Refused as refused:
        page = render(request, "sandbox_app/session_refused.html", {"refused": refused, "session": session})
        page.status_code = refused.status
        return page
    thread_return_early(request)
    return answer


# Buttons ------------------------------------------------------------------------------


@require_POST
@role_required(Role.OPERATOR)
def tool_session_extend_view(request: HttpRequest, uid: str) -> HttpResponse:
    """Let it last longer."""
    session = _own(request, uid)
    try:
        hours = request.POST.get("hours", "")
        if not hours.isdecimal() or len(hours) > 4:
            raise SessionInvalid("Hours are a whole number.", "hours_invalid")
        tool_session_extend(session=session, actor=actor_of(request), hours=int(hours))
    except Refused as refused:
        return _refusal(request, refused)
    return _toast(HttpResponse(status=204), "session-changed", "The session lasts longer", "good")


@require_POST
@role_required(Role.OPERATOR)
def tool_session_end_view(request: HttpRequest, uid: str) -> HttpResponse:
    """End it, with all that is in it; an admin may end anybody's."""
    session = tool_session_end(session=_seen(request, uid), actor=actor_of(request))
    messages.success(request, f"The session {session} is ending; its files go with it.")
    return HttpResponseRedirect(reverse("tool_sessions"))


@require_POST
@role_required(Role.OPERATOR)
def tool_session_file_delete(request: HttpRequest, uid: str) -> HttpResponse:
    """Delete a file or folder; the folder it was in is shown again."""
    session, path = _own(request, uid), request.POST.get("path", "")
    try:
        gone = files_delete(session_live(session.uid, _user(request)), path, actor=actor_of(request))
    except Refused as refused:
        return _refusal(request, refused)
    words = f"{path} is deleted" if gone == 1 else f"{path} is deleted, {gone} names in all"
    return _toast(HttpResponse(status=204), "files-changed", words, "good")


@require_POST
@role_required(Role.OPERATOR)
def tool_session_folder(request: HttpRequest, uid: str) -> HttpResponse:
    """Make a folder in the one that is shown."""
    session = _own(request, uid)
    name = request.POST.get("name", "").strip()
    path = "/".join(part for part in (request.POST.get("path", ""), name) if part)
    try:
        if not name or "/" in name:
            raise SessionInvalid("A folder has a name without a slash.", "path_invalid")
        folder_make(session_live(session.uid, _user(request)), path, actor=actor_of(request))
    except Refused as refused:
        return _refusal(request, refused)
    return _toast(HttpResponse(status=204), "files-changed", f"{name} is made", "good")


# Within -------------------------------------------------------------------------------


def _session_context(request: HttpRequest, uid: str) -> dict[str, Any]:
    session = _seen(request, uid)
    return {
        "session": session,
        "row": session_rows([session])[0],
        "mine": session.owner_id == _user(request).pk,
        "live": session.state == SessionState.LIVE,
        "runs": ToolRun.objects.filter(session=session)[:RUNS_SHOWN],
        "extend_hours": [(hours, f"{hours // 24} days" if hours > 24 else "a day") for hours in EXTEND_HOURS],
    }


def _files_part(request: HttpRequest, session: ToolSession, path: str) -> HttpResponse:
    context: dict[str, Any] = {"session": session, "path": path, "folder": None, "refused": None}
    try:
        context["folder"] = FolderRow.of(files_list(session_live(session.uid, _user(request)), path))
    except Refused as refused:
        context["refused"] = refused
    return render(request, "sandbox_app/_session_files.html", context)


def _own(request: HttpRequest, uid: str) -> ToolSession:
    try:
        return session_find(uid, _user(request))
    except (SessionInvalid, SessionUnknown) as refused:
        raise Http404(refused.message) from None


def _seen(request: HttpRequest, uid: str) -> ToolSession:
    try:
        return session_seen(uid, actor_of(request))
    except (SessionInvalid, SessionUnknown) as refused:
        raise Http404(refused.message) from None


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)


def _refusal(request: HttpRequest, refused: Refused) -> HttpResponse:
    return render(request, "models_app/_refusal.html", {"refused": refused}, status=409)


def _toast(response: HttpResponse, event: str, sentence: str, tone: str) -> HttpResponse:
    trigger_client_event(response, event, {})
    return trigger_client_event(response, "toast", {"message": sentence, "tone": tone})
