"""Search in the API: `/api/transcripts/search`, session titles, and saved searches."""

from __future__ import annotations

from typing import Any, cast

from django.core.exceptions import ValidationError
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sparkweb.accounts.models import Role, User
from sparkweb.api import NotFound, refusals
from transcripts_app.archive.models import Session
from transcripts_app.format.kinds import Kind
from transcripts_app.models_search import QUERY_MOST, SavedSearch
from transcripts_app.saved_searches import search_change, search_save
from transcripts_app.search.counts import counts_of
from transcripts_app.search.query import Query, QueryBad, query_parse
from transcripts_app.search.results import Hit, hits_of
from transcripts_app.search.run import COUNTED_MOST, OFFSET_MOST, PAGE_ROWS, RANKED_MOST, SORTS, Place, Search
from transcripts_app.search.scope import scope_of
from transcripts_app.search.time_limit import TooLong
from transcripts_app.search.titles import sessions_titled

ROWS_MOST = 100
TITLES_MOST = 50
Q = OpenApiParameter(
    "q", OpenApiTypes.STR, required=True,
    description='As on the page: `tool:Bash is:error "exact phrase" word prefix* -word (a OR b) after:7d`',
)  # fmt: skip


class PieceSerializer(serializers.Serializer[Any]):
    text = serializers.CharField()
    is_hit = serializers.BooleanField()


class SnippetSerializer(serializers.Serializer[Any]):
    label = serializers.CharField(help_text="Prompt, Answer, Bash input, Bash output …")  # type: ignore[assignment]
    pieces = PieceSerializer(many=True)


class TranscriptHitSerializer(serializers.Serializer[Any]):
    record = serializers.IntegerField(source="record.pk")
    session = serializers.CharField(source="session.key", allow_null=True, default=None)
    session_title = serializers.CharField(source="session.title", default="")
    project = serializers.CharField(source="project.key", allow_null=True, default=None)
    project_name = serializers.CharField(source="project.name", default="")
    kind = serializers.SerializerMethodField()
    tool = serializers.CharField(source="record.tool")
    model = serializers.CharField(source="record.model")
    is_error = serializers.BooleanField(source="record.is_error")
    is_sidechain = serializers.BooleanField(source="record.is_sidechain")
    at = serializers.DateTimeField(source="record.at", allow_null=True)
    url = serializers.CharField(help_text="The page that shows it; empty where none does")
    snippets = SnippetSerializer(many=True)

    def get_kind(self, hit: Hit) -> str:
        return Kind(hit.record.kind).name.lower()


class TranscriptFoundSerializer(serializers.Serializer[Any]):
    results = TranscriptHitSerializer(many=True)
    total = serializers.IntegerField(help_text=f"Counted up to {COUNTED_MOST:,}")
    more_than = serializers.BooleanField(help_text="There are more than `total`")
    sort = serializers.ChoiceField(choices=SORTS)
    ranked = serializers.IntegerField(
        allow_null=True,
        help_text=f"Only so many matches, those read last, were ranked: there are more than {RANKED_MOST:,}",
    )
    stopped = serializers.BooleanField(help_text="The time was over before everything was read")
    looked_to = serializers.DateTimeField(allow_null=True, help_text="By time, if stopped: so far it got")
    notes = serializers.ListField(child=serializers.CharField(), help_text="What of the query was left out")
    next_offset = serializers.IntegerField(allow_null=True, help_text="By rank: give it as `offset`")
    next_after = serializers.CharField(allow_null=True, help_text="By time: give it as `after`")


class CountedValueSerializer(serializers.Serializer[Any]):
    label = serializers.CharField()  # type: ignore[assignment]
    word = serializers.CharField(help_text="Add it to the query to narrow it")
    count = serializers.IntegerField()


class CountedGroupSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    values = CountedValueSerializer(many=True)


class TranscriptCountsSerializer(serializers.Serializer[Any]):
    groups = CountedGroupSerializer(many=True)
    sampled = serializers.IntegerField(
        allow_null=True, help_text="Only so many matches, those read last, were counted"
    )
    stopped = serializers.BooleanField()


class TitledSessionSerializer(serializers.ModelSerializer[Session]):
    project = serializers.CharField(source="project.key")
    project_name = serializers.CharField(source="project.name")
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)

    class Meta:
        model = Session
        fields = ["key", "title", "title_kind", "first_prompt", "project", "project_name", "started_at",
                  "ended_at"]  # fmt: skip


class SavedSearchSerializer(serializers.ModelSerializer[SavedSearch]):
    query = serializers.CharField(max_length=QUERY_MOST)
    sort = serializers.ChoiceField(choices=["", *SORTS], required=False, default="")

    class Meta:
        model = SavedSearch
        fields = ["id", "name", "query", "sort", "created_at"]
        read_only_fields = ["id", "created_at"]


class TranscriptSearchView(APIView):
    @extend_schema(
        summary="Search the transcripts", operation_id="transcript_search",
        description="Prompts, answers, thinking, tool input and output of projects that the caller sees.",
        parameters=[
            Q, OpenApiParameter("sort", OpenApiTypes.STR, enum=list(SORTS), description="rank if absent"),
            OpenApiParameter("limit", OpenApiTypes.INT, description=f"1 to {ROWS_MOST}"),
            OpenApiParameter("offset", OpenApiTypes.INT, description=f"By rank; at most {OFFSET_MOST:,}"),
            OpenApiParameter("after", OpenApiTypes.STR, description="By time: what `next_after` said"),
        ],
        responses={200: TranscriptFoundSerializer, **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        query, sort = _query(request), request.query_params.get("sort", "")
        if sort and sort not in SORTS:
            raise ValidationError({"sort": [f"{sort[:20]!r} is no order; there are {', '.join(SORTS)}."]})
        after = request.query_params.get("after", "")
        place = Place.read(after)
        if after and place is None:
            raise ValidationError({"after": ["Give what `next_after` of the page before said."]})
        rows, offset = (
            _number(request, "limit", PAGE_ROWS, 1, ROWS_MOST),
            _number(request, "offset", 0, 0, OFFSET_MOST),
        )
        search = Search(query, _user(request))
        found = search.page(sort, rows=rows, offset=offset, place=place)
        told = {
            "results": hits_of(found.records, query, search.scope), "total": found.total,
            "more_than": found.more_than, "sort": found.sort, "ranked": found.ranked,
            "stopped": found.stopped, "looked_to": found.looked_to, "notes": query.notes,
            "next_offset": found.next_offset,
            "next_after": str(found.next_place) if found.next_place else None,
        }  # fmt: skip
        return Response(TranscriptFoundSerializer(told).data)


class TranscriptSearchCountsView(APIView):
    @extend_schema(
        summary="What the matches of a search are of", operation_id="transcript_search_counts",
        parameters=[Q], responses={200: TranscriptCountsSerializer, **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        try:
            counts = counts_of(Search(_query(request), _user(request)))
        except TooLong:
            return Response({"groups": [], "sampled": None, "stopped": True})
        groups = [{"name": name, "values": values} for name, values in counts.groups]
        told = {"groups": groups, "sampled": counts.sampled, "stopped": False}
        return Response(TranscriptCountsSerializer(told).data)


class TranscriptTitlesView(APIView):
    @extend_schema(
        summary="Sessions by their title", operation_id="transcript_titles", parameters=[Q],
        description=f"The words of the query stand in the title. The newest first, at most {TITLES_MOST}.",
        responses={200: TitledSessionSerializer(many=True), **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        query = _query(request)
        found = sessions_titled(query, scope_of(_user(request), query), TITLES_MOST)
        return Response(TitledSessionSerializer(found, many=True).data)


class SavedSearchesView(ListAPIView[SavedSearch]):
    serializer_class = SavedSearchSerializer
    required_roles = {"post": Role.VIEWER}

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return SavedSearch.objects.none()
        return SavedSearch.objects.filter(user=_user(self.request))

    @extend_schema(
        summary="One's saved searches",
        operation_id="saved_searches",
        responses={200: SavedSearchSerializer(many=True), **refusals()},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        summary="Save a search", operation_id="saved_search_create", request=SavedSearchSerializer,
        responses={201: SavedSearchSerializer, **refusals(409)},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        read = SavedSearchSerializer(data=request.data)
        read.is_valid(raise_exception=True)
        saved = search_save(user=_user(request), **read.validated_data)
        return Response(SavedSearchSerializer(saved).data, status=201)


class SavedSearchView(APIView):
    required_roles = {"patch": Role.VIEWER, "delete": Role.VIEWER}

    @extend_schema(
        summary="One saved search", operation_id="saved_search",
        responses={200: SavedSearchSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, number: str) -> Response:
        return Response(SavedSearchSerializer(_saved(request, number)).data)

    @extend_schema(
        summary="Change a saved search", operation_id="saved_search_change", request=SavedSearchSerializer,
        responses={200: SavedSearchSerializer, **refusals(404, 409)},
    )  # fmt: skip
    def patch(self, request: Request, number: str) -> Response:
        saved = _saved(request, number)
        read = SavedSearchSerializer(data=request.data, partial=True)
        read.is_valid(raise_exception=True)
        return Response(SavedSearchSerializer(search_change(search=saved, **read.validated_data)).data)

    @extend_schema(
        summary="Delete a saved search", operation_id="saved_search_delete",
        responses={204: None, **refusals(404)},
    )  # fmt: skip
    def delete(self, request: Request, number: str) -> Response:
        _saved(request, number).delete()
        return Response(status=204)


def _query(request: Request) -> Query:
    try:
        return query_parse(request.query_params.get("q", ""))
    except QueryBad as bad:
        raise ValidationError({"q": [str(bad)]}) from None


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 6 or not least <= int(text) <= most:
        raise ValidationError({name: [f"Must lie between {least} and {most}."]})
    return int(text)


def _saved(request: Request, number: str) -> SavedSearch:
    found = SavedSearch.objects.filter(user=_user(request), pk=int(number[:18])).first()
    if found is None:
        raise NotFound(f"There is no saved search {number[:20]} of yours.")
    return found


def _user(request: Request) -> User:
    return cast(User, request.user)
