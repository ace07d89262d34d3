"""Nodes and their figures as the API shows them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from metrics_app.models import Node


class NodeSerializer(serializers.ModelSerializer[Node]):
    """A node of the inventory. `name` is the agent's SPARKWEB_NODE and is set once."""

    capabilities = serializers.DictField(read_only=True, help_text="What its agent reported: Docker, GPUs, …")
    labels = serializers.DictField(required=False)

    class Meta:
        model = Node
        fields = ["name", "label", "role", "lan_address", "fabric_address", "fabric_twin_address",
                  "fabric_interface", "labels",
                  "status", "status_changed_at", "last_seen_at", "agent_version", "unified_memory",
                  "capabilities", "created_at"]  # fmt: skip
        read_only_fields = ["status", "status_changed_at", "last_seen_at", "agent_version", "unified_memory",
                            "created_at"]  # fmt: skip

    def validate_name(self, value: str) -> str:
        if self.instance is not None and value != self.instance.name:
            raise serializers.ValidationError("A node's name cannot be changed; add a new node instead.")
        return value


class NodeMade(NodeSerializer):
    """A new node, with the private key for its agent, shown this once."""

    private_key = serializers.CharField(read_only=True)

    class Meta(NodeSerializer.Meta):
        fields = [*NodeSerializer.Meta.fields, "private_key"]


class EvidenceSerializer(serializers.Serializer[Any]):
    """One figure that a verdict rests on; `words` is it with its unit."""

    name = serializers.CharField()
    value = serializers.FloatField()
    unit = serializers.CharField()
    words = serializers.CharField()


class VerdictSerializer(serializers.Serializer[Any]):
    """What figures mean, in a sentence with its evidence; `since` in seconds (docs/verdicts.md)."""

    kind = serializers.CharField()
    subject = serializers.CharField()
    severity = serializers.CharField(help_text="info, warning or critical")
    title = serializers.CharField()
    sentence = serializers.CharField()
    evidence = EvidenceSerializer(many=True)
    since = serializers.FloatField()


class MemoryRowSerializer(serializers.Serializer[Any]):
    """Who holds memory, bytes."""

    kind = serializers.CharField(help_text="model, container, host or rest")
    name = serializers.CharField()
    gpu_bytes = serializers.IntegerField()
    memory_bytes = serializers.IntegerField()


class MemoryLedgerSerializer(serializers.Serializer[Any]):
    """Where the memory is, bytes; null where it is not told."""

    rows = MemoryRowSerializer(many=True)
    unified = serializers.BooleanField()
    total_bytes = serializers.IntegerField(allow_null=True)
    used_bytes = serializers.IntegerField(allow_null=True)
    reclaimable_bytes = serializers.IntegerField(allow_null=True)
    headroom_bytes = serializers.IntegerField(allow_null=True)


class VerdictsSerializer(serializers.Serializer[Any]):
    """Verdicts of a node, its memory, and the model of each container that is one, by container id."""

    found = VerdictSerializer(many=True)
    memory = MemoryLedgerSerializer()
    exhausted_in_seconds = serializers.IntegerField(allow_null=True)
    sampler = serializers.DictField()
    models = serializers.DictField(child=serializers.CharField())


class SnapshotSerializer(serializers.Serializer[Any]):
    """The newest report of a node and when it came, by control's clock (seconds)."""

    node = serializers.CharField()
    status = serializers.CharField()
    received_at = serializers.FloatField()
    seq = serializers.IntegerField()
    report = serializers.DictField()
    verdicts = VerdictsSerializer(allow_null=True)


class HistorySerializer(serializers.Serializer[Any]):
    """15 minutes of figures as columns: `t` in seconds, one list for each series."""

    node = serializers.CharField()
    t = serializers.ListField(child=serializers.FloatField())
    columns = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField(allow_null=True))
    )


class LogLevelSerializer(serializers.Serializer[Any]):
    level = serializers.ChoiceField(choices=["debug", "info", "warning", "error"])


class CompatGpu(serializers.Serializer[Any]):
    """A GPU as older clients know it; memory in MiB, null where unknown."""

    index = serializers.IntegerField()
    name = serializers.CharField()
    temperature = serializers.FloatField(allow_null=True)
    powerDraw = serializers.FloatField(allow_null=True)  # noqa: N815
    powerLimit = serializers.FloatField(allow_null=True)  # noqa: N815
    memoryUsed = serializers.FloatField(allow_null=True)  # noqa: N815
    memoryTotal = serializers.FloatField(allow_null=True)  # noqa: N815
    utilizationGpu = serializers.FloatField(allow_null=True)  # noqa: N815


class CompatMetrics(serializers.Serializer[Any]):
    """Figures as older clients know them; system memory in GiB."""

    gpus = CompatGpu(many=True)
    memoryUsed = serializers.FloatField(allow_null=True)  # noqa: N815
    memoryTotal = serializers.FloatField(allow_null=True)  # noqa: N815
    cpuUsage = serializers.FloatField(allow_null=True)  # noqa: N815
    timestamp = serializers.DateTimeField()
    node = serializers.CharField()


class CompatUnified(serializers.Serializer[Any]):
    total_gb = serializers.FloatField(allow_null=True)
    available_gb = serializers.FloatField(allow_null=True)
    used_gb = serializers.FloatField(allow_null=True)
    gpu_used_gb = serializers.FloatField(allow_null=True)


class CompatGpuProcess(serializers.Serializer[Any]):
    pid = serializers.IntegerField()
    name = serializers.CharField()
    memory_mb = serializers.FloatField(allow_null=True)
    gpu = serializers.IntegerField()


class CompatDiscreteGpu(serializers.Serializer[Any]):
    total_gb = serializers.FloatField(allow_null=True)
    used_gb = serializers.FloatField(allow_null=True)
    free_gb = serializers.FloatField(allow_null=True)


class CompatMemory(serializers.Serializer[Any]):
    """Memory of a node. `unified` is the host's; `discrete_gpu` is null where there is none."""

    unified = CompatUnified()
    gpu_processes = CompatGpuProcess(many=True)
    discrete_gpu = CompatDiscreteGpu(allow_null=True)
    is_unified = serializers.BooleanField(allow_null=True)
    node = serializers.CharField()


class CompatContainer(serializers.Serializer[Any]):
    name = serializers.CharField()
    status = serializers.CharField()
    ports = serializers.CharField()
