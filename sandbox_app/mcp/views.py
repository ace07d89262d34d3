"""`POST /mcp`: the one endpoint of the Model Context Protocol. API keys with scopes; no session is kept."""

from __future__ import annotations

import json
import secrets
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from sandbox_app.mcp.calls import CALLS, CallKey, call_events
from sandbox_app.mcp.envelope import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Message,
    Rejected,
    message_read,
)
from sandbox_app.mcp.results import complete, initialized, refusal, server_discover, tools_listed
from sandbox_app.models import Tool, ToolRun, ToolSession
from sandbox_app.schema import mcp_tool
from sandbox_app.selectors import runs_visible
from sandbox_app.serializers_runs import session_of
from sandbox_app.services import tool_run_cancel, tool_run_create
from sparkweb.accounts.actor import Actor
from sparkweb.accounts.models import Role
from sparkweb.api import api_actor
from sparkweb.refusal import Refused
from sparkweb.renderers import EventStreamRenderer
from sparkweb.request_threads import thread_return_early

SESSION_HEADER = "Mcp-Session-Id"
TOOL_SESSION_KEY = "sparkweb/session"


class Mcp(APIView):
    """Tools for MCP clients. One message a request; calls answer as a stream, the rest as JSON."""

    required_roles = {"post": Role.VIEWER}  # each tool says which role it needs
    renderer_classes = [JSONRenderer, EventStreamRenderer]

    @extend_schema(exclude=True)
    def post(self, request: Request) -> HttpResponseBase:
        message: Message | None = None
        try:
            if refused := _origin_refusal(request):
                return JsonResponse({"error": refused, "code": "origin_refused"}, status=403)
            message = message_read(
                _body(request), {name.lower(): text for name, text in request.headers.items()}
            )
            return self._answered(request, message)
        except Rejected as rejected:
            # Clients of 2025 take an HTTP error for the end of their session.
            is_modern = message is None or message.is_modern
            return JsonResponse(rejected.to_json(), status=rejected.status if is_modern else 200)

    def _answered(self, request: Request, message: Message) -> HttpResponseBase:
        if message.is_notification:
            _notified(request, message)
            return HttpResponse(status=202)
        if message.method == "tools/call":
            return _called(request, message)
        answer = JsonResponse({"jsonrpc": "2.0", "id": message.id, "result": _result(request, message)})
        if message.method == "initialize":
            answer[SESSION_HEADER] = secrets.token_hex(16)
        return answer


def _body(request: Request) -> Any:
    try:
        return json.loads(request._request.body)
    except (ValueError, RecursionError):
        raise Rejected(PARSE_ERROR, "This is no JSON.") from None


def _origin_refusal(request: Request) -> str | None:
    """Why a browser's page may not call this; None for a program, and for our own pages."""
    origin = request.headers.get("Origin")
    own = f"{request.scheme}://{request.get_host()}"
    if origin is None or origin == own or origin in settings.CSRF_TRUSTED_ORIGINS:
        return None
    return f"Origin {origin[:200]!r} is not {own}."


def _result(request: Request, message: Message) -> dict[str, Any]:
    if message.method == "tools/list":
        return complete(message, tools_listed(message, map(mcp_tool, _tools(api_actor(request)))))
    if message.method == "server/discover" and message.is_modern:
        return complete(message, server_discover())
    if message.method == "initialize" and not message.is_modern:
        return initialized(message.version)
    if message.method == "ping" and not message.is_modern:
        return {}
    raise Rejected(METHOD_NOT_FOUND, f"There is no method {message.method[:80]!r} here.", message.id)


def _tools(actor: Actor) -> list[Tool]:
    """Those that can be run now, and by this caller."""
    return [tool for tool in Tool.objects.all() if tool.usable and actor.may(tool.role)]


def _called(request: Request, message: Message) -> HttpResponseBase:
    """Begin a run and stream its answer. What is refused is a result too: the model reads why."""
    actor = api_actor(request)
    name = message.params.get("name")
    tool = Tool.objects.filter(name=name).first() if isinstance(name, str) and "\0" not in name else None
    if tool is None:
        raise Rejected(INVALID_PARAMS, f"There is no tool {str(name)[:64]!r}.", message.id)
    try:
        run, _ = tool_run_create(
            tool=tool,
            arguments=message.params.get("arguments") or {},
            actor=actor,
            via="mcp",
            session=_tool_session(request, message),
        )
    except Refused as refused:
        result = complete(message, refusal(refused.message))
        return JsonResponse({"jsonrpc": "2.0", "id": message.id, "result": result})
    key = _call_key(request, message.id)
    if key is not None and not message.is_modern:
        CALLS.begun(key, run)
    base = request.build_absolute_uri("/").rstrip("/")
    thread_return_early(request._request)
    return StreamingHttpResponse(
        call_events(run, actor, message, base, key),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", "X-Run": run.uid},
    )


def _tool_session(request: Request, message: Message) -> ToolSession | None:
    """The session that a call names, in `_meta` or by header: whoever has state keeps its handle."""
    told = message.meta.get(TOOL_SESSION_KEY) or request.headers.get("X-Session-Id")
    if not told:
        return None
    try:
        session = session_of(UUID(str(told)))
    except ValueError:
        session = None
    if session is None:
        raise Rejected(INVALID_PARAMS, "There is no such session.", message.id)
    return session


def _notified(request: Request, message: Message) -> None:
    """Act on `notifications/cancelled` of a client of 2025; other notifications ask for nothing."""
    if message.method != "notifications/cancelled" or message.is_modern:
        return
    key = _call_key(request, message.params.get("requestId"))
    uid = CALLS.take(key) if key is not None else None
    actor = api_actor(request)
    run: ToolRun | None = runs_visible(actor).filter(uid=uid).first() if uid else None
    if run is not None:
        tool_run_cancel(run=run, actor=actor, reason="its client cancelled it")


def _call_key(request: Request, request_id: Any) -> CallKey | None:
    """What names a request of a client of 2025: caller, session and id; None without a session."""
    session = request.headers.get(SESSION_HEADER, "")
    if not session or not isinstance(request_id, (str, int)):
        return None
    return (request.user.pk, session[:64], request_id)
