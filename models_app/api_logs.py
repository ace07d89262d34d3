"""The whole log of a launch's containers: paged, searched, downloaded. Actions of `/api/launches/<uid>/`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from models_app.log_archive import PAGE_LINES, log_download, log_page, log_search
from models_app.models import Launch, LaunchMember
from models_app.selectors import LOG_LINES_MOST, log_rest, newest_member
from sparkweb.api import refusals

MEMBER = OpenApiParameter("member", str, description="A container of the launch; its newest if left out.")


class LogLineSerializer(serializers.Serializer[Any]):
    """One line by its number, or that `skipped` lines are missing (0: nobody knows how many)."""

    line = serializers.IntegerField()
    text = serializers.CharField(allow_blank=True, help_text="Time and text; with the container's colours")
    skipped = serializers.IntegerField(allow_null=True, help_text="null for a line")


class LogPageSerializer(serializers.Serializer[Any]):
    """`before_line` is where the page before ends, null at the beginning.

    `behind`: what was asked for is so new that its node has not sent it yet.
    """

    lines = LogLineSerializer(many=True)
    before_line = serializers.IntegerField(allow_null=True)
    behind = serializers.BooleanField()


class LogHitsSerializer(serializers.Serializer[Any]):
    """Newest first; the search goes on at `before_line`, and is through when that is null."""

    hits = LogLineSerializer(many=True)
    before_line = serializers.IntegerField(allow_null=True)


class LogPageQuery(serializers.Serializer[Any]):
    before_line = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False)
    before_at = serializers.RegexField(
        r"^[0-9T:.Z-]{1,40}\Z", required=False, default="", help_text="A line's time, as lines begin with"
    )
    count = serializers.IntegerField(min_value=1, max_value=PAGE_LINES, required=False, default=PAGE_LINES)


class LogSearchQuery(serializers.Serializer[Any]):
    q = serializers.CharField(max_length=200, help_text="Text to find, whatever its case")
    before_line = serializers.IntegerField(
        min_value=0, max_value=2**31 - 1, required=False, allow_null=True, default=None
    )


class LogActions(GenericViewSet[Launch]):
    """What LaunchViewSet offers of logs beyond their last lines."""

    @extend_schema(
        summary="Page through a container's log",
        description="From the newest back: give `before_line` of one page to get the one before.",
        parameters=[LogPageQuery, MEMBER],
        responses={200: LogPageSerializer, **refusals(404)},
        filters=False,
    )
    @action(detail=True, url_path="log-history", pagination_class=None, filterset_class=None)
    def log_history(self, request: Request, uid: str) -> Response:
        query = LogPageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        return Response(asdict(log_page(self._member(request), **query.validated_data)))

    @extend_schema(
        summary="Search a container's log",
        description="From the newest back, in what its node has sent so far.",
        parameters=[LogSearchQuery, MEMBER],
        responses={200: LogHitsSerializer, **refusals(404)},
        filters=False,
    )
    @action(detail=True, url_path="log-search", pagination_class=None, filterset_class=None)
    def log_search(self, request: Request, uid: str) -> Response:
        query = LogSearchQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        wanted = query.validated_data
        return Response(asdict(log_search(self._member(request), wanted["q"], wanted["before_line"])))

    @extend_schema(
        summary="Download a container's log",
        parameters=[MEMBER],
        responses={(200, "text/plain"): OpenApiTypes.STR, **refusals(404)},
        filters=False,
    )
    @action(detail=True, url_path="log-file", pagination_class=None, filterset_class=None)
    def log_file(self, request: Request, uid: str) -> StreamingHttpResponse:
        member = self._member(request)
        name = f"{member.attempt.launch.definition_slug}-{member.uid}.log"
        return StreamingHttpResponse(
            log_download(member, log_rest(member, 4 * LOG_LINES_MOST)),
            content_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def _member(self, request: Request) -> LaunchMember:
        launch = self.get_object()
        wanted = request.query_params.get("member", "").replace("\0", "")
        if not wanted:
            member = newest_member(launch)
        else:
            member = LaunchMember.objects.filter(attempt__launch=launch, uid=wanted[:16]).first()
        if member is None:
            raise NotFound("This launch has no such container.")
        return member
