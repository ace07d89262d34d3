"""Pages about nodes and their figures."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from metrics_app.forms import NodeForm
from metrics_app.handover import handover_make
from metrics_app.models import Node
from metrics_app.selectors import node_snapshots, report_shown
from metrics_app.services import node_create
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of


@never_cache
@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """Every node with its newest figures; the socket takes over from there."""
    return render(request, "metrics_app/dashboard.html", {"sections": _sections(list(Node.objects.all()))})


@require_safe
def nodes(request: HttpRequest) -> HttpResponse:
    return render(request, "metrics_app/nodes.html", {"nodes": Node.objects.all()})


@never_cache
@require_safe
def node(request: HttpRequest, name: str) -> HttpResponse:
    """One node: its figures as on the dashboard, its addresses, its launches."""
    row = get_object_or_404(Node, name=name)
    return render(request, "metrics_app/node.html", _sections([row])[0])


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.ADMIN)
def node_new(request: HttpRequest) -> HttpResponse:
    """Add a node; the answer to POST shows its private key this once."""
    form = NodeForm(request.POST or None)
    context: dict[str, Any] = {"form": form}
    if request.method == "POST" and form.is_valid():
        row, private_key = node_create(actor=actor_of(request), **form.cleaned_data)
        messages.success(request, f"{row} is added. Give it its key now.")
        context |= {"node": row, "handover": handover_make(node=row.name, private_key=private_key)}
    return render(request, "metrics_app/node_new.html", context)


def _sections(rows: list[Node]) -> list[dict[str, Any]]:
    """Return what the template of a node needs: the row and its newest report, less what no page shows."""
    snapshots = node_snapshots([row.name for row in rows])
    return [
        {"node": row, "snapshot": _shown(row, snapshots[row.name]), "snapshot_id": f"snapshot-{row.name}"}
        for row in rows
    ]


def _shown(row: Node, snapshot: dict[str, Any] | None) -> dict[str, Any] | None:
    if snapshot is None:
        return None
    report = report_shown(snapshot["report"])
    return {
        "type": "snapshot",
        "node": row.name,
        "received_at": snapshot["received_at"],
        "seq": snapshot.get("seq"),
        "report": report,
        "verdicts": snapshot.get("verdicts"),
    }
