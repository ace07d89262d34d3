"""Share links over the API."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from sparkweb.accounts.models import RANK, Role, User
from sparkweb.accounts.permissions import caller_rank
from sparkweb.api import NotFound, api_actor, refusals
from transcripts_app.access import session_of
from transcripts_app.archive.models import Session
from transcripts_app.keeping import may_share
from transcripts_app.models_shares import ShareLink
from transcripts_app.redaction.profiles import SECRETS
from transcripts_app.shares import DAYS_MOST, share_create, share_revoke


class ShareLinkSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    prefix = serializers.CharField()
    mask = serializers.CharField(help_text="What it masks: secrets, none or a profile as it was then")
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    is_live = serializers.BooleanField()
    opened = serializers.IntegerField()
    address = serializers.CharField(required=False, help_text="Told once, when it is made")


class ShareLinkWrite(serializers.Serializer[Any]):
    days = serializers.IntegerField(min_value=1, max_value=DAYS_MOST)
    mask = serializers.CharField(max_length=40, required=False, default=SECRETS)


class TranscriptShares(APIView):
    required_roles = {"post": Role.VIEWER}

    @extend_schema(
        summary="Links that show a session", operation_id="transcript_shares",
        description="For the project's owner and admins.",
        responses={200: ShareLinkSerializer(many=True), **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        rows = ShareLink.objects.filter(session_key=_shareable(request, key).key).select_related("created_by")
        return Response([_told(row) for row in rows[:100]])

    @extend_schema(
        summary="Make a link that shows a session", operation_id="transcript_share_make",
        request=ShareLinkWrite, responses={201: ShareLinkSerializer, **refusals(404)},
    )  # fmt: skip
    def post(self, request: Request, key: str) -> Response:
        session = _shareable(request, key)
        wanted = ShareLinkWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        link, token = share_create(session=session, actor=api_actor(request), **wanted.validated_data)
        address = reverse("shared_session", args=[token], request=request)
        return Response(_told(link) | {"address": address}, status=201)


class TranscriptShare(APIView):
    required_roles = {"delete": Role.VIEWER}

    @extend_schema(
        summary="End a link", operation_id="transcript_share_end", request=None,
        responses={204: None, **refusals(404)},
    )  # fmt: skip
    def delete(self, request: Request, key: str, number: str) -> Response:
        session = _shareable(request, key)
        rows = ShareLink.objects.filter(session_key=session.key)
        link = rows.filter(pk=int(number)).first() if len(number) < 19 else None
        if link is None:
            raise NotFound(f"There is no link {number[:20]}.")
        share_revoke(link=link, actor=api_actor(request))
        return Response(status=204)


def _shareable(request: Request, key: str) -> Session:
    user = cast(User, request.user)
    session = session_of(user, key)
    if session is None:
        raise NotFound(f"There is no session {key}.")
    reach = caller_rank(request) >= RANK[Role.ADMIN] or not user.has_role(Role.ADMIN)
    if not reach or not may_share(user, session.project):
        raise PermissionDenied("Only the project's owner and admins share its sessions.")
    return session


def _told(link: ShareLink) -> dict[str, Any]:
    body = {
        "id": link.pk, "prefix": link.prefix, "mask": link.mask.get("name", ""),
        "created_by": link.created_by.username, "created_at": link.created_at,
        "expires_at": link.expires_at, "is_live": link.is_live, "opened": link.opened,
    }  # fmt: skip
    return dict(ShareLinkSerializer(body).data)
