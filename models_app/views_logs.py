"""What nodes send to models_app, signed with their keys."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from models_app.log_archive import chunk_store
from models_app.log_chunks import BODY_LIMIT_BYTES, ChunkInvalid
from sparkweb.node_link.http_views import node_post, refused


@node_post(BODY_LIMIT_BYTES)
def log_chunk(request: HttpRequest, node_name: str) -> HttpResponse:
    """Keep a piece of a container's log. 201: stored, 200: it was there already."""
    try:
        stored = chunk_store(node_name, request.body)
    except ChunkInvalid as error:
        return refused(400, f"{error}.")
    return HttpResponse(status=201 if stored else 200)
