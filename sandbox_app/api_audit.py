"""The tool audit: `/api/tool-audit`, its export, and its verification."""

from __future__ import annotations

from typing import Any, cast

from django.core.exceptions import ValidationError
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sandbox_app.audit_accept import REASON_MOST, audit_accept
from sandbox_app.audit_checks import check_latest, check_request
from sandbox_app.audit_export import FORMATS, export_answer
from sandbox_app.audit_use import GROUPED, SPANS, audit_use
from sandbox_app.forms_audit import AuditFilterForm
from sandbox_app.models_audit import AuditCheck, AuditRecord
from sandbox_app.selectors_audit import PAGE_ROWS, PAGE_ROWS_MOST, audit_page, may_see, record_json
from sparkweb.accounts.models import RANK, Role, User
from sparkweb.accounts.permissions import caller_rank
from sparkweb.api import NotFound, api_actor, refusals

WORDS = {
    "kind": "started, ended, refused or checkpoint", "tool": "Of one tool", "user": "Of one person",
    "outcome": "One outcome, or `failed` for any but ok", "run": "Of one run",
    "text": "In what was recorded; the newest 8,000 entries of the page are looked through",
    "since": "A day or moment", "until": "A day (whole) or moment",
}  # fmt: skip
FILTERS = [OpenApiParameter(name, OpenApiTypes.STR, description=text) for name, text in WORDS.items()]


class AuditRecordSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    at = serializers.DateTimeField()
    kind = serializers.CharField()
    run = serializers.CharField()
    tool = serializers.CharField()
    user = serializers.CharField()
    outcome = serializers.CharField()
    covers = serializers.IntegerField(allow_null=True, help_text="A checkpoint: up to which number it stands")
    body = serializers.DictField()
    previous = serializers.CharField()
    mac = serializers.CharField()


class AuditPageSerializer(serializers.Serializer[Any]):
    results = AuditRecordSerializer(many=True)
    next_before = serializers.IntegerField(allow_null=True, help_text="Give it as `before`; null at the end")
    looked_back_to = serializers.IntegerField(
        allow_null=True, help_text="The search stopped here before the page was full; older ones may match"
    )


class AuditCheckSerializer(serializers.ModelSerializer[AuditCheck]):
    state = serializers.CharField()
    percent = serializers.IntegerField()
    sentence = serializers.CharField()

    class Meta:
        model = AuditCheck
        fields = ["id", "state", "percent", "sentence", "rows", "total", "requested_by", "requested_at",
                  "ended_at", "verdict"]  # fmt: skip


class AuditAcceptSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=REASON_MOST)


class AuditUseLine(serializers.Serializer[Any]):
    name = serializers.CharField()
    runs = serializers.ListField(child=serializers.IntegerField())
    failed = serializers.ListField(child=serializers.IntegerField())


class AuditUseSerializer(serializers.Serializer[Any]):
    t = serializers.ListField(child=serializers.IntegerField(), help_text="Seconds since 1970")
    step = serializers.IntegerField()
    lines = AuditUseLine(many=True)
    left_out = serializers.IntegerField()
    total = serializers.DictField(child=serializers.IntegerField())


class ToolAudit(APIView):
    required_roles = {"get": Role.ADMIN}

    @extend_schema(
        summary="Entries of the tool audit, newest first", operation_id="tool_audit",
        parameters=[*FILTERS, OpenApiParameter("before", OpenApiTypes.INT, description="Numbers below it"),
                    OpenApiParameter("limit", OpenApiTypes.INT, description="1 to 500; 50 if absent")],
        responses={200: AuditPageSerializer, **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        page = audit_page(_form(request).wanted(), _limit(request))
        return Response(
            {
                "results": [record_json(record) for record in page.records],
                "next_before": page.next_before,
                "looked_back_to": page.looked_back_to,
            }
        )


class ToolAuditRecord(APIView):
    @extend_schema(
        summary="One entry of the tool audit", operation_id="tool_audit_record",
        description="For admins, and for whoever asked for the run.",
        responses={200: AuditRecordSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, number: str) -> Response:
        record = AuditRecord.objects.filter(number=int(number)).first() if len(number) < 19 else None
        admin = caller_rank(request) >= RANK[Role.ADMIN]
        if record is None or not may_see(cast(User, request.user), record, admin=admin):
            raise NotFound(f"There is no entry {number[:20]}.")
        return Response(record_json(record))


class ToolAuditExport(APIView):
    required_roles = {"get": Role.ADMIN}

    @extend_schema(
        summary="Download the tool audit", operation_id="tool_audit_export",
        parameters=[*FILTERS, OpenApiParameter("form", OpenApiTypes.STR, description="jsonl or csv")],
        responses={(200, "application/x-ndjson"): OpenApiTypes.STR, (200, "text/csv"): OpenApiTypes.STR,
                   **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        form = request.query_params.get("form", "jsonl")
        if form not in FORMATS:
            raise ValidationError({"form": [f"{form[:20]!r} is no format; there are jsonl and csv."]})
        return export_answer(_form(request).wanted(), form)


class ToolAuditVerify(APIView):
    required_roles = {"get": Role.ADMIN, "post": Role.ADMIN}

    @extend_schema(
        summary="What the newest verification found, or how far it is",
        operation_id="tool_audit_verification",
        responses={200: AuditCheckSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        check = check_latest()
        if check is None:
            raise NotFound("The tool audit was not verified yet; POST has it done.")
        return Response(AuditCheckSerializer(check).data)

    @extend_schema(
        summary="Verify the tool audit", operation_id="tool_audit_verify", request=None,
        description="It goes on in the background; ask with GET how far it is. One at a time.",
        responses={202: AuditCheckSerializer, **refusals(409)},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        check, _ = check_request(api_actor(request))
        return Response(AuditCheckSerializer(check).data, status=202)


class ToolAuditAccept(APIView):
    required_roles = {"post": Role.ADMIN}

    @extend_schema(
        summary="Accept the chain against what copies of its head say", operation_id="tool_audit_accept",
        description="After an old backup was restored on purpose. An entry of the chain says who and why.",
        request=AuditAcceptSerializer, responses={201: AuditRecordSerializer, **refusals(409)},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        read = AuditAcceptSerializer(data=request.data)
        read.is_valid(raise_exception=True)
        record = audit_accept(actor=api_actor(request), reason=read.validated_data["reason"])
        return Response(record_json(record), status=201)


class ToolAuditUse(APIView):
    required_roles = {"get": Role.ADMIN}

    @extend_schema(
        summary="Use of tools and failures over time", operation_id="tool_audit_use",
        parameters=[OpenApiParameter("days", OpenApiTypes.INT, enum=[days for days, _ in SPANS]),
                    OpenApiParameter("by", OpenApiTypes.STR, enum=list(GROUPED))],
        responses={200: AuditUseSerializer, **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        days, by = request.query_params.get("days", "7"), request.query_params.get("by", "tool")
        if by not in GROUPED:
            raise ValidationError({"by": [f"{by[:20]!r} is neither tool nor user."]})
        if days not in {str(days) for days, _ in SPANS}:
            raise ValidationError({"days": [f"There are {', '.join(str(days) for days, _ in SPANS)}."]})
        return Response(AuditUseSerializer(audit_use(int(days), by)).data)


def _form(request: Request) -> AuditFilterForm:
    form = AuditFilterForm(request.query_params)
    if not form.is_valid():
        raise ValidationError({name: list(errors) for name, errors in form.errors.items()})
    return form


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(PAGE_ROWS))
    if not text.isascii() or not text.isdigit() or len(text) > 4 or not 1 <= int(text) <= PAGE_ROWS_MOST:
        raise ValidationError({"limit": [f"Must lie between 1 and {PAGE_ROWS_MOST}."]})
    return int(text)
