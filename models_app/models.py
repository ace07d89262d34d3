"""What can run (definitions) and what ran (launches, attempts, members, events)."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from metrics_app.models import Node
from models_app.catalogue_check import IDLE_MINUTES_MOST, PRIORITY_MOST
from models_app.definition_checks import definition_problems
from models_app.engines.registry import NODES_MOST, calls_tools, context_length
from models_app.models_preflight import Preflight  # noqa: F401 - Django looks for tables here
from models_app.models_storage import (  # noqa: F401 - Django looks for tables here
    NodeStorage,
    StorageEvent,
    StorageItem,
    StorageJob,
)
from models_app.uids import uid_make


class Engine(models.TextChoices):
    VLLM = "vllm", "vLLM"
    OLLAMA = "ollama", "Ollama"
    SGLANG = "sglang", "SGLang"
    LLAMACPP = "llamacpp", "llama.cpp"
    TRTLLM = "trtllm", "TensorRT-LLM"
    NIM = "nim", "NIM"
    SCRIPT = "script", "Script"
    CUSTOM = "custom", "Custom"


class Publish(models.TextChoices):
    """Where an engine's port is reachable."""

    LOCAL = "local", "This node only"
    FABRIC = "fabric", "The fabric link"
    LAN = "lan", "The whole LAN, without a key"


class CatalogueDefaults(models.Model):
    """What models.yaml says beside its models: one row."""

    schema_version = models.CharField(max_length=16, default="1.0")
    defaults = models.JSONField(default=dict)
    extra = models.JSONField(default=dict, help_text="Unknown top-level keys, kept for export.")
    key_order = models.JSONField(default=list, help_text="Keys in the file's order, kept for export.")

    class Meta:
        verbose_name_plural = "catalogue defaults"

    def __str__(self) -> str:
        return f"defaults of models.yaml {self.schema_version}"


class ModelDefinition(models.Model):
    """A model that can be started: one entry of models.yaml."""

    slug = models.CharField(
        max_length=80,
        unique=True,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9._-]*$", "Lower-case letters, digits, dots, hyphens.")],
        help_text="The name that clients use for the model.",
    )
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    engine = models.CharField(max_length=16, choices=Engine.choices, default=Engine.VLLM)
    model_id = models.CharField(max_length=300, help_text="Hugging Face id, or a path inside the image.")
    image = models.CharField(max_length=300, blank=True, help_text="The engine's default if empty.")
    port = models.PositiveIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(65535)], help_text="On the node."
    )
    container_name = models.CharField(max_length=128, blank=True)
    script_dir = models.CharField(max_length=200, blank=True)
    settings = models.JSONField(default=dict, blank=True)
    estimated_memory_gb = models.DecimalField(max_digits=7, decimal_places=2, null=True, blank=True)
    publish = models.CharField(max_length=8, choices=Publish.choices, default=Publish.LOCAL)
    node_count = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(NODES_MOST)],
        help_text="How many nodes the model lies on; only vLLM can span several.",
    )
    enabled = models.BooleanField(default=True)
    priority = models.SmallIntegerField(
        default=0,
        validators=[MinValueValidator(-PRIORITY_MOST), MaxValueValidator(PRIORITY_MOST)],
        help_text="When memory runs out, lower ones go first.",
    )
    pinned = models.BooleanField(
        default=False,
        help_text="Goes last, after every one that is not pinned; idle unload and schedules leave it alone.",
    )
    idle_minutes = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(IDLE_MINUTES_MOST)],
        help_text="Unloaded after so many minutes without a request; never if empty.",
    )
    start_on_boot = models.BooleanField(
        default=False, help_text="Started when the node that it last ran on has booted."
    )
    extra = models.JSONField(default=dict, blank=True, help_text="Unknown keys, kept for export.")
    key_order = models.JSONField(default=list, blank=True, editable=False)
    position = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["position", "slug"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("definition", args=[self.slug])

    def clean(self) -> None:
        """Refuse what no start could use (definition_checks.py)."""
        if problems := definition_problems(self):
            raise ValidationError(problems)

    @property
    def supports_tools(self) -> bool:
        return calls_tools(self.engine, self.settings)

    @property
    def max_context_length(self) -> int | None:
        return context_length(self.engine, self.settings)


class LaunchState(models.TextChoices):
    REQUESTED = "requested", "Requested"
    PULLING = "pulling", "Pulling image"
    STARTING = "starting", "Starting"
    LOADING = "loading", "Loading"
    READY = "ready", "Ready"
    DEGRADED = "degraded", "Degraded"
    STOPPING = "stopping", "Stopping"
    STOPPED = "stopped", "Stopped"
    FAILED = "failed", "Failed"
    PARKED = "parked", "Parked"
    LOST = "lost", "Lost"


ENDED_STATES = (LaunchState.STOPPED, LaunchState.FAILED, LaunchState.PARKED)
SERVING_STATES = (LaunchState.READY, LaunchState.DEGRADED)


class Desired(models.TextChoices):
    RUNNING = "running", "Running"
    STOPPED = "stopped", "Stopped"


class Launch(models.Model):
    """Someone's wish that a definition runs on a node, and how it went."""

    uid = models.CharField(max_length=16, unique=True, default=uid_make, editable=False)
    definition = models.ForeignKey(
        ModelDefinition, null=True, on_delete=models.SET_NULL, related_name="launches"
    )
    definition_slug = models.CharField(max_length=80, db_index=True)
    engine = models.CharField(max_length=16, choices=Engine.choices)
    node = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="launches")
    node_name = models.CharField(max_length=40)
    desired = models.CharField(max_length=8, choices=Desired.choices, default=Desired.RUNNING)
    state = models.CharField(max_length=12, choices=LaunchState.choices, default=LaunchState.REQUESTED)
    generation = models.PositiveIntegerField(default=1)
    live = models.BooleanField(default=True, help_text="Not yet ended.")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    forced_reason = models.CharField(max_length=300, blank=True)
    settings_overlay = models.JSONField(
        default=dict,
        blank=True,
        help_text="Settings of this launch alone; null takes one back.",
    )
    adopted_foreign = models.BooleanField(
        default=False, help_text="Its container was started by somebody else: watched, never removed."
    )
    corrects = models.CharField(max_length=16, blank=True, help_text="The failed launch that this corrects.")
    failure_code = models.CharField(max_length=40, blank=True)
    failure_reason = models.TextField(blank=True)
    retry_at = models.DateTimeField(null=True, blank=True, help_text="When the next attempt begins.")
    schedule = models.ForeignKey(
        "models_app.Schedule", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    restart_wanted = models.BooleanField(default=False, help_text="Begin a new attempt once this one ended.")
    waits_for = models.CharField(
        max_length=300, blank=True, help_text="What has to happen before its first attempt begins."
    )
    memory_needed_bytes = models.BigIntegerField(
        null=True, blank=True, help_text="What a start was expected to take; of each GPU if it has several."
    )
    memory_sum = models.JSONField(null=True, blank=True, help_text="How that was counted.")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    state_changed_at = models.DateTimeField(default=timezone.now)
    ready_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name_plural = "launches"
        indexes = [
            models.Index(fields=["state"]),
            models.Index(fields=["definition_slug", "-created_at"]),
            # The live or newest launch of each definition is one step down each of these.
            models.Index(fields=["definition", "live", "id"]),
            models.Index(fields=["definition", "node", "live", "id"]),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["definition", "node"],
                condition=Q(live=True),
                name="one_live_launch_per_definition_and_node",
            )
        ]

    def __str__(self) -> str:
        return f"{self.definition_slug} on {self.node_name}"

    def get_absolute_url(self) -> str:
        return reverse("launch", args=[self.uid])

    @property
    def is_serving(self) -> bool:
        return self.state in SERVING_STATES


class Outcome(models.TextChoices):
    OPEN = "open", "Open"
    STOPPED = "stopped", "Stopped"
    FAILED = "failed", "Failed"


class LaunchAttempt(models.Model):
    """One try to run a launch; a restart is a new attempt of the same launch."""

    launch = models.ForeignKey(Launch, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    generation = models.PositiveIntegerField()
    started_at = models.DateTimeField(default=timezone.now)
    ready_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=8, choices=Outcome.choices, default=Outcome.OPEN)
    ran_with = models.JSONField(default=dict, help_text="The definition as it was used, defaults within.")
    failure_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["launch", "number"], name="attempt_number_once")]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.launch}"


class Stage(models.TextChoices):
    """What a start goes through before it is ready; any may be missing."""

    PULL = "pull", "Image"
    CREATE = "create", "Container"
    DOWNLOAD = "download", "Download"
    LOAD = "load", "Loading"
    COMPILE = "compile", "Compiling"
    WARMUP = "warmup", "Warm-up"


class StageTiming(models.Model):
    """How long an attempt was in one stage on its way up, and when something last moved there."""

    attempt = models.ForeignKey(LaunchAttempt, on_delete=models.CASCADE, related_name="stages")
    name = models.CharField(max_length=8, choices=Stage.choices)
    began_at = models.DateTimeField(default=timezone.now)
    progress_at = models.DateTimeField(default=timezone.now)
    seconds = models.FloatField(default=0, help_text="In this stage, by measured_at.")
    measured_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["began_at", "pk"]
        constraints = [models.UniqueConstraint(fields=["attempt", "name"], name="stage_once_per_attempt")]

    def __str__(self) -> str:
        return f"{self.get_name_display()} of {self.attempt}"


class LaunchMember(models.Model):
    """One container of an attempt on one node."""

    uid = models.CharField(max_length=16, unique=True, default=uid_make, editable=False)
    attempt = models.ForeignKey(LaunchAttempt, on_delete=models.CASCADE, related_name="members")
    node = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="members")
    rank = models.PositiveIntegerField(default=0)
    port = models.PositiveIntegerField()
    live = models.BooleanField(default=True)
    container_name = models.CharField(max_length=160)
    container_id = models.CharField(max_length=64, blank=True)
    image = models.CharField(max_length=300)
    image_digest = models.CharField(max_length=120, blank=True)
    spec = models.JSONField(default=dict)
    notes = models.JSONField(default=list)
    conditions = models.JSONField(
        default=dict, help_text="Settings that counted, driver, agent and free memory when it began."
    )
    phase = models.CharField(max_length=12, blank=True)
    stage = models.JSONField(null=True, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    oom_killed = models.BooleanField(null=True, blank=True)
    peak_memory_bytes = models.BigIntegerField(null=True, blank=True)
    last_log = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["rank"]
        constraints = [
            models.UniqueConstraint(
                fields=["node", "port"], condition=Q(live=True), name="one_live_member_per_node_and_port"
            )
        ]

    def __str__(self) -> str:
        return self.container_name

    @property
    def argv(self) -> list[str]:
        return [*(self.spec.get("entrypoint") or []), *self.spec.get("command", [])]


class GuardianAction(models.TextChoices):
    """What the memory guardian did."""

    KILL = "kill", "Stopped it"
    SPARE = "spare", "Spared it"
    NOTHING_LEFT = "nothing_left", "Found nothing to stop"


class GuardianAct(models.Model):
    """The evidence of one act of a node's memory guardian."""

    uid = models.CharField(max_length=16, unique=True, editable=False)
    node = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="guardian_acts")
    node_name = models.CharField(max_length=40)
    launch = models.ForeignKey(Launch, null=True, on_delete=models.SET_NULL, related_name="guardian_acts")
    definition_slug = models.CharField(max_length=80, blank=True)
    action = models.CharField(max_length=16, choices=GuardianAction.choices)
    victim_kind = models.CharField(max_length=16, blank=True)
    cause = models.CharField(max_length=24)
    sentence = models.TextField()
    available_bytes = models.BigIntegerField()
    total_bytes = models.BigIntegerField(null=True)
    floor_bytes = models.BigIntegerField()
    lower_floor_bytes = models.BigIntegerField()
    readings = models.JSONField(default=list, help_text="Seconds before it acted, available bytes, stall %.")
    processes_left = models.PositiveIntegerField(default=0)
    at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.get_action_display()}: {self.definition_slug or self.node_name}"


class LogChunk(models.Model):
    """A piece of a container's log: where its lines stand among all, and how large its file is.

    The file is `launch-logs/<member>/<number>.gz` below the data folder (models_app/log_archive.py).
    """

    member = models.ForeignKey(LaunchMember, on_delete=models.CASCADE, related_name="log_chunks")
    number = models.PositiveIntegerField()
    first_line = models.PositiveIntegerField()
    lines = models.PositiveIntegerField()
    from_at = models.CharField(max_length=40, blank=True)
    to_at = models.CharField(max_length=40, blank=True)
    size_bytes = models.PositiveIntegerField()
    is_last = models.BooleanField(default=False)
    stored_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["member", "number"]
        constraints = [models.UniqueConstraint(fields=["member", "number"], name="log_chunk_once")]

    def __str__(self) -> str:
        return f"lines {self.first_line} to {self.first_line + self.lines} of {self.member}"


class LaunchEvent(models.Model):
    """The timeline of a launch."""

    launch = models.ForeignKey(Launch, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=32)
    from_state = models.CharField(max_length=12, blank=True)
    to_state = models.CharField(max_length=12, blank=True)
    message = models.TextField(blank=True)
    actor_label = models.CharField(max_length=160, blank=True)
    data = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


# Each of these files needs what stands above.
from models_app.models_changes import DefinitionChange  # noqa: E402, F401
from models_app.models_memory import NodeWeights  # noqa: E402, F401
from models_app.models_schedules import NodeBoot, Schedule, Turn  # noqa: E402, F401
from models_app.models_webhooks import Webhook  # noqa: E402, F401
