"""What nodes send of their transcripts, signed with their keys."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse

from sparkweb.node_link.http_views import node_post, refused
from transcripts_app.node_store import (
    NodeRefused,
    PieceElsewhere,
    files_present,
    piece_take,
    source_wanted,
    sources_told,
)
from transcripts_app.wire import HEADER_BYTES, PIECE_BYTES, Piece, PieceInvalid, told_of

LIST_BYTES = 4 * 2**20


@node_post(64 * 1024)
def transcript_node_sources(request: HttpRequest, node_name: str) -> HttpResponse:
    """Which folders a node has; which of them are wanted."""
    told = told_of(request.body).get("sources")
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        return refused(400, 'The body must be like {"sources": [{"path": "/…", "problem": ""}]}.')
    return JsonResponse({"sources": sources_told(node_name, told)})


@node_post(LIST_BYTES)
def transcript_node_present(request: HttpRequest, node_name: str) -> HttpResponse:
    """Which files a folder of a node has; how much of each is here."""
    told = told_of(request.body)
    files = told.get("files")
    if not isinstance(files, list):
        return refused(400, 'The body must be like {"source": "/…", "files": []}.')
    try:
        source = source_wanted(node_name, str(told.get("source")))
    except NodeRefused as error:
        return refused(error.status, str(error))
    return JsonResponse({"files": files_present(source, files, complete=told.get("complete") is True)})


@node_post(PIECE_BYTES + HEADER_BYTES)
def transcript_node_piece(request: HttpRequest, node_name: str) -> HttpResponse:
    """A piece of a file. 409: another is expected, the one at `held`, or the file from its beginning."""
    try:
        piece, data = Piece.read(request.body)
        held = piece_take(source_wanted(node_name, piece.source), piece, data)
    except PieceInvalid as error:
        return refused(400, f"{error}.")
    except PieceElsewhere as error:
        return JsonResponse({"error": f"{error}.", "held": error.held}, status=409)
    except NodeRefused as error:
        return refused(error.status, str(error))
    return JsonResponse({"held": held})
