"""The page of one run, and its buttons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from sandbox_app.models import AuditRecord, RunState, ToolRun
from sandbox_app.run_lines import input_lines, json_text, limit_lines, timeline
from sandbox_app.selectors import runs_visible
from sandbox_app.selectors_audit import records_of_run
from sandbox_app.serializers_runs import artifact_url
from sandbox_app.services import tool_run_approve, tool_run_cancel, tool_run_deny
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of
from sparkweb.refusal import Refused

SHOWN_CHARACTERS = 200_000


@never_cache
@require_safe
def tool_run(request: HttpRequest, uid: str) -> HttpResponse:
    """One run: what was asked, what came, what bounded it."""
    run = _run_or_404(request, uid)
    texts = {"stdout": run.stdout[-SHOWN_CHARACTERS:], "stderr": run.stderr[-SHOWN_CHARACTERS:]}
    return render(request, "sandbox_app/run.html", _context(request, run) | {"texts": texts})


@never_cache
@require_safe
def tool_run_panel(request: HttpRequest, uid: str) -> HttpResponse:
    """The state of one run, and beside it (out of band) its files, facts and timeline."""
    context = _context(request, _run_or_404(request, uid)) | {"oob": True}
    panel = render(request, "sandbox_app/_run_panel.html", context)
    for piece in ("_run_files", "_run_side"):
        panel.write(render(request, f"sandbox_app/{piece}.html", context).content)
    return panel


@require_POST
def tool_run_cancel_view(request: HttpRequest, uid: str) -> HttpResponse:
    """Ask for a run to end."""
    run = _run_or_404(request, uid)
    return _done(request, lambda: tool_run_cancel(run=run, actor=actor_of(request)), "It is being cancelled")


@require_POST
@role_required(Role.OPERATOR)
def tool_run_approve_view(request: HttpRequest, uid: str) -> HttpResponse:
    """Let a run begin that waits for somebody's yes."""
    run = _run_or_404(request, uid)
    return _done(request, lambda: tool_run_approve(run=run, actor=actor_of(request)), "Approved")


@require_POST
@role_required(Role.OPERATOR)
def tool_run_deny_view(request: HttpRequest, uid: str) -> HttpResponse:
    """End a run that waits for somebody's yes."""
    run = _run_or_404(request, uid)
    return _done(request, lambda: tool_run_deny(run=run, actor=actor_of(request)), "Denied")


def _done(request: HttpRequest, work: Callable[[], ToolRun], sentence: str) -> HttpResponse:
    try:
        run = work()
    except Refused as refused:
        return _refusal(request, refused)
    response = trigger_client_event(HttpResponse(status=204), "run-changed", {"run": run.uid})
    return trigger_client_event(response, "toast", {"message": sentence, "tone": "good"})


def _refusal(request: HttpRequest, refused: Refused) -> HttpResponse:
    """409 with the sentence for the place beside the button, whatever the API would have answered."""
    return render(request, "sandbox_app/_refusal.html", {"refused": refused}, status=409)


def _run_or_404(request: HttpRequest, uid: str) -> ToolRun:
    found = None if "\0" in uid else runs_visible(actor_of(request)).filter(uid=uid[:32]).first()
    if found is None:
        raise Http404("There is no such run, or it is somebody else's.")
    return found


def _context(request: HttpRequest, run: ToolRun) -> dict[str, Any]:
    actor = actor_of(request)
    files = [(row, artifact_url(row)) for row in run.artifacts.select_related("run")]
    return {
        "run": run,
        "inputs": input_lines(run),
        "result": json_text(run.result) if run.result is not None else "",
        "read_back": json_text(run.limits) if run.limits else "",
        "egress": run.egress,
        "limits": limit_lines(run),
        "moments": timeline(run),
        "images": [one for one in files if one[0].is_image],
        "files": [one for one in files if not one[0].is_image],
        "waits": run.state == RunState.APPROVAL,
        "may_decide": run.state == RunState.APPROVAL and actor.may(Role.OPERATOR),
        "may_cancel": run.live and (actor.may(Role.ADMIN) or run.user_id == (actor.user and actor.user.pk)),
        "may_replay": not run.live and run.tool is not None and actor.may(run.tool.role),
        "records": _records(actor, run),
        "replays": list(run.replays.order_by("-pk")[:5]),
    }


def _records(actor: Actor, run: ToolRun) -> list[AuditRecord]:
    """The run's entries in the audit, for those who may read them."""
    mine = actor.user is not None and run.user_id == actor.user.pk
    return records_of_run(run.uid) if mine or actor.may(Role.ADMIN) else []
