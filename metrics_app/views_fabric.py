"""The page of the links between nodes, and of their tests."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from metrics_app.fabric.selectors import fabric_links, fabric_pairs, rate_rows
from metrics_app.fabric.services import FabricRefused, fabric_test_create, place_of
from metrics_app.fabric.verdict import REFERENCE_GBITS
from metrics_app.models import Node
from metrics_app.models_fabric import FabricTest, FabricTestState
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of

ROWS = 20
NEWEST = 200


@never_cache
@require_safe
def fabric(request: HttpRequest) -> HttpResponse:
    """Each node's links, the newest test of each pair, all tests, and the form of a new one."""
    nodes = [node for node in Node.objects.all() if any(place_of(node).addresses)]
    tests = FabricTest.objects.select_related("requested_by")
    context = _running() | {
        "sections": fabric_links(),
        "nodes": nodes,
        "can_test": len(nodes) > 1,
        "newest": [{"test": test, "rows": rate_rows(test)} for test in fabric_pairs(list(tests[:NEWEST]))],
        "page": Paginator(tests.filter(state=FabricTestState.DONE), ROWS).get_page(request.GET.get("page")),
        "reference": REFERENCE_GBITS,
    }
    return render(request, "metrics_app/fabric.html", context)


@never_cache
@require_safe
def fabric_running(request: HttpRequest) -> HttpResponse:
    """What runs now, asked for every two seconds; the whole page again once a test has ended."""
    context = _running()
    if request.GET.get("running") != context["running_mark"]:
        return HttpResponseClientRedirect(reverse("fabric"))
    return render(request, "metrics_app/_fabric_running.html", context)


def _running() -> dict[str, Any]:
    running = list(FabricTest.objects.filter(state=FabricTestState.RUNNING))
    return {"running": running, "running_mark": "-".join(test.uid for test in running)}


@never_cache
@require_safe
def fabric_test(request: HttpRequest, uid: str) -> HttpResponse:
    """One test: its verdict and what each step found."""
    test = get_object_or_404(FabricTest.objects.select_related("requested_by"), uid=uid)
    context = {"test": test, "rows": rate_rows(test), "reference": REFERENCE_GBITS}
    return render(request, "metrics_app/fabric_test.html", context)


@require_POST
@role_required(Role.OPERATOR)
def fabric_test_start(request: HttpRequest) -> HttpResponse:
    """Begin a test between `first` and `second`."""
    names = [request.POST.get(word, "").replace("\0", "") for word in ("first", "second")]
    found = {node.name: node for node in Node.objects.filter(name__in=names)}
    try:
        fabric_test_create(
            nodes=[found[name] for name in names if name in found],
            actor=actor_of(request),
            force_reason=request.POST.get("force_reason", ""),
        )
    except FabricRefused as refused:
        context = {"refused": refused, "forceable": refused.code == "model_serves"}
        return render(request, "metrics_app/_fabric_refusal.html", context, status=409)
    return HttpResponseClientRedirect(reverse("fabric"))
