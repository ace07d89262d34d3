"""Users, API keys, the audit, and who the caller is."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet, ModelViewSet, ReadOnlyModelViewSet

from sparkweb.accounts.models import RANK, ApiKey, AuditEntry, Role, User
from sparkweb.accounts.permissions import caller_rank
from sparkweb.accounts.serializers import (
    ApiKeyMade,
    ApiKeySerializer,
    ApiKeyWrite,
    AuditEntrySerializer,
    UserSerializer,
    WhoAmISerializer,
)
from sparkweb.accounts.services import api_key_create, api_key_revoke, user_delete, user_save
from sparkweb.api import api_actor, refusals

ADMINS_ONLY = dict.fromkeys(
    ("list", "retrieve", "create", "partial_update", "destroy", "options", "head", "metadata"), Role.ADMIN
)


@extend_schema_view(
    list=extend_schema(summary="List users", responses={200: UserSerializer(many=True), **refusals()}),
    retrieve=extend_schema(summary="One user", responses={200: UserSerializer, **refusals(404)}),
    create=extend_schema(summary="Create a user", responses={201: UserSerializer, **refusals()}),
    partial_update=extend_schema(summary="Change a user", responses={200: UserSerializer, **refusals(404)}),
    destroy=extend_schema(summary="Remove a user", responses={204: None, **refusals(404)}),
)
class UserViewSet(ModelViewSet[User]):
    """Users, for admins."""

    queryset = User.objects.order_by("username")
    serializer_class = UserSerializer
    lookup_field = "username"
    lookup_value_regex = r"[\w.@+-]+"
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    filterset_fields = ["role", "is_active"]
    required_roles = ADMINS_ONLY

    def perform_create(self, serializer: BaseSerializer[User]) -> None:
        data = dict(serializer.validated_data)
        password = data.pop("password", None)
        serializer.instance = user_save(user=User(**data), password=password, actor=api_actor(self.request))

    def perform_update(self, serializer: BaseSerializer[User]) -> None:
        data = dict(serializer.validated_data)
        password = data.pop("password", None)
        user = serializer.instance
        assert user is not None
        for name, value in data.items():
            setattr(user, name, value)
        user_save(user=user, password=password, actor=api_actor(self.request))

    def perform_destroy(self, instance: User) -> None:
        user_delete(user=instance, actor=api_actor(self.request))


@extend_schema_view(
    list=extend_schema(summary="List API keys", responses={200: ApiKeySerializer(many=True), **refusals()}),
    retrieve=extend_schema(summary="One API key", responses={200: ApiKeySerializer, **refusals(404)}),
)
class ApiKeyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[ApiKey]):
    """One's own keys; admins see and revoke everyone's with `?all=true`.

    Making and revoking needs a session or a key with the admin scope: a key must
    not be able to outlive or outgrow itself.
    """

    queryset = ApiKey.objects.select_related("user")
    serializer_class = ApiKeySerializer
    required_roles = {"create": Role.VIEWER, "destroy": Role.VIEWER}
    session_or_admin_key = {"create", "destroy"}

    def get_queryset(self) -> QuerySet[ApiKey]:
        everyone = caller_rank(self.request) >= RANK[Role.ADMIN] and (
            self.action != "list" or self.request.query_params.get("all") == "true"
        )  # fmt: skip
        return self.queryset if everyone else self.queryset.filter(user__pk=self.request.user.pk or 0)

    @extend_schema(summary="Make an API key", request=ApiKeyWrite, responses={201: ApiKeyMade, **refusals()})
    def create(self, request: Request) -> Response:
        wanted = ApiKeyWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        data = wanted.validated_data
        key, text = api_key_create(
            user=_owner(request, data.get("user")),
            scopes=data["scopes"],
            name=data["name"],
            days=data["days"],
            actor=api_actor(request),
        )
        return Response({**ApiKeySerializer(key).data, "key": text}, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Revoke an API key", responses={200: ApiKeySerializer, **refusals(404)})
    def destroy(self, request: Request, pk: str) -> Response:
        key = api_key_revoke(key=self.get_object(), actor=api_actor(request))
        return Response(ApiKeySerializer(key).data)


class AuditFilter(filters.FilterSet):
    since = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")
    target = filters.CharFilter(lookup_expr="icontains")
    actor = filters.CharFilter(field_name="actor__username")

    class Meta:
        model = AuditEntry
        fields = ["action", "via"]


@extend_schema_view(
    list=extend_schema(
        summary="List audit entries", responses={200: AuditEntrySerializer(many=True), **refusals()}
    ),
    retrieve=extend_schema(summary="One audit entry", responses={200: AuditEntrySerializer, **refusals(404)}),
)
class AuditViewSet(ReadOnlyModelViewSet[AuditEntry]):
    """Who did what, for admins. Nothing here can be changed."""

    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    filterset_class = AuditFilter
    required_roles = ADMINS_ONLY


class WhoAmI(APIView):
    """Who calls, with which role and scopes: for trying out a key."""

    @extend_schema(summary="Who am I", responses={200: WhoAmISerializer, **refusals()})
    def get(self, request: Request) -> Response:
        user = request.user
        assert isinstance(user, User)
        scopes = request.auth.scopes if isinstance(request.auth, ApiKey) else None
        return Response({"username": user.username, "role": user.role, "scopes": scopes})


def _owner(request: Request, username: Any) -> User:
    me = request.user
    assert isinstance(me, User)
    if not username or username == me.username:
        return me
    found = User.objects.filter(username=username).first() if me.has_role(Role.ADMIN) else None
    if found is None:
        raise ValidationError({"user": f"There is no user {username!r} that you may make keys for."})
    return found
