"""History on a page: any span of any series of a node, a GPU or a model, with what happened meanwhile."""

from __future__ import annotations

import time
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from metrics_app.flights import flight_end, flight_page
from metrics_app.history.panels import panels_make, tabs
from metrics_app.history.query import series_list
from metrics_app.models import FlightRecord, Node


@never_cache
@require_safe
def flight(request: HttpRequest, name: str, pk: int) -> HttpResponse:
    """The last minutes of a node before it went down without warning."""
    row = get_object_or_404(FlightRecord, node_name=name, pk=pk)
    context = {"flight": row, "page": flight_page(row), "end": flight_end(row)}
    return render(request, "metrics_app/flight.html", context)


RANGES = (
    (900, "15 min"),
    (3_600, "1 h"),
    (6 * 3_600, "6 h"),
    (86_400, "1 day"),
    (7 * 86_400, "1 week"),
    (30 * 86_400, "30 days"),
    (365 * 86_400, "1 year"),
    (730 * 86_400, "2 years"),
)
COMPARISONS = ((0, "Nothing"), (86_400, "The day before"), (7 * 86_400, "The week before"))


@never_cache
@require_safe
def node_history(request: HttpRequest, name: str) -> HttpResponse:
    """The charts of one node; `tab`, `subject` and `with` (another node) choose what is drawn."""
    node = get_object_or_404(Node, name=name)
    others = Node.objects.exclude(pk=node.pk)
    other = others.filter(name=request.GET.get("with", "").replace("\0", "")).first()
    rows = series_list(node.name)
    known = tabs(rows)
    tab = request.GET.get("tab", "overview")
    if tab not in dict(known):
        tab = "overview"
    subjects = sorted({row["subject"] for row in rows if row["scope"] == tab and row["subject"]})
    subject = request.GET.get("subject", "")
    if subject not in subjects:
        subject = ""
    context: dict[str, Any] = {
        "node": node,
        "others": others,
        "other": other,
        "tabs": known,
        "tab": tab,
        "subjects": subjects,
        "subject": subject,
        "ranges": RANGES,
        "comparisons": COMPARISONS,
        "flights": FlightRecord.objects.filter(node_name=node.name).defer("data")[:5],
        "page": {
            "nodes": [node.name, *([other.name] if other else [])],
            "panels": [panel.to_json() for panel in panels_make(rows, tab, subject)],
            "now": time.time(),
            "model": subject if tab == "model" else "",
        },
    }
    return render(request, "metrics_app/history.html", context)
