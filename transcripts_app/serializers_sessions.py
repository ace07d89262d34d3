"""Projects, sessions, records and files as the API tells them."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from rest_framework import serializers

from transcripts_app.archive.models import Project, Record, Session, TranscriptFile
from transcripts_app.format.kinds import Kind
from transcripts_app.views_raw import uuid_text


class TranscriptProjectSerializer(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = ["key", "node", "path", "name", "path_guessed"]


class TranscriptProjectFiguresSerializer(serializers.Serializer[Any]):
    """Sums over a project's sessions; `unpriced` counts those whose cost is not known."""

    sessions = serializers.IntegerField(source="count")
    warmups = serializers.IntegerField()
    prompts = serializers.IntegerField()
    tool_calls = serializers.IntegerField(source="calls")
    errors = serializers.IntegerField()  # type: ignore[assignment]
    agents = serializers.IntegerField()
    tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField(source="output")
    cost_micros = serializers.IntegerField(source="cost", allow_null=True)
    unpriced = serializers.IntegerField()
    active_ms = serializers.IntegerField()
    first_ms = serializers.IntegerField(allow_null=True)
    last_ms = serializers.IntegerField(allow_null=True)
    lines_added = serializers.IntegerField(source="added")
    lines_removed = serializers.IntegerField(source="removed")
    gone = serializers.IntegerField()
    bytes = serializers.IntegerField()


class TranscriptProjectRowSerializer(serializers.Serializer[Any]):
    project = TranscriptProjectSerializer()
    figures = TranscriptProjectFiguresSerializer()


class TranscriptSessionSerializer(serializers.ModelSerializer[Session]):
    """Times are milliseconds since 1970, UTC; `cost_micros` is null where a price is missing."""

    project = TranscriptProjectSerializer()
    models = serializers.ListField(child=serializers.CharField(), source="model_names")
    tokens = serializers.IntegerField(help_text="Of all kinds together")
    forked_from: Any = serializers.SlugRelatedField(slug_field="key", read_only=True)
    node = serializers.CharField(source="source.node")

    class Meta:
        model = Session
        fields = [
            "key", "session_id", "title", "title_kind", "first_prompt", "project", "node", "folder",
            "started_ms", "ended_ms", "active_ms", "changed_ms", "version", "branch", "models", "outcome",
            "records", "prompts", "answers", "tool_calls", "tool_errors", "api_errors", "compactions",
            "agents", "files_touched",
            "lines_added", "lines_removed", "tokens", "input_tokens", "output_tokens", "cache_read_tokens",
            "cache_write_5m_tokens", "cache_write_1h_tokens", "cost_micros", "bytes", "secrets", "is_warmup",
            "forked_from", "gone_ms",
        ]  # fmt: skip


class TranscriptOwnFileSerializer(serializers.ModelSerializer[TranscriptFile]):
    url = serializers.SerializerMethodField(help_text="Its bytes as they were, up to the last whole line")

    class Meta:
        model = TranscriptFile
        fields = ["id", "path", "role", "agent_id", "meta", "generation", "lines", "bad_lines", "read_to",
                  "size", "problem", "gone_ms", "url"]  # fmt: skip

    def get_url(self, file: TranscriptFile) -> str:
        return reverse("api_transcript_file", args=[self.context["session"].key, file.pk])


class TranscriptRecordSerializer(serializers.ModelSerializer[Record]):
    """`text` and `raw` only where asked for; null where the line is too long to come in a list."""

    kind = serializers.SerializerMethodField()
    uuid = serializers.SerializerMethodField()
    text = serializers.SerializerMethodField()
    raw = serializers.SerializerMethodField()

    class Meta:
        model = Record
        fields = ["id", "file", "line", "kind", "type", "subtype", "uuid", "at_ms", "model", "tool",
                  "preview",
                  "is_error", "is_sidechain", "is_meta", "copy_of", "is_conflict", "length", "text",
                  "raw"]  # fmt: skip

    def to_representation(self, instance: Record) -> dict[str, Any]:
        told = super().to_representation(instance)
        mask = self.context.get("mask")
        return told | {"preview": mask.text(told["preview"])} if mask else told

    def get_kind(self, record: Record) -> str:
        return Kind(record.kind).name.lower()

    def get_uuid(self, record: Record) -> str:
        return uuid_text(record)

    def get_text(self, record: Record) -> str | None:
        return self.context.get("texts", {}).get(record.pk)

    def get_raw(self, record: Record) -> dict[str, Any] | None:
        return self.context.get("raws", {}).get(record.pk)


class TranscriptRecordPageSerializer(serializers.Serializer[Any]):
    results = TranscriptRecordSerializer(many=True)
    next_after = serializers.CharField(allow_null=True, help_text="Give it as `after`; null at the end")
