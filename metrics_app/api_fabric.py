"""Links between nodes and their tests: `/api/fabric` and `/api/fabric-tests`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ReadOnlyModelViewSet

from metrics_app.fabric.selectors import fabric_links
from metrics_app.fabric.services import fabric_test_create
from metrics_app.fabric.verdict import REFERENCE_GBITS
from metrics_app.models import Node
from metrics_app.models_fabric import FabricTest
from sparkweb.accounts.models import Role
from sparkweb.api import NamedField, api_actor, refusals


class FabricAdapterSerializer(serializers.Serializer[Any]):
    """An RDMA adapter; `errors` are its counters above zero."""

    name = serializers.CharField()
    active = serializers.BooleanField()
    sent_bytes = serializers.IntegerField(allow_null=True)
    received_bytes = serializers.IntegerField(allow_null=True)
    errors = serializers.DictField(child=serializers.IntegerField())  # type: ignore[assignment]


class FabricLinkSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    rail = serializers.IntegerField(allow_null=True, help_text="1 or 2 where it has that fabric address.")
    up = serializers.BooleanField()
    mtu = serializers.IntegerField(allow_null=True, help_text="Bytes.")
    speed_mbps = serializers.IntegerField(allow_null=True)
    addresses = serializers.ListField(child=serializers.CharField())
    sent_bytes = serializers.IntegerField(allow_null=True)
    received_bytes = serializers.IntegerField(allow_null=True)
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.IntegerField(), help_text="The kernel's counters above zero."
    )
    rdma = FabricAdapterSerializer(many=True)


class FabricNodeSerializer(serializers.Serializer[Any]):
    node = serializers.CharField(source="node.name")
    links = FabricLinkSerializer(many=True, allow_null=True, help_text="null: no report of the last hour.")


class FabricTestSerializer(serializers.ModelSerializer[FabricTest]):
    """A test; `steps` with what each node told, `reference_gbits` what one rail moved earlier."""

    requested_by = serializers.CharField(source="requested_by.username", default=None, read_only=True)
    reference_gbits = serializers.SerializerMethodField()
    steps = serializers.ListField(child=serializers.DictField(), read_only=True)

    class Meta:
        model = FabricTest
        fields = ["uid", "first_node", "second_node", "state", "step", "tone", "cause", "sentence", "gbits",
                  "reference_gbits", "seconds", "streams", "port", "scheduled", "requested_by",
                  "force_reason", "created_at", "ended_at", "steps"]  # fmt: skip
        read_only_fields = fields

    def get_reference_gbits(self, _test: FabricTest) -> float:
        return REFERENCE_GBITS


class FabricTestWrite(serializers.Serializer[Any]):
    nodes = NamedField(
        slug_field="name", queryset=Node.objects.all(), many=True, help_text="Two names; the first sends."
    )
    force_reason = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=300,
        help_text="Why, though a model serves over the link.",
    )


class FabricView(APIView):
    """The links of every node."""

    @extend_schema(
        summary="Links between nodes",
        operation_id="fabric",
        responses={200: FabricNodeSerializer(many=True), **refusals()},
    )
    def get(self, _request: Request) -> Response:
        return Response(FabricNodeSerializer(fabric_links(), many=True).data)


@extend_schema_view(
    list=extend_schema(
        summary="List fabric tests", responses={200: FabricTestSerializer(many=True), **refusals()}
    ),
    retrieve=extend_schema(summary="One fabric test", responses={200: FabricTestSerializer, **refusals(404)}),
)
class FabricTestViewSet(ReadOnlyModelViewSet[FabricTest]):
    """Tests of links; operators begin them."""

    queryset = FabricTest.objects.select_related("requested_by")
    serializer_class = FabricTestSerializer
    filterset_fields = ["state", "tone", "cause", "first_node", "second_node"]
    lookup_field = "uid"
    lookup_value_regex = r"[0-9a-f]{16}"
    required_roles = {"create": Role.OPERATOR}

    @extend_schema(
        summary="Test the link between two nodes",
        description="409 model_serves while a model lies over both nodes and no reason is given, fabric_busy "
        "while another test of one of them runs, node_away, no_fabric_address, nodes_wanted.",
        request=FabricTestWrite,
        responses={202: FabricTestSerializer, **refusals(409)},
    )
    def create(self, request: Request) -> Response:
        wanted = FabricTestWrite(data=request.data)
        wanted.is_valid(raise_exception=True)
        test = fabric_test_create(
            nodes=wanted.validated_data["nodes"],
            actor=api_actor(request),
            force_reason=wanted.validated_data.get("force_reason", ""),
        )
        return Response(FabricTestSerializer(test).data, status=status.HTTP_202_ACCEPTED)
