"""Projects, sessions, records and files of the archive: `/api/transcripts/…`, all read-only."""

from __future__ import annotations

from typing import Any, cast

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sparkweb.accounts.models import User
from sparkweb.api import NotFound, api_actor, refusals
from transcripts_app.access import project_of, session_of
from transcripts_app.archive.models import Record, Session
from transcripts_app.export.jsonl import file_masked
from transcripts_app.format.kinds import Kind
from transcripts_app.format.lines import LineBad
from transcripts_app.format.record import record_parse
from transcripts_app.forms_sessions import SessionFilterForm
from transcripts_app.landmarks import record_of, whole_number
from transcripts_app.redaction.display import DisplayMask, mask_for_call, sessions_mask
from transcripts_app.selectors_projects import ProjectRow, figures_of, project_rows
from transcripts_app.selectors_sessions import (
    MARKS,
    OUTCOMES,
    SORTS,
    SessionFilter,
    sessions_narrowed,
    sessions_sorted,
    sessions_visible,
)
from transcripts_app.serializers_sessions import (
    TranscriptOwnFileSerializer,
    TranscriptProjectRowSerializer,
    TranscriptRecordPageSerializer,
    TranscriptRecordSerializer,
    TranscriptSessionSerializer,
)
from transcripts_app.store import RawLines, file_bytes
from transcripts_app.views_raw import line_response

RECORDS, RECORDS_MOST = 100, 500
BYTES_MOST = 16 * 2**20  # of raw lines in one answer
FORMS = ("fields", "text", "raw")
WORDS = {
    "text": "In title and first prompt", "project": "Key of a project",
    "model": "A model, or a part of its name",
    "branch": "A branch, or a part of its name", "outcome": f"One of {', '.join(OUTCOMES)}",
    "mark": f"One of {', '.join(MARKS)}", "since": "A day or moment", "until": "A day (whole) or moment",
    "sort": f"One of {', '.join(SORTS)}; newest if absent",
}  # fmt: skip
FILTERS = [OpenApiParameter(name, OpenApiTypes.STR, description=text) for name, text in WORDS.items()]
FILTERS.append(OpenApiParameter("warmups", OpenApiTypes.BOOL, description="Warm-ups too"))
BYTES = OpenApiResponse(OpenApiTypes.BINARY, "The bytes as they were")


class TranscriptProjects(APIView):
    @extend_schema(
        summary="Projects with the figures of their sessions, the latest first",
        operation_id="transcript_projects",
        parameters=[OpenApiParameter("text", OpenApiTypes.STR, description="In path and node")],
        responses={200: TranscriptProjectRowSerializer(many=True), **refusals()},
    )
    def get(self, request: Request) -> Response:
        text = request.query_params.get("text", "")[:200].replace("\0", "")
        return Response(TranscriptProjectRowSerializer(project_rows(api_user(request), text), many=True).data)


class TranscriptProject(APIView):
    @extend_schema(
        summary="One project", operation_id="transcript_project",
        responses={200: TranscriptProjectRowSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        project = project_of(api_user(request), key)
        figures = figures_of(Session.objects.filter(project=project)) if project else {}
        if project is None or project.pk not in figures:
            raise NotFound("There is no such project, or you may not see it.")
        return Response(TranscriptProjectRowSerializer(ProjectRow(project, figures[project.pk])).data)


class TranscriptSessions(ListAPIView[Session]):
    queryset = Session.objects.none()
    serializer_class = TranscriptSessionSerializer
    filter_backends: tuple[Any, ...] = ()

    @extend_schema(
        summary="Sessions, newest first unless sorted", operation_id="transcript_sessions",
        parameters=FILTERS, responses={200: TranscriptSessionSerializer(many=True), **refusals()},
    )  # fmt: skip
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    def paginate_queryset(self, queryset: Any) -> Any:
        rows = super().paginate_queryset(queryset)
        sessions_mask(rows or [])
        return rows

    def get_queryset(self) -> Any:
        wanted = _filter(self.request)
        sessions = sessions_narrowed(sessions_visible(api_user(self.request)), wanted)
        if not wanted.warmups:
            sessions = sessions.filter(is_warmup=False)
        return sessions_sorted(sessions, wanted.sort)


class TranscriptSession(APIView):
    @extend_schema(
        summary="One session", operation_id="transcript_session",
        responses={200: TranscriptSessionSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        found = session_or_refuse(request, key)
        session = sessions_sorted(Session.objects.filter(pk=found.pk), "newest").get()
        sessions_mask([session])
        return Response(TranscriptSessionSerializer(session).data)


class TranscriptRecords(APIView):
    @extend_schema(
        summary="Records of a session, file by file in their order",
        operation_id="transcript_records",
        parameters=[
            OpenApiParameter("file", OpenApiTypes.INT, description="Of one file; all files if absent"),
            OpenApiParameter("form", OpenApiTypes.STR, enum=list(FORMS), description="What comes beside the "
                             "fields: nothing, the plain text, or the whole record"),
            OpenApiParameter("after", OpenApiTypes.STR, description="next_after of the page before"),
            OpenApiParameter("limit", OpenApiTypes.INT, description=f"At most {RECORDS_MOST}"),
        ],
        responses={200: TranscriptRecordPageSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        session = session_or_refuse(request, key)
        form = request.query_params.get("form", "fields")
        if form not in FORMS:
            raise ValidationError({"form": [f"{form[:20]!r} is no form; there are {', '.join(FORMS)}."]})
        limit = _number(request, "limit", RECORDS)
        if not 1 <= limit <= RECORDS_MOST:
            raise ValidationError({"limit": [f"Must lie between 1 and {RECORDS_MOST}."]})
        records = _behind(Record.objects.filter(session=session), request)
        found = list(records.order_by("file", "line", "pk")[: limit + 1])
        last = found[limit - 1] if len(found) > limit else None
        page = {
            "results": found[:limit],
            "next_after": f"{last.file_id}:{last.line}:{last.pk}" if last else None,
        }
        mask = mask_for_call(request, session, api_actor(request))
        context = _told(found[:limit], form, mask) | {"mask": mask}
        return Response(TranscriptRecordPageSerializer(page, context=context).data)


class TranscriptRecord(APIView):
    @extend_schema(
        summary="One record, by its number or its uuid, with text and raw object",
        operation_id="transcript_record", responses={200: TranscriptRecordSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str, record: str) -> Response:
        session, found = record_or_refuse(request, key, record)
        mask = mask_for_call(request, session, api_actor(request))
        texts = _told([found], "text", mask)["texts"]
        context = _told([found], "raw", mask) | {"texts": texts, "mask": mask}
        return Response(TranscriptRecordSerializer(found, context=context).data)


class TranscriptRecordRaw(APIView):
    @extend_schema(
        summary="The line of a record as it was", operation_id="transcript_record_raw",
        responses={(200, "application/json"): BYTES, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str, record: str) -> HttpResponseBase:
        session, found = record_or_refuse(request, key, record)
        mask = mask_for_call(request, session, api_actor(request))
        return line_response(found, mask.line(RawLines().line(found)))


class TranscriptFiles(APIView):
    @extend_schema(
        summary="Files of a session: its own, its sub-agents', its large outputs",
        operation_id="transcript_files",
        responses={200: TranscriptOwnFileSerializer(many=True), **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        session = session_or_refuse(request, key)
        files = session.files.order_by("pk")
        return Response(TranscriptOwnFileSerializer(files, many=True, context={"session": session}).data)


class TranscriptFileBytes(APIView):
    @extend_schema(
        summary="A file as it was, up to its last whole line", operation_id="transcript_file",
        responses={(200, "application/x-ndjson"): BYTES, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str, file: str) -> HttpResponseBase:
        session = session_or_refuse(request, key)
        mask = mask_for_call(request, session, api_actor(request))
        found = session.files.filter(pk=int(file)).first()
        if found is None:
            raise NotFound("The session has no such file.")
        kind = "text/plain; charset=utf-8" if found.role == "result" else "application/x-ndjson"
        pieces = file_masked(found, mask.redactor) if mask.redactor else file_bytes(found)
        response = StreamingHttpResponse(pieces, content_type=kind)
        name = "".join(one if one.isalnum() or one in "-_." else "_" for one in found.path.rpartition("/")[2])
        response["Content-Disposition"] = f'attachment; filename="{name.encode("ascii", "replace").decode()}"'
        response["X-Content-Type-Options"] = "nosniff"
        return response


def api_user(request: Request) -> User:
    """Return who calls."""
    return cast(User, request.user)


def session_or_refuse(request: Request, key: str) -> Session:
    """Return a session that the caller may see. Raises NotFound."""
    session = session_of(api_user(request), key)
    if session is None:
        raise NotFound("There is no such session, or you may not see it.")
    return session


def record_or_refuse(request: Request, key: str, record: str) -> tuple[Session, Record]:
    """Return a record of a session that the caller may see, and the session. Raises NotFound."""
    session = session_or_refuse(request, key)
    found = record_of(session, record)
    if found is None:
        raise NotFound("The session has no such record.")
    return session, found


def _filter(request: Request) -> SessionFilter:
    form = SessionFilterForm({name: text for name, text in request.query_params.items() if name != "page"})
    if not form.is_valid():
        raise ValidationError({name: list(errors) for name, errors in form.errors.items()})
    return form.wanted()


def _behind(records: Any, request: Request) -> Any:
    if "file" in request.query_params:
        records = records.filter(file=_number(request, "file", 0))
    after = request.query_params.get("after")
    if not after:
        return records
    numbers = [whole_number(text) for text in after.split(":")]
    if len(numbers) != 3 or None in numbers:
        raise ValidationError({"after": ["Give the next_after of the page before."]})
    file, line, pk = numbers
    return records.filter(Q(file__gt=file) | Q(file=file, line__gt=line) | Q(file=file, line=line, pk__gt=pk))


def _told(records: list[Record], form: str, mask: DisplayMask) -> dict[str, dict[int, Any]]:
    """What comes beside the fields; lines beyond BYTES_MOST in all are left out."""
    told: dict[str, dict[int, Any]] = {"texts": {}, "raws": {}}
    if form == "fields":
        return told
    small, size = [], 0
    for record in records:
        size += record.length
        if size <= BYTES_MOST:
            small.append(record)
    lines = RawLines()
    lines.load(small)
    for record in small:
        if record.kind == Kind.RESULT_FILE:
            told["texts"][record.pk] = mask.text(lines.line(record).decode(errors="replace"))
            continue
        try:
            raw = mask(lines.json(record))
        except LineBad:
            continue
        if form == "raw":
            told["raws"][record.pk] = raw
        else:
            told["texts"][record.pk] = record_parse(raw).text
    return told


def _number(request: Request, name: str, otherwise: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return otherwise
    number = whole_number(text)
    if number is None:
        raise ValidationError({name: ["Must be a whole number."]})
    return number
