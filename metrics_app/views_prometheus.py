"""`/metrics` and `/metrics/known`: for Prometheus, with an API key or from a listed address."""

from __future__ import annotations

import ipaddress
from functools import cache
from itertools import chain

from django.conf import settings
from django.http import HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework.request import Request
from rest_framework.views import APIView

from metrics_app import prometheus
from metrics_app.models import Node
from metrics_app.prometheus.known import families_known
from metrics_app.prometheus.own import families_own
from metrics_app.prometheus.page import NodeView, page_text
from metrics_app.selectors import node_snapshots
from sparkweb.accounts.permissions import RolePermission
from sparkweb.env import EnvironmentInvalid


@cache
def allowed_networks() -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """SPARKWEB_METRICS_ALLOW as networks. Raises EnvironmentInvalid for what is no address."""
    try:
        return tuple(ipaddress.ip_network(word, strict=False) for word in settings.METRICS_ALLOW)
    except ValueError as error:
        raise EnvironmentInvalid(
            f"SPARKWEB_METRICS_ALLOW={','.join(settings.METRICS_ALLOW)!r}: {error}"
        ) from None


class ScrapePermission(RolePermission):
    """A viewer's session or key with the scope read; a listed address needs neither."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        try:
            address = ipaddress.ip_address(request.META.get("REMOTE_ADDR") or "")
        except ValueError:
            address = None
        if address is not None and any(address in network for network in allowed_networks()):
            return True
        return super().has_permission(request, view)


class Scrape(APIView):
    """What SparkWeb knows, under its own names."""

    permission_classes = [ScrapePermission]
    throttle_classes = ()
    schema = None

    def get(self, _request: Request) -> HttpResponse:
        nodes = nodes_now()
        families = chain(families_own(nodes), *(source(nodes) for source in prometheus.SOURCES))
        return HttpResponse(page_text(families), content_type=CONTENT_TYPE_LATEST)


class ScrapeKnown(Scrape):
    """The same machines under the names of dcgm-exporter and node_exporter."""

    def get(self, _request: Request) -> HttpResponse:
        return HttpResponse(page_text(families_known(nodes_now())), content_type=CONTENT_TYPE_LATEST)


def nodes_now() -> list[NodeView]:
    """All nodes with their newest reports; old figures are not told as if they were new."""
    rows = list(Node.objects.all())
    snapshots = node_snapshots([row.name for row in rows])
    views = []
    for row in rows:
        fresh = (snapshots[row.name] if row.status == "online" else None) or {}
        views.append(NodeView(row.name, row.status, fresh.get("report") or {}, fresh.get("verdicts") or {}))
    return views
