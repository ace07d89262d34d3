"""Tools that can be run, sessions, runs and what they left, and the record of it all."""

from __future__ import annotations

import secrets
import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from metrics_app.models import Node
from sandbox_app.models_audit import AuditHead as AuditHead
from sandbox_app.models_audit import AuditKind as AuditKind
from sandbox_app.models_audit import AuditRecord as AuditRecord
from sandbox_app.models_images import BuildState as BuildState
from sandbox_app.models_images import ImageBuild as ImageBuild
from sandbox_app.models_selftest import SelfTest as SelfTest
from sandbox_app.models_services import ManagedService as ManagedService
from sparkweb.accounts.models import Role


def run_uid_make() -> str:
    """Return 16 random hex digits: the name of a run or artifact in addresses and commands."""
    return secrets.token_hex(8)


def session_uid_make() -> str:
    """Return a random UUID: what nobody guesses is no path, and no other caller's session."""
    return str(uuid.uuid4())


class Tool(models.Model):
    """One TOOL.md folder as it was loaded last, and what the owner decided about it.

    `definition` is the parsed TOOL.md; what the owner set in `overrides` (timeout_seconds,
    memory_bytes, cpu_percent, egress) goes before it. A folder that is refused keeps its row,
    with the reason in `problem`, and cannot be run.
    """

    name = models.CharField(max_length=64, unique=True)
    description = models.TextField(blank=True)
    version = models.CharField(max_length=40, blank=True)
    folder = models.CharField(max_length=400, help_text="Where its TOOL.md lies.")
    digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 over the folder's files.")
    definition = models.JSONField(default=dict)
    problem = models.TextField(blank=True, help_text="Why it was refused at load; empty for a good one.")
    missing = models.BooleanField(default=False, help_text="Its folder is gone.")
    enabled = models.BooleanField(default=True, help_text="The owner's switch.")
    role = models.CharField(
        max_length=16,
        choices=Role.choices,
        default=Role.OPERATOR,
        help_text="The least role that may run it.",
    )
    approval = models.BooleanField(default=False, help_text="Each run waits for somebody's yes.")
    parallel_limit = models.PositiveSmallIntegerField(default=8, help_text="Runs at once, of all callers.")
    overrides = models.JSONField(default=dict, blank=True)
    loaded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def usable(self) -> bool:
        """Enabled, there, and not refused."""
        return self.enabled and not self.missing and not self.problem


class SessionState(models.TextChoices):
    LIVE = "live", "Live"
    ENDING = "ending", "Ending"
    ENDED = "ended", "Ended"


class WorkspaceKind(models.TextChoices):
    EXT4 = "ext4", "Disk image with a quota"
    TMPFS = "tmpfs", "In memory, gone with the session"
    UNKNOWN = "", "Not made yet"


class ToolSession(models.Model):
    """State and files that one caller keeps across calls; nobody else's runs enter it."""

    uid = models.CharField(max_length=36, unique=True, default=session_uid_make, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    label = models.CharField(max_length=120, blank=True)
    node = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="+")
    node_name = models.CharField(max_length=40)
    state = models.CharField(max_length=8, choices=SessionState.choices, default=SessionState.LIVE)
    generation = models.PositiveIntegerField(default=1)
    workspace = models.CharField(max_length=8, choices=WorkspaceKind.choices, blank=True, default="")
    workspace_note = models.CharField(max_length=300, blank=True, help_text="Why it is not a disk image.")
    size_bytes = models.BigIntegerField(default=256 * 2**20)
    inodes = models.PositiveIntegerField(default=16_384)
    used_bytes = models.BigIntegerField(null=True, blank=True)
    containers = models.JSONField(
        default=dict,
        blank=True,
        help_text="By tool: when its container began, and how many it has had; each took variables along.",
    )
    created_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["state", "expires_at"])]

    def __str__(self) -> str:
        return self.label or self.uid[:8]


class RunState(models.TextChoices):
    """approval → queued → requested → running → ended; each may also go to ended at once."""

    APPROVAL = "approval", "Waits for approval"
    QUEUED = "queued", "Queued"
    REQUESTED = "requested", "Requested"
    RUNNING = "running", "Running"
    ENDED = "ended", "Ended"


class RunDesired(models.TextChoices):
    RUN = "run", "Run"
    CANCELLED = "cancelled", "Cancelled"


class Outcome(models.TextChoices):
    """How a run ended, exactly; job.OUTCOMES, and the two that never reached a node."""

    OK = "ok", "Done"
    EXIT = "exit", "Exit code"
    SIGNAL = "signal", "Killed by a signal"
    WALL = "wall", "Out of time"
    CPU = "cpu", "Out of CPU time"
    MEMORY = "memory", "Out of memory"
    PIDS = "pids", "Too many processes"
    DISK = "disk", "Disk full"
    OUTPUT = "output", "Too much output"
    CANCELLED = "cancelled", "Cancelled"
    REFUSED = "refused", "Refused"
    DENIED = "denied", "Not approved"
    ENGINE = "engine", "Docker failed"
    LOST = "lost", "Lost"


class ToolRun(models.Model):
    """One call of a tool, from the wish to its end. The record that cannot change is AuditRecord.

    `arguments` are masked and shown; `sealed_arguments` are what runs, readable only with the
    installation's key, and dropped with the run. `limits` were read back from the engine.
    """

    uid = models.CharField(max_length=16, unique=True, default=run_uid_make, editable=False)
    tool = models.ForeignKey(Tool, null=True, on_delete=models.SET_NULL, related_name="runs")
    tool_name = models.CharField(max_length=64, db_index=True)
    tool_digest = models.CharField(max_length=64)
    runner = models.CharField(max_length=12, default="container", help_text="container or host")
    program = models.CharField(max_length=120, blank=True, help_text="What of the tool is run.")
    session = models.ForeignKey(ToolSession, null=True, on_delete=models.SET_NULL, related_name="runs")
    replay_of = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="replays")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    user_label = models.CharField(max_length=160)
    via = models.CharField(max_length=16, help_text="api, page, mcp, chat, command or system")
    address = models.GenericIPAddressField(null=True)
    node = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="+")
    node_name = models.CharField(max_length=40)
    arguments = models.JSONField(default=dict)
    arguments_digest = models.CharField(max_length=64)
    sealed_arguments = models.TextField(blank=True)
    idempotency_key = models.CharField(max_length=100, blank=True)
    detached = models.BooleanField(default=False, help_text="Goes on when its caller leaves.")
    policy = models.JSONField(default=dict)
    limits = models.JSONField(default=dict)
    desired = models.CharField(max_length=10, choices=RunDesired.choices, default=RunDesired.RUN)
    state = models.CharField(max_length=10, choices=RunState.choices, default=RunState.QUEUED)
    generation = models.PositiveIntegerField(default=1)
    live = models.BooleanField(default=True, help_text="Not yet ended.")
    outcome = models.CharField(max_length=10, choices=Outcome.choices, blank=True)
    reason = models.TextField(blank=True)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    exit_code = models.IntegerField(null=True, blank=True)
    signal = models.PositiveSmallIntegerField(null=True, blank=True)
    stdout = models.TextField(blank=True)
    stderr = models.TextField(blank=True)
    stdout_bytes = models.BigIntegerField(default=0)
    stderr_bytes = models.BigIntegerField(default=0)
    truncated = models.BooleanField(default=False)
    result = models.JSONField(null=True, blank=True)
    container_id = models.CharField(max_length=64, blank=True)
    image_digest = models.CharField(max_length=80, blank=True)
    egress = models.JSONField(default=list)
    warm = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    queued_at = models.DateTimeField(default=timezone.now, help_text="When it was made, or approved.")
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When the node was told first.")
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    duration_ms = models.FloatField(null=True, blank=True)
    cpu_ms = models.FloatField(null=True, blank=True)
    memory_peak_bytes = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="one_run_per_user_and_idempotency_key",
            )
        ]
        indexes = [
            models.Index(fields=["live", "state"]),
            models.Index(fields=["tool_name", "-created_at"]),
            models.Index(fields=["user", "-created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.tool_name} {self.uid}"

    @property
    def ok(self) -> bool:
        """It ended as it should."""
        return self.outcome == Outcome.OK


class ArtifactKind(models.TextChoices):
    STDOUT = "stdout", "Whole output"
    STDERR = "stderr", "Whole error output"
    FILE = "file", "File"
    IMAGE = "image", "Image"


class Artifact(models.Model):
    """Bytes that a run left: a file of the data folder, kept until it expires or its run goes."""

    uid = models.CharField(max_length=16, unique=True, default=run_uid_make, editable=False)
    run = models.ForeignKey(ToolRun, on_delete=models.CASCADE, related_name="artifacts")
    kind = models.CharField(max_length=8, choices=ArtifactKind.choices)
    name = models.CharField(max_length=200)
    media_type = models.CharField(max_length=120, default="application/octet-stream")
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["run", "kind", "name"], name="one_artifact_per_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_image(self) -> bool:
        """Shown as a picture: raster formats alone, never SVG."""
        return self.media_type in ("image/png", "image/jpeg", "image/gif", "image/webp")
