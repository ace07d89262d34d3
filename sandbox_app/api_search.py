"""`POST /api/search`: a search of the web that waits for its end, as older clients know it."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from sandbox_app.api_execute import tool_called
from sandbox_app.following import call_answer
from sandbox_app.job import Ending
from sandbox_app.models import ToolRun
from sandbox_app.services import tool_run_create
from sparkweb.accounts.models import Role
from sparkweb.api import api_actor, refusals
from sparkweb.request_threads import thread_return_early
from sparkweb.strict_json import StrictJSONParser

TOOL = "web_search"


class SearchWrite(serializers.Serializer[Any]):
    """What to look for."""

    query = serializers.CharField(max_length=500)
    max_results = serializers.IntegerField(min_value=1, max_value=20, default=5)


class SearchResultSerializer(serializers.Serializer[Any]):
    """One page that was found."""

    title = serializers.CharField()
    url = serializers.CharField()
    snippet = serializers.CharField(help_text="What the search engine shows of it")
    text = serializers.CharField(required=False, help_text="How the page begins, where it was read")


class SilentEngineSerializer(serializers.Serializer[Any]):
    """A search engine that SearXNG asked in vain."""

    engine = serializers.CharField()
    reason = serializers.CharField()


class SearchAnswerSerializer(serializers.Serializer[Any]):
    """What was found; `error` says in a sentence why nothing was."""

    query = serializers.CharField()
    results = SearchResultSerializer(many=True)
    count = serializers.IntegerField()
    unresponsive_engines = SilentEngineSerializer(many=True)
    error = serializers.CharField(allow_null=True)
    exec_id = serializers.CharField(help_text="The run of web_search that did it")


class Search(APIView):
    """A run of the tool web_search, and what it found."""

    required_roles = {"post": Role.VIEWER}  # the tool itself says which role it needs
    parser_classes = [StrictJSONParser]

    @extend_schema(
        summary="Search the web",
        operation_id="compat_search",
        description="A run of the tool web_search, recorded like any other. `error` is null where the search "
        "was done; blanks may come before the JSON while it lasts.",
        request=SearchWrite,
        responses={200: SearchAnswerSerializer, **refusals(404, 409, 429)},
    )
    def post(self, request: Request) -> StreamingHttpResponse:
        wanted = SearchWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        actor = api_actor(request)
        run, _ = tool_run_create(
            tool=tool_called(TOOL), arguments=dict(wanted.validated_data), actor=actor, via="api"
        )
        thread_return_early(request._request)
        return StreamingHttpResponse(
            call_answer(run, actor, search_answer),
            content_type="application/json",
            headers={"X-Run": run.uid, "Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


async def search_answer(run: ToolRun, ending: Ending) -> dict[str, Any]:
    """What older clients know of a search, and which engines were silent."""
    found = ending.result if isinstance(ending.result, dict) else {}
    kept = ("title", "url", "snippet", "text")
    results = [{name: one[name] for name in kept if name in one} for one in found.get("results") or []]
    return {
        "query": run.arguments.get("query", ""),
        "results": results,
        "count": len(results),
        "unresponsive_engines": found.get("unresponsive_engines") or [],
        "error": None
        if ending.outcome == "ok"
        else ending.reason or f"The search ended as {ending.outcome}.",
        "exec_id": run.uid,
    }
