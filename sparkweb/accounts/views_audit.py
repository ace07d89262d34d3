"""The audit of administrative actions, for admins."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from sparkweb.accounts.models import AuditEntry, Role
from sparkweb.accounts.pages import role_required

PAGE_SIZE = 50


@require_safe
@role_required(Role.ADMIN)
def audit(request: HttpRequest) -> HttpResponse:
    """List audit entries, newest first; filters `text` and `action`."""
    text, action = (
        request.GET.get("text", "").replace("\x00", "").strip(),
        request.GET.get("action", "").replace("\x00", ""),
    )
    entries = AuditEntry.objects.all()
    if text:
        entries = entries.filter(
            Q(actor_label__icontains=text) | Q(target__icontains=text) | Q(action__icontains=text)
        )
    if action:
        entries = entries.filter(action=action)
    filters = {name: value for name, value in (("text", text), ("action", action)) if value}
    context = {
        "page": Paginator(entries, PAGE_SIZE).get_page(request.GET.get("page")),
        "actions": AuditEntry.objects.order_by("action").values_list("action", flat=True).distinct(),
        "text": text,
        "action": action,
        "query": urlencode(filters) + "&" if filters else "",
    }
    return render(request, "accounts/audit.html", context)
