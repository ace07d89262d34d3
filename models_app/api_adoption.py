"""Adopt containers that SparkWeb did not start: `/api/nodes/<name>/adopt`."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from metrics_app.models import Node
from models_app.adoption import container_adopt
from models_app.serializers import LaunchSerializer
from models_app.serializers_adoption import AdoptWrite
from sparkweb.accounts.models import Role
from sparkweb.api import NotFound, api_actor, refusals


class AdoptView(APIView):
    """Look after a container that somebody else started."""

    required_roles = {"post": Role.OPERATOR}

    @extend_schema(
        summary="Adopt a container",
        description="202: the wish is stored, and the node asks the container what it serves. Where that is "
        "not the definition, the launch fails and says so. Nothing is changed on the container.",
        request=AdoptWrite,
        responses={202: LaunchSerializer, **refusals(404, 409)},
    )
    def post(self, request: Request, name: str) -> Response:
        node = Node.objects.filter(name=name).first()
        if node is None:
            raise NotFound(f"There is no node {name!r}.")
        wanted = AdoptWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        launch = container_adopt(node=node, actor=api_actor(request), **wanted.validated_data)
        return Response(LaunchSerializer(launch).data, status=status.HTTP_202_ACCEPTED)
