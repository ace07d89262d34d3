"""Definitions and launches as the API shows them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from metrics_app.models import Node
from models_app.members import launch_node_names
from models_app.models import (
    GuardianAct,
    Launch,
    LaunchAttempt,
    LaunchEvent,
    LaunchMember,
    ModelDefinition,
    StageTiming,
)
from models_app.models_preflight import Preflight
from models_app.selectors import DefinitionCard, compat_status, launch_progress
from models_app.start_stages import STARTING_STATES
from sparkweb.api import NamedField

COMPAT_STATUSES = ["running", "starting", "stopped", "not_created"]


class DefinitionSerializer(serializers.ModelSerializer[ModelDefinition]):
    """A model that can be started. `slug` is the name that clients use, and is set once."""

    settings = serializers.DictField(required=False, help_text="The engine's settings, with its own names.")
    extra = serializers.DictField(read_only=True, help_text="Unknown keys of models.yaml, kept for export.")
    supports_tools = serializers.BooleanField(read_only=True)
    max_context_length = serializers.IntegerField(read_only=True, allow_null=True)

    class Meta:
        model = ModelDefinition
        fields = ["slug", "name", "description", "engine", "model_id", "image", "port", "container_name",
                  "script_dir", "settings", "estimated_memory_gb", "publish", "node_count", "enabled",
                  "priority", "pinned", "idle_minutes", "start_on_boot", "extra", "position",
                  "supports_tools", "max_context_length", "created_at", "updated_at"]  # fmt: skip
        read_only_fields = ["created_at", "updated_at"]
        extra_kwargs = {
            "estimated_memory_gb": {"coerce_to_string": False, "min_value": 0},
            "position": {"required": False},
        }

    def validate_slug(self, value: str) -> str:
        if self.instance is not None and value != self.instance.slug:
            raise serializers.ValidationError("The slug cannot be changed; make a new definition instead.")
        return value


class MemberSerializer(serializers.ModelSerializer[LaunchMember]):
    """One container of an attempt. `argv` is what runs inside it."""

    node = serializers.CharField(source="node.name", default=None, read_only=True, allow_null=True)
    argv = serializers.ListField(child=serializers.CharField(), read_only=True)
    container_id = serializers.SerializerMethodField()
    attempt = serializers.IntegerField(source="attempt.number", read_only=True)
    notes = serializers.ListField(child=serializers.CharField(), read_only=True)
    stage = serializers.DictField(read_only=True, allow_null=True)

    class Meta:
        model = LaunchMember
        fields = ["uid", "attempt", "node", "rank", "port", "live", "container_name", "container_id", "image",
                  "image_digest", "argv", "notes", "phase", "stage", "exit_code", "oom_killed",
                  "peak_memory_bytes", "started_at", "finished_at"]  # fmt: skip
        read_only_fields = fields

    def get_container_id(self, member: LaunchMember) -> str | None:
        return member.container_id or None


class StageSerializer(serializers.ModelSerializer[StageTiming]):
    """One stage on an attempt's way up; `seconds` is how long it was in it, by `measured_at`."""

    class Meta:
        model = StageTiming
        fields = ["name", "began_at", "progress_at", "seconds", "measured_at"]
        read_only_fields = fields


class SpreadSerializer(serializers.Serializer[Any]):
    median_seconds = serializers.FloatField()
    low_seconds = serializers.FloatField()
    high_seconds = serializers.FloatField()


class StageTimeSerializer(serializers.Serializer[Any]):
    stage = serializers.CharField()
    seconds = serializers.FloatField(allow_null=True, help_text="This start so far")
    usual = SpreadSerializer(allow_null=True, help_text="Earlier starts; null where none had it")


class TimeToGoSerializer(serializers.Serializer[Any]):
    """How long a start will still take, by earlier ones of the same definition, image and node."""

    starts = serializers.IntegerField(source="to_go.starts", help_text="How many it was learned from")
    left = SpreadSerializer(source="to_go.left", allow_null=True, help_text="null where nothing can be said")
    exceeded = serializers.BooleanField(source="to_go.exceeded", help_text="It takes longer than all of them")
    sentence = serializers.CharField(source="to_go.sentence")
    stages = StageTimeSerializer(many=True)


class AttemptSerializer(serializers.ModelSerializer[LaunchAttempt]):
    stages = StageSerializer(many=True, read_only=True)

    class Meta:
        model = LaunchAttempt
        fields = ["number", "generation", "started_at", "ready_at", "ended_at", "outcome", "failure_reason",
                  "stages"]  # fmt: skip
        read_only_fields = fields


class LaunchSerializer(serializers.ModelSerializer[Launch]):
    """A wish that a definition runs on a node, and how it went."""

    definition = serializers.CharField(source="definition_slug", read_only=True)
    node = serializers.CharField(source="node_name", read_only=True)
    nodes = serializers.SerializerMethodField(help_text="All its nodes by rank; the first serves.")
    status = serializers.SerializerMethodField(
        help_text="running, starting or stopped, as older clients know it"
    )
    requested_by = serializers.CharField(
        source="requested_by.username", default=None, allow_null=True, read_only=True
    )
    attempts = AttemptSerializer(many=True, read_only=True)
    settings_overlay = serializers.DictField(
        read_only=True, help_text="Settings of this launch alone; null takes one back."
    )

    class Meta:
        model = Launch
        fields = ["uid", "definition", "engine", "node", "nodes", "desired", "state", "status", "live",
                  "generation", "requested_by", "forced_reason", "adopted_foreign",
                  "settings_overlay", "corrects",
                  "failure_code", "failure_reason", "retry_at", "waits_for", "memory_needed_bytes",
                  "created_at", "state_changed_at", "ready_at", "ended_at", "attempts"]  # fmt: skip
        read_only_fields = fields

    def get_nodes(self, launch: Launch) -> list[str]:
        return launch_node_names(launch)

    def get_status(self, launch: Launch) -> str:
        return compat_status(launch.state)


class LaunchDetailSerializer(LaunchSerializer):
    """One launch, with what earlier starts say of how long it will still take."""

    time_to_go = serializers.SerializerMethodField(
        help_text="null once it is ready or over, and while nothing was learned"
    )

    class Meta(LaunchSerializer.Meta):
        fields = [*LaunchSerializer.Meta.fields, "time_to_go"]
        read_only_fields = fields

    @extend_schema_field(TimeToGoSerializer(allow_null=True))
    def get_time_to_go(self, launch: Launch) -> dict[str, Any] | None:
        if launch.state not in STARTING_STATES:
            return None
        times = launch_progress(launch).times
        return TimeToGoSerializer(times).data if times.to_go else None


class LaunchWrite(serializers.Serializer[Any]):
    """What to start where. `force_reason` starts it although memory is short, and is kept.

    With `stop` those launches are stopped first, and it starts once their memory is back.
    """

    definition = NamedField(slug_field="slug", queryset=ModelDefinition.objects.all())
    node = NamedField(
        slug_field="name", queryset=Node.objects.all(), required=False, help_text="This machine if left out."
    )
    nodes = NamedField(
        slug_field="name", queryset=Node.objects.all(), many=True, required=False,
        help_text="Instead of `node`, for a model that lies on several: the first serves it.",
    )  # fmt: skip
    force_reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)
    stop = serializers.ListField(
        child=serializers.RegexField(r"^[0-9a-f]{16}$"),
        required=False,
        max_length=20,
        help_text="Launches (uid) of the same node to stop first.",
    )


class PreflightWrite(serializers.Serializer[Any]):
    """On which nodes, by rank: the first serves."""

    nodes = NamedField(slug_field="name", queryset=Node.objects.all(), many=True, allow_empty=False)


class PreflightCheckSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    verdict = serializers.CharField(help_text="ok, advice (it works, worse) or refused")
    sentence = serializers.CharField()


class PreflightSerializer(serializers.ModelSerializer[Preflight]):
    """What several nodes found out before a model is laid over them."""

    definition = serializers.CharField(source="definition_slug", read_only=True)
    nodes = serializers.ListField(child=serializers.CharField(), read_only=True)
    checks = PreflightCheckSerializer(many=True, read_only=True)

    class Meta:
        model = Preflight
        fields = ["uid", "definition", "nodes", "passed", "checks", "created_at"]
        read_only_fields = fields


class EventSerializer(serializers.ModelSerializer[LaunchEvent]):
    data = serializers.DictField(read_only=True)  # type: ignore[assignment]

    class Meta:
        model = LaunchEvent
        fields = ["at", "kind", "from_state", "to_state", "message", "actor_label", "data"]
        read_only_fields = fields


class EngineFiguresSerializer(serializers.Serializer[Any]):
    """An engine's own figures. What is null is explained in `why`: unsupported or stale."""

    requests_running = serializers.IntegerField(allow_null=True)
    requests_waiting = serializers.IntegerField(allow_null=True)
    prompt_tokens_total = serializers.IntegerField(allow_null=True, help_text="Since the engine started.")
    generation_tokens_total = serializers.IntegerField(allow_null=True, help_text="Since the engine started.")
    kv_cache_percent = serializers.FloatField(allow_null=True)
    prompt_tokens_per_second = serializers.FloatField(allow_null=True)
    generation_tokens_per_second = serializers.FloatField(allow_null=True)
    loaded = serializers.BooleanField(allow_null=True, help_text="Ollama: the model is in memory.")
    why = serializers.DictField(child=serializers.CharField())


class GuardianActSerializer(serializers.ModelSerializer[GuardianAct]):
    """What a node's memory guardian did, and by which figures. `launch` is null when nothing was ended."""

    node = serializers.CharField(source="node_name")
    launch = serializers.CharField(source="launch.uid", default=None, allow_null=True)
    readings = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField(allow_null=True)),
        help_text="Seconds before it acted, available bytes, percent of the time that all waited for memory",
    )

    class Meta:
        model = GuardianAct
        fields = ["uid", "at", "node", "launch", "definition_slug", "action", "victim_kind", "cause",
                  "sentence", "available_bytes", "total_bytes", "floor_bytes", "lower_floor_bytes",
                  "processes_left", "readings"]  # fmt: skip
        read_only_fields = fields


class LogSerializer(serializers.Serializer[Any]):
    lines = serializers.ListField(child=serializers.CharField())


class MemoryCheckSerializer(serializers.Serializer[Any]):
    """Whether the estimate fits into what the node has left, in GiB."""

    can_start = serializers.BooleanField()
    available_gb = serializers.FloatField(allow_null=True)
    required_gb = serializers.FloatField(allow_null=True)
    remaining_gb = serializers.FloatField(allow_null=True)
    warning = serializers.CharField(allow_null=True)
    error = serializers.CharField(allow_null=True)


class MemoryLineSerializer(serializers.Serializer[Any]):
    """One line of the sum; `within` lies inside the line above and is not added."""

    label = serializers.CharField()  # type: ignore[assignment]
    bytes = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]
    within = serializers.BooleanField()


class MemoryStopSerializer(serializers.Serializer[Any]):
    """A launch that could be stopped to make room, and what that gives back."""

    launch = serializers.CharField()
    name = serializers.CharField()
    bytes = serializers.IntegerField()
    priority = serializers.IntegerField()
    pinned = serializers.BooleanField()


class MemoryAnswerSerializer(MemoryCheckSerializer):
    """The whole sum: what a start takes (`demand`) and what the node has (`room`), line by line."""

    verdict = serializers.ChoiceField(choices=["yes", "tight", "no", "unknown"])
    basis = serializers.ChoiceField(choices=["weights", "share", "estimate", "peak", "unknown"])
    required_bytes = serializers.IntegerField(allow_null=True)
    available_bytes = serializers.IntegerField(allow_null=True)
    remaining_bytes = serializers.IntegerField(allow_null=True)
    reclaimable_bytes = serializers.IntegerField(allow_null=True)
    short_bytes = serializers.IntegerField()
    cards = serializers.IntegerField(help_text="GPUs that each need all of it; 0: one measure")
    demand = MemoryLineSerializer(many=True)
    room = MemoryLineSerializer(many=True)
    advice = serializers.ListField(child=serializers.CharField())
    stop = MemoryStopSerializer(many=True)


class DockerRunSerializer(serializers.Serializer[Any]):
    """What a start would do, as a line for a shell, and notes on settings."""

    line = serializers.CharField()
    notes = serializers.ListField(child=serializers.CharField())


class ImportSerializer(serializers.Serializer[Any]):
    created = serializers.ListField(child=serializers.CharField())
    updated = serializers.ListField(child=serializers.CharField())
    unchanged = serializers.ListField(child=serializers.CharField())


class StartupProgressSerializer(serializers.Serializer[Any]):
    elapsed_seconds = serializers.FloatField()
    timeout_seconds = serializers.IntegerField()
    progress_percent = serializers.FloatField(allow_null=True)
    stage = serializers.CharField()
    message = serializers.CharField()


class CompatModelSerializer(serializers.Serializer[Any]):
    """A model as older clients know it; `state` is the true state beside the older `status`."""

    id = serializers.CharField(source="definition.slug")
    name = serializers.CharField(source="definition.name")
    engine = serializers.CharField(source="definition.engine")
    port = serializers.IntegerField(source="definition.port")
    status = serializers.ChoiceField(choices=COMPAT_STATUSES, source="compat_status")
    state = serializers.CharField()
    container_name = serializers.SerializerMethodField()
    memory_mb = serializers.SerializerMethodField()
    startup_progress = serializers.SerializerMethodField()
    description = serializers.CharField(source="definition.description")
    estimated_memory_gb = serializers.FloatField(source="definition.estimated_memory_gb", allow_null=True)
    model_id = serializers.CharField(source="definition.model_id")
    max_context_length = serializers.IntegerField(source="definition.max_context_length", allow_null=True)
    supports_tools = serializers.BooleanField(source="definition.supports_tools")
    tool_call_parser = serializers.SerializerMethodField()
    node = serializers.CharField(source="launch.node_name", default=None, allow_null=True)

    def get_container_name(self, card: DefinitionCard) -> str:
        return card.member.container_name if card.member else card.definition.container_name

    def get_memory_mb(self, card: DefinitionCard) -> float | None:
        return None if card.actual_memory_bytes is None else round(card.actual_memory_bytes / 2**20, 1)

    @extend_schema_field(StartupProgressSerializer(allow_null=True))
    def get_startup_progress(self, card: DefinitionCard) -> dict[str, Any] | None:
        if card.progress is None:
            return None
        return {
            "elapsed_seconds": card.progress.elapsed_seconds,
            "timeout_seconds": card.progress.timeout_seconds,
            "progress_percent": card.progress.percent,
            "stage": card.progress.stage,
            "message": card.progress.message,
        }

    def get_tool_call_parser(self, card: DefinitionCard) -> str | None:
        return card.definition.settings.get("tool_call_parser")


class CompatStartSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    status = serializers.CharField()
    state = serializers.CharField()
    launch = serializers.CharField()
    container_id = serializers.CharField(allow_null=True)
    timeout_seconds = serializers.IntegerField()
    memory_warning = serializers.CharField(required=False)


class CompatStopSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    status = serializers.CharField()
    state = serializers.CharField()


class CompatHealthSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    healthy = serializers.BooleanField()
    status = serializers.CharField()
    state = serializers.CharField()
    message = serializers.CharField()


class CompatLogsSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    logs = serializers.CharField(help_text="The lines as one text")
    lines = serializers.ListField(child=serializers.CharField())
