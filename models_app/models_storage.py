"""What lies on nodes (weights, images) and the jobs that fetch or delete it."""

from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from metrics_app.models import Node


def storage_uid_make() -> str:
    """Return 16 random hex digits: the name of a job in addresses and commands."""
    return secrets.token_hex(8)


class StorageKind(models.TextChoices):
    HF_MODEL = "hf_model", "Model"
    HF_DATASET = "hf_dataset", "Dataset"
    OLLAMA = "ollama", "Ollama model"
    IMAGE = "image", "Image"


class NodeStorage(models.Model):
    """The newest listing of a node: one row each."""

    node = models.OneToOneField(Node, on_delete=models.CASCADE, related_name="storage")
    listed_at = models.DateTimeField(default=timezone.now, help_text="When control took it over.")
    areas = models.JSONField(default=dict, help_text="By area: path, bytes, free bytes, and how it is.")
    left_out_count = models.PositiveIntegerField(default=0)
    left_out_bytes = models.BigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "node storage"

    def __str__(self) -> str:
        return f"storage of {self.node}"


class StorageItem(models.Model):
    """One repository, Ollama model or image on one node; written anew with each listing."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="storage_items")
    kind = models.CharField(max_length=12, choices=StorageKind.choices)
    key = models.CharField(max_length=320, help_text="What the node knows it by; deletions go by it.")
    name = models.CharField(max_length=320)
    size_bytes = models.BigIntegerField(default=0)
    partial_bytes = models.BigIntegerField(default=0)
    used_at = models.DateTimeField(null=True, blank=True, help_text="Last read, as the disk tells it.")
    incomplete = models.CharField(max_length=200, blank=True)
    note = models.CharField(max_length=320, blank=True)
    detail = models.JSONField(default=dict, help_text="Revisions, tags, containers.")

    class Meta:
        ordering = ["-size_bytes", "key"]
        constraints = [
            models.UniqueConstraint(fields=["node", "key"], name="one_storage_item_per_node_and_key")
        ]
        indexes = [models.Index(fields=["name"])]

    def __str__(self) -> str:
        return self.name

    @property
    def revisions(self) -> list[dict[str, Any]]:
        return list(self.detail.get("revisions") or [])


class JobKind(models.TextChoices):
    HF_DOWNLOAD = "hf_download", "Download"
    OLLAMA_PULL = "ollama_pull", "Ollama pull"
    IMAGE_PULL = "image_pull", "Image pull"
    DELETE = "delete", "Deletion"


class JobState(models.TextChoices):
    REQUESTED = "requested", "Requested"
    RUNNING = "running", "Running"
    CANCELLING = "cancelling", "Cancelling"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


JOB_ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class JobDesired(models.TextChoices):
    DONE = "done", "Done"
    CANCELLED = "cancelled", "Cancelled"


class StorageJob(models.Model):
    """Someone's wish that a node fetches or deletes something, and how it went."""

    uid = models.CharField(max_length=16, unique=True, default=storage_uid_make, editable=False)
    node = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="storage_jobs")
    node_name = models.CharField(max_length=40)
    kind = models.CharField(max_length=12, choices=JobKind.choices)
    title = models.CharField(max_length=400, help_text="What it is about; live jobs are unique by it.")
    subject = models.JSONField(default=dict, help_text="What the node is told.")
    desired = models.CharField(max_length=10, choices=JobDesired.choices, default=JobDesired.DONE)
    state = models.CharField(max_length=12, choices=JobState.choices, default=JobState.REQUESTED)
    generation = models.PositiveIntegerField(default=1)
    live = models.BooleanField(default=True, help_text="Not yet ended.")
    done_bytes = models.BigIntegerField(null=True, blank=True)
    total_bytes = models.BigIntegerField(null=True, blank=True)
    message = models.CharField(max_length=300, blank=True)
    failure_code = models.CharField(max_length=40, blank=True)
    failure_reason = models.TextField(blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["node", "kind", "title"],
                condition=Q(live=True),
                name="one_live_storage_job_per_subject",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.title} on {self.node_name}"

    @property
    def percent(self) -> float | None:
        """How far it is, 0 to 100; None while the size is unknown."""
        if not self.total_bytes or self.done_bytes is None:
            return None
        return min(100.0, 100 * self.done_bytes / self.total_bytes)


class StorageEvent(models.Model):
    """The timeline of a storage job."""

    job = models.ForeignKey(StorageJob, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=32)
    message = models.TextField(blank=True)
    actor_label = models.CharField(max_length=160, blank=True)

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"
