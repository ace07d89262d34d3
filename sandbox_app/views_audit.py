"""Pages of the tool audit: the list, one entry, what a verification found, use over time."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from sandbox_app.audit import record_hash
from sandbox_app.audit_accept import audit_accept
from sandbox_app.audit_checks import check_latest, check_request
from sandbox_app.audit_export import FORMATS, export_answer
from sandbox_app.audit_heads import copy_problems, file_copies, node_copies
from sandbox_app.audit_use import GROUPED, SPANS, audit_use
from sandbox_app.audit_verify import ends_read
from sandbox_app.exceptions import ToolRefused
from sandbox_app.forms_audit import AuditFilterForm
from sandbox_app.models import Outcome, ToolRun
from sandbox_app.models_audit import AuditRecord
from sandbox_app.selectors_audit import (
    FAILED,
    audit_page,
    kinds,
    may_see,
    records_of_run,
    tool_names,
    user_labels,
)
from sparkweb.accounts.models import Role, User
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of

NUMBER_MOST = 2**62
COPIES_LOOKED_AT = 100
PARTS = ("arguments", "policy", "limits", "egress", "artifacts")


@never_cache
@require_safe
@role_required(Role.ADMIN)
def tool_audit(request: HttpRequest) -> HttpResponse:
    """Every entry, newest first, with the state of the chain above."""
    form = AuditFilterForm(request.GET)
    wanted = form.wanted()
    page = audit_page(wanted)
    query = {name: str(text) for name, text in request.GET.items() if text and name != "before"}
    context = {
        "form": form,
        "page": page,
        "wanted": wanted,
        "narrowed": replace(wanted, before=None).narrows,
        "query": urlencode(query) + "&" if query else "",
        "export_query": urlencode(query),
        "kinds": kinds(),
        "outcomes": [(FAILED, "Any failure"), *Outcome.choices],
        "tools": tool_names(),
        "users": sorted({label.partition(" (key ")[0] for label in user_labels()}),
    }
    return render(request, "sandbox_app/audit.html", context | _state())


@never_cache
@require_safe
@role_required(Role.ADMIN)
def tool_audit_state(request: HttpRequest) -> HttpResponse:
    """The state of the chain alone: asked for each second while it is verified."""
    return render(request, "sandbox_app/_audit_state.html", _state())


@require_POST
@role_required(Role.ADMIN)
def tool_audit_verify(request: HttpRequest) -> HttpResponse:
    """Have the chain verified."""
    try:
        check_request(actor_of(request))
    except ToolRefused as refusal:
        messages.error(request, f"{refusal}.")
    if request.headers.get("HX-Request"):
        return render(request, "sandbox_app/_audit_state.html", _state())
    return HttpResponseRedirect(reverse("tool_audit"))


@require_POST
@role_required(Role.ADMIN)
def tool_audit_accept(request: HttpRequest) -> HttpResponse:
    """Accept the chain against what copies of its head say."""
    try:
        reason = request.POST.get("reason", "").replace("\0", "")
        record = audit_accept(actor=actor_of(request), reason=reason)
    except ToolRefused as refusal:
        messages.error(request, f"{refusal}.")
    else:
        messages.success(request, f"Accepted; entry {record.number} says so. Verify it now.")
    return HttpResponseRedirect(reverse("tool_audit"))


@never_cache
@require_safe
def tool_audit_record(request: HttpRequest, number: int) -> HttpResponse:
    """One entry, with its place in the chain; for admins, and for whoever ran it."""
    record = AuditRecord.objects.filter(number=number).first() if number < NUMBER_MOST else None
    user = cast(User, request.user)
    if record is None or not may_see(user, record, admin=user.has_role(Role.ADMIN)):
        raise Http404(f"There is no entry {number}.")
    content = record.content
    context = {
        "record": record,
        "content": content,
        "pretty": _pretty(content) if content else record.body,
        "facts": _facts(content),
        "parts": [(name, _pretty(content[name])) for name in PARTS if content.get(name)],
        "run": ToolRun.objects.filter(uid=record.run_uid).first() if record.run_uid else None,
        "others": [one for one in records_of_run(record.run_uid) if one.number != record.number],
        "holds": record_hash(record) == record.mac,
        "neighbours": _neighbours(record) if user.has_role(Role.ADMIN) else {},
    }
    return render(request, "sandbox_app/audit_record.html", context)


@never_cache
@require_safe
@role_required(Role.ADMIN)
def tool_audit_export(request: HttpRequest) -> HttpResponse:
    """Every entry that matches, as JSON Lines or CSV."""
    form = request.GET.get("format", "jsonl")
    if form not in FORMATS:
        raise Http404("There is no such format; there are jsonl and csv.")
    wanted = replace(AuditFilterForm(request.GET).wanted(), before=None)
    return cast(HttpResponse, export_answer(wanted, form))  # a streaming answer is none by its class


@never_cache
@require_safe
@role_required(Role.ADMIN)
def tool_audit_use(request: HttpRequest) -> HttpResponse:
    """Use and failures over time, by tool and by person."""
    text = request.GET.get("days", "7")
    days = int(text) if text in {str(days) for days, _ in SPANS} else 7
    uses = {by: audit_use(days, by) for by in GROUPED}
    context = {
        "spans": SPANS,
        "days_shown": days,
        "uses": uses,
        "total": uses["tool"]["total"],
        "tables": [("Tools", _totals(uses["tool"]), "tool"), ("People", _totals(uses["user"]), "user")],
    }
    return render(request, "sandbox_app/audit_use.html", context)


def _state() -> dict[str, Any]:
    ends = ends_read()
    copies = node_copies() + file_copies()[-COPIES_LOOKED_AT:]
    against = sorted(copy_problems(copies), key=lambda copy: -copy.number)
    return {
        "ends": ends,
        "check": check_latest(),
        "against": against[0] if against else None,
        "sources": sorted({copy.source for copy in copies}),
    }


def _totals(use: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": line["name"], "runs": sum(line["runs"]), "failed": sum(line["failed"])}
        for line in use["lines"]
    ]


def _facts(content: dict[str, Any]) -> list[tuple[str, str]]:
    """The plain values of a body, for reading; objects and lists stand in the JSON below."""
    return [
        (name.replace("_", " "), "yes" if value is True else "no" if value is False else str(value))
        for name, value in content.items()
        if value not in (None, "") and not isinstance(value, dict | list)
    ]


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _neighbours(record: AuditRecord) -> dict[str, int | None]:
    numbers = AuditRecord.objects.values_list("number", flat=True)
    return {
        "newer": numbers.filter(number__gt=record.number).order_by("number").first(),
        "older": numbers.filter(number__lt=record.number).order_by("-number").first(),
    }
