"""What nodes send to metrics_app, signed with their keys."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from metrics_app.flights import BODY_LIMIT_BYTES, FlightInvalid, flight_store
from sparkweb.node_link.http_views import node_post, refused


@node_post(BODY_LIMIT_BYTES)
def node_flight(request: HttpRequest, node_name: str) -> HttpResponse:
    """Keep the last minutes of a node that went down. 201: stored, 200: they were there already."""
    try:
        stored = flight_store(node_name, request.body)
    except FlightInvalid as error:
        return refused(400, f"{error}.")
    return HttpResponse(status=201 if stored else 200)
