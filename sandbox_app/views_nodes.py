"""What nodes ask of web for their runs, signed with their keys (docs/sandbox-protocol.md)."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from sandbox_app.artifact_store import (
    HEADER_BYTES,
    PIECE_BYTES,
    PieceElsewhere,
    PieceRefused,
    piece_store,
)
from sandbox_app.dispatch import arguments_of
from sandbox_app.exceptions import ToolRefused
from sandbox_app.models import ToolRun
from sandbox_app.registry import folder_tar
from sparkweb.node_link.http_views import node_post, refused
from sparkweb.sealed import SealBroken

QUESTION_BYTES = 1000


@node_post(QUESTION_BYTES)
def tool_arguments(request: HttpRequest, node_name: str) -> HttpResponse:
    """The arguments of a live run of this node, as JSON."""
    question = _question(request)
    uid, generation = question.get("run"), question.get("generation")
    if not isinstance(uid, str) or not isinstance(generation, int):
        return refused(400, 'The body must be like {"run": uid, "generation": 1}.')
    rows = ToolRun.objects.filter(uid=uid[:16].replace("\0", ""), node_name=node_name, live=True)
    run = rows.filter(generation=min(generation, 2**31 - 1)).first()
    if run is None:
        return refused(404, "No such run of this node is live.")
    try:
        return JsonResponse(arguments_of(run))
    except SealBroken as error:
        return refused(409, f"{error}.")


@node_post(QUESTION_BYTES)
def tool_folder(request: HttpRequest, _node_name: str) -> HttpResponse:
    """A tar of a tool's folder, of exactly the digest that is asked for."""
    digest = _question(request).get("digest")
    try:
        return HttpResponse(folder_tar(str(digest)), content_type="application/x-tar")
    except ToolRefused as error:
        return refused(404, error.message)


@node_post(PIECE_BYTES + HEADER_BYTES)
def tool_artifacts(request: HttpRequest, node_name: str) -> HttpResponse:
    """A piece of a file that a run left. 201: the file is whole, 200: go on, 409: another is expected."""
    try:
        artifact = piece_store(node_name, request.body)
    except PieceElsewhere as error:
        return JsonResponse({"error": f"{error}.", "offset": error.offset}, status=409)
    except PieceRefused as error:
        return refused(error.status, f"{error}.")
    if artifact is None:
        return JsonResponse({})
    return JsonResponse({"artifact": artifact.uid}, status=201)


def _question(request: HttpRequest) -> dict[str, Any]:
    try:
        question = json.loads(request.body)
    except (ValueError, RecursionError):
        return {}
    return question if isinstance(question, dict) else {}
