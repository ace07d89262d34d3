"""The list of runs, and a run beside the one that it repeats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from sandbox_app.forms_audit import NUMBER_MOST
from sandbox_app.models import Outcome, RunState, Tool, ToolRun
from sandbox_app.run_compare import Difference, facts_compare, lines_compare
from sandbox_app.selectors import runs_visible
from sandbox_app.selectors_run_list import FAILED, LIVE, VIA, RunListFilter, nodes_of_runs, run_page
from sandbox_app.services import tool_run_replay
from sparkweb.accounts.models import Role, User
from sparkweb.accounts.services import actor_of
from sparkweb.form_fields import MomentField
from sparkweb.refusal import Refused

OUTCOMES = [
    (LIVE, "Not ended"),
    (RunState.APPROVAL.value, "Waits for approval"),
    (FAILED, "Any failure"),
    *Outcome.choices,
]


class RunListForm(forms.Form):
    """The query string of the list; what makes no sense is left out."""

    text = forms.CharField(max_length=200, required=False)
    tool = forms.CharField(max_length=64, required=False)
    outcome = forms.ChoiceField(choices=[("", ""), *OUTCOMES], required=False)
    user = forms.CharField(max_length=160, required=False)
    via = forms.ChoiceField(choices=[("", ""), *((name, name) for name in VIA)], required=False)
    node = forms.CharField(max_length=40, required=False)
    session = forms.UUIDField(required=False)
    since = MomentField()
    until = MomentField(whole_day=True)
    before = forms.IntegerField(min_value=1, max_value=NUMBER_MOST, required=False)

    def wanted(self) -> RunListFilter:
        """What was asked for."""
        self.is_valid()
        known = {name: value for name, value in self.cleaned_data.items() if value is not None}
        if "session" in known:
            known["session"] = str(known["session"])
        return RunListFilter(**known)


@never_cache
@require_safe
def tool_runs(request: HttpRequest) -> HttpResponse:
    """Runs that the visitor may see, newest first."""
    form = RunListForm(request.GET)
    wanted, actor = form.wanted(), actor_of(request)
    admin = actor.may(Role.ADMIN)
    query = {name: str(text) for name, text in request.GET.items() if text and name != "before"}
    context = {
        "form": form,
        "wanted": wanted,
        "page": run_page(actor, wanted if admin else replace(wanted, user="")),
        "narrowed": wanted.narrows,
        "query": urlencode(query) + "&" if query else "",
        "outcomes": OUTCOMES,
        "tools": Tool.objects.values_list("name", flat=True),
        "nodes": nodes_of_runs(),
        "ways": VIA,
        "users": User.objects.order_by("username").values_list("username", flat=True) if admin else [],
    }
    return render(request, "sandbox_app/runs.html", context)


@require_POST
def tool_run_again(request: HttpRequest, uid: str) -> HttpResponse:
    """Run a recorded call again, and show both side by side."""
    run = _run(request, uid)
    try:
        replay = tool_run_replay(run=run, actor=actor_of(request), via="page")
    except Refused as refusal:
        messages.error(request, str(refusal))
        return HttpResponseRedirect(reverse("tool_run_compare", args=[run.uid]))
    return HttpResponseRedirect(reverse("tool_run_compare", args=[replay.uid]))


@never_cache
@require_safe
def tool_run_compare(request: HttpRequest, uid: str) -> HttpResponse:
    """A run beside the one that it repeats, or beside `?with=`."""
    run = _run(request, uid)
    wanted = request.GET.get("with", "")
    other = _run(request, wanted) if wanted else _original(request, run)
    context: dict[str, Any] = {"run": run, "other": other, "replays": run.replays.order_by("-pk")[:10]}
    if other is not None:
        context |= {
            "sides": [("Before", other), ("Again", run)],
            "texts": [
                ("Output", lines_compare(other.stdout, run.stdout)),
                ("Error output", lines_compare(other.stderr, run.stderr)),
            ],
            "differences": differences(other, run),
            "same": not run.live and (other.stdout, other.stderr) == (run.stdout, run.stderr),
        }
    return render(request, "sandbox_app/run_compare.html", context)


def differences(left: ToolRun, right: ToolRun) -> list[Difference]:
    """Return what differs in how two runs were bounded and how they ended, but not in what they printed."""
    return facts_compare(_facts(left), _facts(right))


def _facts(run: ToolRun) -> dict[str, object]:
    return {
        "tool": run.tool_name,
        "tool digest": run.tool_digest[:16],
        "arguments": run.arguments_digest[:16],
        "node": run.node_name,
        "image": run.image_digest,
        "outcome": run.get_outcome_display() if run.outcome else "",
        "exit code": run.exit_code,
        "signal": run.signal,
        "policy": run.policy,
        "limits": run.limits,
    }


def _original(request: HttpRequest, run: ToolRun) -> ToolRun | None:
    if run.replay_of_id is None:
        return None
    return runs_visible(actor_of(request)).filter(pk=run.replay_of_id).first()


def _run(request: HttpRequest, uid: str) -> ToolRun:
    run = None if "\0" in uid else runs_visible(actor_of(request)).filter(uid=uid).first()
    if run is None:
        raise Http404("There is no such run.")
    return run
