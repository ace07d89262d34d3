"""Nodes' storage as the API shows it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from metrics_app.models import Node
from models_app.models_storage import JobKind, StorageEvent, StorageJob, StorageKind
from models_app.storage_jobs import REPO_TYPES
from sparkweb.api import NamedField


class StorageUseSerializer(serializers.Serializer[Any]):
    """A definition that needs an item."""

    slug = serializers.CharField()
    name = serializers.CharField()
    live = serializers.BooleanField(help_text="It runs on this node, so the item cannot be deleted.")


class StorageItemSerializer(serializers.Serializer[Any]):
    """One repository, Ollama model or image. `key` names it in a deletion."""

    key = serializers.CharField(source="item.key")
    kind = serializers.ChoiceField(StorageKind.choices, source="item.kind")
    name = serializers.CharField(source="item.name")
    size_bytes = serializers.IntegerField(source="item.size_bytes")
    partial_bytes = serializers.IntegerField(source="item.partial_bytes")
    used_at = serializers.DateTimeField(allow_null=True, help_text="Last read or started; null if not known.")
    incomplete = serializers.CharField(source="item.incomplete", help_text="What is missing.")
    note = serializers.CharField(source="item.note")
    detail = serializers.DictField(source="item.detail", help_text="Revisions, tags, containers.")
    used_by = StorageUseSerializer(source="uses", many=True)


class StorageSerializer(serializers.Serializer[Any]):
    """What lies on a node, largest first."""

    node = serializers.CharField()
    listed_at = serializers.DateTimeField(allow_null=True, help_text="Null before the first listing.")
    areas = serializers.DictField(help_text="By area: path, bytes, free_bytes, disk_bytes, status, message.")
    left_out_count = serializers.IntegerField(help_text="Smaller items that the listing leaves out.")
    left_out_bytes = serializers.IntegerField()
    items = StorageItemSerializer(many=True)


class StorageDeleteWrite(serializers.Serializer[Any]):
    """What to delete, by its key; of a repository also `key@commit` or `key@partial`."""

    key = serializers.CharField(max_length=400)


class ScanAskedSerializer(serializers.Serializer[Any]):
    asked = serializers.BooleanField(help_text="False: the node was not reached; it looks by itself later.")


class StorageJobSerializer(serializers.ModelSerializer[StorageJob]):
    """A download, pull or deletion, and how it went."""

    node = serializers.CharField(source="node_name", read_only=True)
    requested_by = serializers.CharField(
        source="requested_by.username", default=None, allow_null=True, read_only=True
    )
    subject = serializers.DictField(read_only=True)

    class Meta:
        model = StorageJob
        fields = ["uid", "node", "kind", "title", "subject", "desired", "state", "live", "done_bytes",
                  "total_bytes", "message", "failure_code", "failure_reason", "requested_by", "created_at",
                  "started_at", "ended_at"]  # fmt: skip
        read_only_fields = fields


class StorageJobWrite(serializers.Serializer[Any]):
    """What to get ahead. A repository with its revision and patterns, else `model` or `image`."""

    node = NamedField(
        slug_field="name", queryset=Node.objects.all(), required=False, help_text="This machine if left out."
    )
    kind = serializers.ChoiceField([choice for choice in JobKind.choices if choice[0] != JobKind.DELETE])
    repo = serializers.CharField(max_length=200, required=False, default="")
    repo_type = serializers.ChoiceField(REPO_TYPES, required=False, default="model")
    revision = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)
    patterns = serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, default=list, max_length=20
    )
    model = serializers.CharField(max_length=200, required=False, default="")
    image = serializers.CharField(max_length=300, required=False, default="")


class StorageEventSerializer(serializers.ModelSerializer[StorageEvent]):
    class Meta:
        model = StorageEvent
        fields = ["at", "kind", "message", "actor_label"]
        read_only_fields = fields
