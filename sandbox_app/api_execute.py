"""`POST /api/execute/{tool}`: a call that waits for its end, as older clients know it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from sandbox_app.exceptions import ToolUnknown
from sandbox_app.following import call_answer, caller_left
from sandbox_app.models import Tool, ToolSession
from sandbox_app.serializers_runs import ExecuteSerializer, ExecuteWrite, session_of
from sandbox_app.services import KEY_MOST, tool_run_create
from sparkweb.accounts.models import Role
from sparkweb.api import NotFound, api_actor, refusals
from sparkweb.request_threads import thread_return_early
from sparkweb.strict_json import StrictJSONParser

SESSION = OpenApiParameter(
    "X-Session-Id", str, OpenApiParameter.HEADER, description="The session, where the body names none."
)
KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="The same key twice is one run; the second call gets its answer.",
)


class Execute(APIView):
    """Runs a tool and answers when it has ended, however it did."""

    required_roles = {"post": Role.VIEWER}  # the tool itself says which role it needs
    parser_classes = [StrictJSONParser]

    @extend_schema(
        summary="Run a tool and wait",
        operation_id="compat_execute",
        description="200 however the run ended: `success` and `outcome` say how. Blanks may come before the "
        "JSON while it lasts. A caller that leaves takes the run along, unless `detached`.",
        parameters=[SESSION, KEY],
        request=ExecuteWrite,
        responses={200: ExecuteSerializer, **refusals(404, 409, 429)},
    )
    def post(self, request: Request, tool: str) -> StreamingHttpResponse:
        wanted = ExecuteWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        data = wanted.validated_data
        actor = api_actor(request)
        run, _ = tool_run_create(
            tool=tool_called(tool),
            arguments=data["args"],
            actor=actor,
            via="api",
            session=session_wanted(data["session_id"] or request.headers.get("X-Session-Id")),
            idempotency_key=key_of(request, data["idempotency_key"]),
            detached=data["detached"],
        )
        thread_return_early(request._request, lambda: caller_left(run, actor))
        return StreamingHttpResponse(
            call_answer(run, actor),
            content_type="application/json",
            headers={"X-Run": run.uid, "Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


def tool_called(name: str) -> Tool:
    """The tool of a name. Raises NotFound."""
    found = None if "\0" in name else Tool.objects.filter(name=name[:64]).first()
    if found is None:
        raise NotFound(f"There is no tool {name[:64]!r}.")
    return found


def session_wanted(told: Any) -> ToolSession | None:
    """The session that a call names, or None. Raises ValidationError for what is no id, ToolUnknown."""
    if told is None or told == "":
        return None
    try:
        uid = UUID(str(told))
    except ValueError:
        raise ValidationError(
            {"session": ["A session id is a UUID, as POST /api/sessions gave it."]}
        ) from None
    session = session_of(uid)
    if session is None:
        raise ToolUnknown("There is no such session.", "session_unknown")
    return session


def key_of(request: Request, told: str) -> str:
    """The idempotency key of body or header. Raises ValidationError for one that cannot be kept."""
    key: str = told or request.headers.get("Idempotency-Key", "")
    if len(key) > KEY_MOST or not key.isprintable():
        raise ValidationError({"idempotency_key": [f"At most {KEY_MOST} printable characters."]})
    return key
