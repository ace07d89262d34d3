"""Views that nodes call with their key, and nobody else. docs/architecture.md, "Bytes from nodes"."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from sparkweb.accounts.models import NodeKey
from sparkweb.node_link.http_auth import NONCE_KEPT_SECONDS, TIME, Proof, ProofInvalid
from sparkweb.node_link.signatures import public_key_load
from sparkweb.shared_streams import shared_streams
from sparkweb.streams import StreamsDown

NodeView = Callable[[HttpRequest, str], HttpResponse]


def node_post(limit_bytes: int) -> Callable[[NodeView], Callable[[HttpRequest], HttpResponse]]:
    """Make a view of POST that only nodes may call; it gets the request and the node's name.

    Bodies over `limit_bytes` are refused unread.
    """

    def decorate(view: NodeView) -> Callable[[HttpRequest], HttpResponse]:
        @csrf_exempt
        @require_POST
        @wraps(view)
        def checked(request: HttpRequest) -> HttpResponse:
            length = request.META.get("CONTENT_LENGTH") or ""
            if not length.isdigit() or int(length) > limit_bytes:
                return refused(413, f"The body must tell its length, at most {limit_bytes} bytes.")
            try:
                proof = Proof.of(request.headers)
            except ProofInvalid as error:
                return refused(401, f"Only nodes may send this: {error}.")
            return _unproven(request, proof) or view(request, proof.node)

        checked.checks_node = True  # type: ignore[attr-defined]  # LoginEverywhereMiddleware lets it through
        return checked

    return decorate


def refused(status: int, sentence: str) -> HttpResponse:
    """Answer a node with what is wrong."""
    return JsonResponse({"error": sentence}, status=status)


def _unproven(request: HttpRequest, proof: Proof) -> HttpResponse | None:
    """Answer what proves nothing; None for a request that its node has really made, for the first time."""
    key = NodeKey.objects.filter(node_name=proof.node, revoked_at=None).first()
    method, target = request.method or "", request.get_full_path()
    if key is None or not proof.holds(public_key_load(key.public_key), method, target, request.body):
        return refused(401, "The signature is not that of a node's key.")
    now = time.time()
    if not proof.is_timely(now):
        answer = refused(401, "The request was signed at another time than now.")
        answer[TIME] = str(int(now))
        return answer
    try:
        if not shared_streams().claim(f"nonce:{proof.node}:{proof.nonce}", NONCE_KEPT_SECONDS):
            return refused(401, "This request was sent before.")
    except StreamsDown:
        return refused(503, "Redis does not answer; send it again later.")
    return None
