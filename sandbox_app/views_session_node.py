"""What nodes fetch and post for questions about a session's files, signed with their keys."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse

from sandbox_app.session_files import EXCHANGE
from sandbox_app.session_wire import BODY_LIMIT_BYTES, AnswerInvalid, answer_read
from sparkweb.node_link.http_views import node_post, refused


@node_post(1000)
def node_session_body(request: HttpRequest, node_name: str) -> HttpResponse:
    """The bytes to be written, for the node that was asked to write them, while somebody waits for it."""
    try:
        uid = json.loads(request.body)["request"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return refused(400, "The body must be JSON with a request.")
    body = EXCHANGE.body(node_name, uid) if isinstance(uid, str) else None
    if body is None:
        return refused(404, "Nobody waits for this any more.")
    return HttpResponse(body, content_type="application/octet-stream")


@node_post(BODY_LIMIT_BYTES)
def node_session_answer(request: HttpRequest, node_name: str) -> HttpResponse:
    """What a node did, with the bytes it read. 200: somebody waited, 410: nobody does."""
    try:
        answer = answer_read(request.body)
    except AnswerInvalid as error:
        return refused(400, f"{error}.")
    return HttpResponse(status=200 if EXCHANGE.answer(node_name, answer) else 410)
