"""What the API takes about containers that SparkWeb did not start."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from models_app.models import ModelDefinition
from sparkweb.api import NamedField


class StopWrite(serializers.Serializer[Any]):
    """How to stop a launch."""

    confirm = serializers.CharField(
        max_length=160,
        required=False,
        default="",
        allow_blank=True,
        help_text="The name of an adopted container, which is somebody else's; not needed for any other.",
    )


class AdoptWrite(serializers.Serializer[Any]):
    """Which container of the node serves which definition."""

    container_id = serializers.RegexField(r"^[0-9a-f]{12,64}$", help_text="At least its first 12 digits.")
    definition = NamedField(slug_field="slug", queryset=ModelDefinition.objects.all())
