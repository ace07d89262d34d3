"""The page of self-tests."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event
from kombu.exceptions import OperationalError

from metrics_app.models import Node
from sandbox_app.exceptions import ToolRefused
from sandbox_app.models_selftest import SelfTest
from sandbox_app.selftest.services import rows_total, selftest_create, selftest_fail, selftests_tidy
from sandbox_app.tasks import selftest_carry_out
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of


@never_cache
@require_safe
@role_required(Role.ADMIN)
def tool_selftest(request: HttpRequest) -> HttpResponse:
    """The newest self-test of each node, and a button for another one."""
    selftests_tidy()
    context = _context() | {"nodes": Node.objects.order_by("name"), "total": rows_total()}
    return render(request, "sandbox_app/selftest.html", context)


@never_cache
@require_safe
@role_required(Role.ADMIN)
def tool_selftest_list(request: HttpRequest) -> HttpResponse:
    """The self-tests alone, fetched again when one moved."""
    return render(request, "sandbox_app/_selftests.html", _context())


@require_POST
@role_required(Role.ADMIN)
def tool_selftest_start(request: HttpRequest) -> HttpResponse:
    """Begin one."""
    node = get_object_or_404(Node, name=request.POST.get("node", "").replace("\0", ""))
    try:
        test, made = selftest_create(node=node, actor=actor_of(request))
    except ToolRefused as refused:
        return render(request, "models_app/_refusal.html", {"refused": refused}, status=409)
    if made:
        try:
            selftest_carry_out.apply_async((test.uid,), retry=False)
        except OperationalError:
            selftest_fail(test, "Redis does not answer, so nobody could be asked.")
            away = ToolRefused("Redis does not answer; the self-test did not begin.", "redis_down")
            return render(request, "models_app/_refusal.html", {"refused": away}, status=409)
    words = f"The sandbox of {node} is attacked" if made else "A self-test is under way already"
    response = trigger_client_event(HttpResponse(status=204), "toast", {"message": words, "tone": "good"})
    return trigger_client_event(response, "sandbox-selftest-changed", {})


def _context() -> dict[str, Any]:
    newest: dict[str, SelfTest] = {}
    for test in SelfTest.objects.select_related("requested_by")[:50]:
        newest.setdefault(test.node_name, test)
    for test in newest.values():
        test.rows.sort(key=lambda row: int(row["number"]))
    return {"tests": list(newest.values())}
