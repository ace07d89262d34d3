"""Tools: `/api/tools`, `/api/tools-openai`, `/api/reload`; paths and fields as clients have known them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sandbox_app.models import Tool
from sandbox_app.registry import tools_load
from sandbox_app.schema import json_schema, openai_function
from sandbox_app.selectors_tools import tool_of, tools_usable
from sandbox_app.tool_changes import tool_change
from sandbox_app.toolfile import policy_of
from sparkweb.accounts.models import Role
from sparkweb.api import NotFound, api_actor, refusals
from sparkweb.env import FALSE, TRUE

STRICT = OpenApiParameter(
    "strict", bool, description="Functions in OpenAI's strict form, where they have one."
)


class ToolSerializer(serializers.ModelSerializer[Tool]):
    """A tool: what it takes, what bounds it, and whether it can be run now."""

    parameters = serializers.SerializerMethodField()
    examples = serializers.SerializerMethodField()
    instructions = serializers.SerializerMethodField()
    input_schema = serializers.SerializerMethodField()
    limits = serializers.SerializerMethodField()
    usable = serializers.BooleanField()
    role = serializers.CharField(read_only=True)

    class Meta:
        model = Tool
        fields = ["name", "description", "version", "enabled", "usable", "problem", "missing", "role",
                  "approval", "parallel_limit", "parameters", "examples", "instructions", "input_schema",
                  "limits", "overrides", "digest", "loaded_at"]  # fmt: skip
        read_only_fields = fields

    def get_parameters(self, tool: Tool) -> list[dict[str, Any]]:
        return list(tool.definition.get("parameters") or [])

    def get_examples(self, tool: Tool) -> list[dict[str, Any]]:
        return list(tool.definition.get("examples") or [])

    def get_instructions(self, tool: Tool) -> str:
        return str(tool.definition.get("instructions") or "")

    def get_input_schema(self, tool: Tool) -> dict[str, Any]:
        return json_schema(tool.definition)

    def get_limits(self, tool: Tool) -> dict[str, Any]:
        return vars(policy_of(tool.definition, tool.overrides))


class ToolChangeSerializer(serializers.Serializer[Any]):
    """What an admin decides over the TOOL.md; null gives a decision back to it."""

    enabled = serializers.BooleanField(required=False, allow_null=True)
    approval = serializers.BooleanField(required=False, allow_null=True)
    role = serializers.CharField(required=False, allow_null=True)
    parallel = serializers.IntegerField(required=False, allow_null=True)
    timeout_seconds = serializers.IntegerField(required=False, allow_null=True)
    memory_bytes = serializers.IntegerField(required=False, allow_null=True)
    cpu_percent = serializers.IntegerField(required=False, allow_null=True)
    egress = serializers.ListField(child=serializers.CharField(), required=False, allow_null=True)


class ToolReloadSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    tools = serializers.ListField(child=serializers.CharField())
    added = serializers.ListField(child=serializers.CharField())
    changed = serializers.ListField(child=serializers.CharField())
    missing = serializers.ListField(child=serializers.CharField())
    refused = serializers.DictField(child=serializers.CharField(), help_text="Why each was refused, by name.")


class Tools(APIView):
    @extend_schema(
        summary="List tools", operation_id="tools", responses={200: ToolSerializer(many=True), **refusals()}
    )
    def get(self, request: Request) -> Response:
        return Response(ToolSerializer(Tool.objects.all(), many=True).data)


class ToolDetail(APIView):
    @extend_schema(summary="One tool", operation_id="tool", responses={200: ToolSerializer, **refusals(404)})
    def get(self, request: Request, name: str) -> Response:
        return Response(ToolSerializer(_tool(name)).data)

    @extend_schema(
        summary="Decide about a tool", operation_id="tool_change", request=ToolChangeSerializer,
        responses={200: ToolSerializer, **refusals(404)},
    )  # fmt: skip
    def patch(self, request: Request, name: str) -> Response:
        tool = _tool(name)
        if not isinstance(request.data, dict):
            raise ValidationError("Expected an object.")
        surplus = sorted(set(request.data) - set(ToolChangeSerializer().fields))
        if surplus:
            raise ValidationError({surplus[0]: ["There is no such setting."]})
        read = ToolChangeSerializer(data=request.data)
        read.is_valid(raise_exception=True)
        row = tool_change(tool=tool, actor=api_actor(request), changes=dict(read.validated_data))
        return Response(ToolSerializer(row).data)


class ToolsOpenAi(APIView):
    @extend_schema(
        summary="Tools as OpenAI functions", operation_id="tools_openai", parameters=[STRICT],
        responses={200: serializers.ListSerializer(child=serializers.DictField()), **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        strict = _flag(request, "strict")
        return Response([openai_function(tool, strict=strict) for tool in tools_usable()])


class ToolsReload(APIView):
    required_roles = {"post": Role.ADMIN}

    @extend_schema(
        summary="Read the tools from disk again", operation_id="tools_reload", request=None,
        responses={200: ToolReloadSerializer, **refusals()},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        report = tools_load(api_actor(request))
        usable = [tool.name for tool in tools_usable()]
        return Response({"message": report.sentence, "tools": usable, **vars(report)})


def _tool(name: str) -> Tool:
    tool = tool_of(name)
    if tool is None:
        raise NotFound(f"There is no tool {name[:64]!r}.")
    return tool


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "").lower()
    if text not in TRUE | FALSE:
        raise ValidationError({name: [f"{text[:40]!r} is neither true nor false."]})
    return text in TRUE
