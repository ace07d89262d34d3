"""The image that tools run in: `/api/sandbox-image` and `/api/sandbox-image/builds`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from metrics_app.models import Node
from sandbox_app.image_builds import EXTRA_MOST, NETWORKS, build_cancel, build_create
from sandbox_app.models_images import ImageBuild
from sandbox_app.selectors_images import node_images
from sparkweb.accounts.models import Role
from sparkweb.api import NotFound, api_actor, refusals


class ImageBuildSerializer(serializers.ModelSerializer[ImageBuild]):
    """One build and how it goes; `log` are its last lines once it has ended."""

    requested_by = serializers.CharField(source="requested_by.username", allow_null=True, default=None)

    class Meta:
        model = ImageBuild
        fields = [
            "uid",
            "node_name",
            "arguments",
            "network",
            "state",
            "live",
            "step",
            "steps",
            "message",
            "reason",
            "log",
            "digest",
            "requested_by",
            "created_at",
            "ended_at",
        ]


class NodeImageSerializer(serializers.Serializer[Any]):
    """The image on one node: `status` is ok, missing or unknown (the node or its Docker is silent)."""

    node = serializers.CharField(source="node.name")
    image = serializers.CharField(allow_blank=True)
    status = serializers.CharField()
    digest = serializers.CharField(allow_null=True)
    build = ImageBuildSerializer(allow_null=True)


class ImageBuildWrite(serializers.Serializer[Any]):
    node = serializers.SlugField(max_length=40)
    base = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)
    libraries = serializers.BooleanField(required=False, default=True)
    extra = serializers.ListField(
        child=serializers.CharField(max_length=62), required=False, default=list, max_length=EXTRA_MOST
    )
    network = serializers.ChoiceField(
        choices=[(name, name) for name in NETWORKS], required=False, default="default"
    )


class SandboxImageView(APIView):
    """Where tools can run."""

    @extend_schema(
        summary="The sandbox image on each node",
        responses={200: NodeImageSerializer(many=True), **refusals()},
    )
    def get(self, _request: Request) -> Response:
        return Response(NodeImageSerializer(node_images(), many=True).data)


class ImageBuildsView(APIView):
    """Builds; admins ask for them."""

    @extend_schema(
        summary="Build the sandbox image on a node",
        description="202: the wish is stored. 200: a build was under way already.",
        request=ImageBuildWrite,
        responses={202: ImageBuildSerializer, 200: ImageBuildSerializer, **refusals(404, 409)},
    )
    def post(self, request: Request) -> Response:
        wanted = ImageBuildWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        fields = dict(wanted.validated_data)
        node = Node.objects.filter(name=fields.pop("node")).first()
        if node is None:
            raise NotFound("There is no such node.")
        build, made = build_create(node=node, actor=api_actor(request), **fields)
        code = status.HTTP_202_ACCEPTED if made else status.HTTP_200_OK
        return Response(ImageBuildSerializer(build).data, status=code)


class ImageBuildView(APIView):
    """One build."""

    @extend_schema(
        summary="One build of the sandbox image", responses={200: ImageBuildSerializer, **refusals(404)}
    )
    def get(self, _request: Request, uid: str) -> Response:
        return Response(ImageBuildSerializer(_build(uid)).data)


class ImageBuildCancelView(APIView):
    """Its end."""

    required_roles = {"post": Role.ADMIN}

    @extend_schema(
        summary="Cancel a build of the sandbox image",
        request=None,
        responses={202: ImageBuildSerializer, **refusals(404)},
    )
    def post(self, request: Request, uid: str) -> Response:
        build = build_cancel(build=_build(uid), actor=api_actor(request))
        return Response(ImageBuildSerializer(build).data, status=status.HTTP_202_ACCEPTED)


def _build(uid: str) -> ImageBuild:
    build = ImageBuild.objects.filter(uid=uid).first()
    if build is None:
        raise NotFound("There is no such build.")
    return build
