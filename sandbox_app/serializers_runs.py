"""Runs and what they left, as the API tells them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from sandbox_app.job import ARGUMENTS_MOST_BYTES
from sandbox_app.models import Artifact, ToolRun, ToolSession
from sandbox_app.services import KEY_MOST

OUTPUT_PAGE_BYTES = 256 * 1024


class ArtifactSerializer(serializers.ModelSerializer[Artifact]):
    """A file that a run left; `url` has its bytes."""

    url = serializers.SerializerMethodField()
    is_image = serializers.BooleanField(help_text="A raster image, which may be shown")

    class Meta:
        model = Artifact
        fields = [
            "uid",
            "kind",
            "name",
            "media_type",
            "size_bytes",
            "sha256",
            "created_at",
            "is_image",
            "url",
        ]
        extra_kwargs = {"kind": {"help_text": "stdout or stderr (the whole of it), file or image"}}

    def get_url(self, artifact: Artifact) -> str:
        return artifact_url(artifact)


def artifact_url(artifact: Artifact) -> str:
    """Where the bytes are."""
    return f"/api/runs/{artifact.run.uid}/artifacts/{artifact.uid}"


class RunSerializer(serializers.ModelSerializer[ToolRun]):
    """A run without its output. `arguments` have their secrets masked."""

    tool = serializers.CharField(source="tool_name")
    session = serializers.SerializerMethodField()
    replay_of = serializers.SerializerMethodField()
    user = serializers.CharField(source="user_label", help_text="Who asked for it")
    node = serializers.CharField(source="node_name")

    class Meta:
        model = ToolRun
        fields = [
            "uid", "tool", "tool_digest", "session", "replay_of", "user", "via", "node", "arguments",
            "arguments_digest", "detached", "state", "desired", "live", "outcome", "reason", "exit_code",
            "signal", "stdout_bytes", "stderr_bytes", "truncated", "warm", "created_at", "started_at",
            "ended_at", "duration_ms", "cpu_ms", "memory_peak_bytes",
        ]  # fmt: skip

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_session(self, run: ToolRun) -> str | None:
        return run.session.uid if run.session else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_replay_of(self, run: ToolRun) -> str | None:
        return run.replay_of.uid if run.replay_of else None


class RunDetailSerializer(RunSerializer):
    """A run with its output (head and tail where it was long), policy, read-back limits and artifacts."""

    artifacts = ArtifactSerializer(many=True)

    class Meta(RunSerializer.Meta):
        fields = [
            *RunSerializer.Meta.fields,
            "policy", "limits", "stdout", "stderr", "result", "egress", "container_id", "image_digest",
            "artifacts",
        ]  # fmt: skip


class RunWrite(serializers.Serializer[Any]):
    """A call. The arguments are checked against the tool's schema."""

    tool = serializers.CharField(max_length=64)
    arguments = serializers.JSONField(
        default=dict, help_text=f"An object, at most {ARGUMENTS_MOST_BYTES} bytes"
    )
    session = serializers.UUIDField(required=False, allow_null=True, default=None)
    node = serializers.CharField(required=False, max_length=40, default="")
    idempotency_key = serializers.CharField(required=False, max_length=KEY_MOST, default="", allow_blank=True)
    detached = serializers.BooleanField(
        default=True, help_text="False: the run is cancelled when nobody follows its stream any more"
    )


class RunReasonWrite(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, max_length=200, default="", allow_blank=True)


class OutputQuery(serializers.Serializer[Any]):
    fd = serializers.ChoiceField(choices=[1, 2], default=1, help_text="1 output, 2 error output")
    offset = serializers.IntegerField(min_value=0, max_value=2**60, default=0)
    limit = serializers.IntegerField(min_value=1, max_value=OUTPUT_PAGE_BYTES, default=64 * 1024)


class OutputSerializer(serializers.Serializer[Any]):
    """A piece of the output, in bytes. `whole` is false where only head and tail were kept."""

    fd = serializers.IntegerField()
    offset = serializers.IntegerField()
    size_bytes = serializers.IntegerField(help_text="Of all that can be read here")
    next_offset = serializers.IntegerField(allow_null=True)
    text = serializers.CharField(allow_blank=True, help_text="With U+FFFD for what is no UTF-8")
    base64 = serializers.CharField(allow_blank=True, help_text="The bytes as they are")
    whole = serializers.BooleanField()


class ExecuteWrite(serializers.Serializer[Any]):
    """The call of older clients."""

    args = serializers.JSONField(default=dict)
    session_id = serializers.UUIDField(required=False, allow_null=True, default=None)
    idempotency_key = serializers.CharField(required=False, max_length=KEY_MOST, default="", allow_blank=True)
    detached = serializers.BooleanField(
        default=False, help_text="True: the run goes on when its caller leaves"
    )


class ExecuteSerializer(serializers.Serializer[Any]):
    """The answer to older clients, and beside it how the run ended exactly."""

    success = serializers.BooleanField()
    output = serializers.CharField(allow_blank=True)
    error = serializers.CharField(allow_null=True)
    execution_time = serializers.FloatField(allow_null=True, help_text="Seconds")
    exec_id = serializers.CharField(help_text="The run, as in /api/runs")
    outcome = serializers.CharField()
    exit_code = serializers.IntegerField(allow_null=True)
    stderr = serializers.CharField(allow_blank=True)
    result = serializers.JSONField(allow_null=True)
    truncated = serializers.BooleanField()
    artifacts = ArtifactSerializer(many=True)


def session_of(uid: Any) -> ToolSession | None:
    """The session of an id; None where there is none. Whose it is, the service asks."""
    return ToolSession.objects.filter(uid=str(uid)).first() if uid else None
