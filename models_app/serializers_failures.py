"""Failure cards and comparisons as the API shows them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class ChangeSerializer(serializers.Serializer[Any]):
    """One setting of a correction; null is not set."""

    name = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class FailureCardSerializer(serializers.Serializer[Any]):
    """`evidence` is the engine's own line; `kind` is stable, the sentences may be reworded."""

    kind = serializers.CharField()
    title = serializers.CharField()
    evidence = serializers.CharField()
    advice = serializers.CharField()
    changes = ChangeSerializer(many=True)


class FailureSerializer(serializers.Serializer[Any]):
    failure = FailureCardSerializer(allow_null=True)


class CorrectionWrite(serializers.Serializer[Any]):
    """`force_reason` starts it although memory is short, and is kept."""

    force_reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)


class DifferenceSerializer(serializers.Serializer[Any]):
    """One thing that was not the same, as text; empty where it was not there."""

    name = serializers.CharField()
    good = serializers.CharField(allow_blank=True)
    now = serializers.CharField(allow_blank=True)


class GoodRunSerializer(serializers.Serializer[Any]):
    """The last run of the same definition on the same node that became ready, and what differs."""

    good_launch = serializers.CharField(source="good_launch.uid")
    good_attempt = serializers.IntegerField(source="good.attempt.number")
    differences = DifferenceSerializer(many=True)


class ComparisonSerializer(serializers.Serializer[Any]):
    comparison = GoodRunSerializer(allow_null=True)
