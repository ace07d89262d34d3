"""Pages about tools: all of them, one, and what an admin decides."""

from __future__ import annotations

import json
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from sandbox_app.exceptions import ArgumentsInvalid
from sandbox_app.forms_tools import ToolDecisionForm
from sandbox_app.forms_try import TryForm
from sandbox_app.models import Tool
from sandbox_app.registry import tools_load
from sandbox_app.schema import json_schema, mcp_tool, openai_function
from sandbox_app.selectors_tools import limit_rows, tool_cards, tool_of, tool_runs_newest
from sandbox_app.services import tool_run_create
from sandbox_app.tool_changes import tool_change, tool_forget
from sparkweb.accounts.models import Role, User
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of
from sparkweb.refusal import Refused


@never_cache
@require_safe
def tools(request: HttpRequest) -> HttpResponse:
    """Every tool with its state and its newest run."""
    return render(
        request,
        "sandbox_app/tools.html",
        {"cards": tool_cards(actor_of(request)), "own_folder": settings.TOOLS_DIR},
    )


@never_cache
@require_safe
def tool(request: HttpRequest, name: str) -> HttpResponse:
    """One tool: what it is, what it takes, what bounds it, how programs call it."""
    return _page(request, _tool(name))


@require_POST
@role_required(Role.ADMIN)
def tools_reload(request: HttpRequest) -> HttpResponse:
    """Read every tool from disk again."""
    report = tools_load(actor_of(request))
    tell = messages.warning if report.refused else messages.success
    tell(request, report.sentence)
    return HttpResponseRedirect(reverse("tools"))


@never_cache
@require_POST
@role_required(Role.ADMIN)
def tool_change_view(request: HttpRequest, name: str) -> HttpResponse:
    """Save what an admin decides; the page again where something does not fit."""
    row = _tool(name)
    form = ToolDecisionForm(request.POST, instance=row)
    if form.is_valid():
        tool_change(tool=row, actor=actor_of(request), changes=form.changes())
        messages.success(request, f"{row.name} is saved; runs from now on are bound by it.")
        return HttpResponseRedirect(reverse("tool", args=[row.name]))
    return _page(request, row, form)


@require_POST
@role_required(Role.ADMIN)
def tool_forget_view(request: HttpRequest, name: str) -> HttpResponse:
    """Drop the row of a tool whose folder is gone."""
    row = _tool(name)
    tool_forget(tool=row, actor=actor_of(request))
    messages.success(request, f"{row.name} is forgotten; the record of its runs stays.")
    return HttpResponseRedirect(reverse("tools"))


@never_cache
@require_POST
@role_required(Role.OPERATOR)
def tool_try(request: HttpRequest, name: str) -> HttpResponse:
    """Run a tool with what was filled in; the page again, with the reasons, where it is refused."""
    row = _tool(name)
    form = TryForm(row, cast(User, request.user), request.POST)
    if form.is_valid():
        try:
            run, _ = tool_run_create(
                tool=row,
                arguments=form.arguments(),
                actor=actor_of(request),
                via="page",
                session=form.cleaned_data.get("session"),
                idempotency_key=form.cleaned_data["key"],
                detached=True,  # nobody holds a connection: the page is another request
            )
        except ArgumentsInvalid as refused:
            form.add_error(None, refused.problems)
        except Refused as refused:
            form.add_error(None, refused.message)
        else:
            return HttpResponseRedirect(reverse("tool_run", args=[run.uid]))
    return _page(request, row, try_form=form)


def _page(
    request: HttpRequest,
    row: Tool,
    form: ToolDecisionForm | None = None,
    try_form: TryForm | None = None,
) -> HttpResponse:
    user = cast(User, request.user)
    context = {
        "may_try": row.usable and user.has_role(row.role),
        "try_form": try_form or TryForm(row, user, example=_example(row, request.GET.get("example", ""))),
        "tool": row,
        "limits": limit_rows(row),
        "runs": tool_runs_newest(row, actor_of(request)),
        "parameters": row.definition.get("parameters") or [],
        "examples": [
            {"description": example.get("description", ""), "text": _pretty(example.get("input"))}
            for example in row.definition.get("examples") or []
        ],
        "forms": [
            ("openai", "OpenAI function", _pretty(openai_function(row))),
            ("mcp", "MCP tool", _pretty(mcp_tool(row))),
            ("schema", "JSON Schema", _pretty(json_schema(row.definition))),
        ],
        "form": form or ToolDecisionForm(instance=row),
    }
    return render(request, "sandbox_app/tool.html", context)


def _example(row: Tool, number: str) -> dict[str, Any] | None:
    """The arguments of the example with this number, from 1; None for what is none."""
    examples = row.definition.get("examples") or []
    place = int(number) if number.isdecimal() and len(number) < 4 else 0
    return dict(examples[place - 1]["input"]) if 0 < place <= len(examples) else None


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _tool(name: str) -> Tool:
    row = tool_of(name)
    if row is None:
        raise Http404(f"There is no tool {name[:64]!r}.")
    return row
