"""What pages ask of the archive, which the archive process alone changes; and where it reads."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone


class RequestState(models.TextChoices):
    REQUESTED = "requested", "Waits"
    RUNNING = "running", "Runs"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class ArchiveRequest(models.Model):
    """Something that the archive process shall do: once at least, one after the other, oldest first."""

    kind = models.CharField(max_length=40)
    payload = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=RequestState.choices, default=RequestState.REQUESTED)
    progress = models.JSONField(default=dict, help_text="done, total and words, while it runs")
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True, default="")
    tries = models.PositiveIntegerField(default=0)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    requested_label = models.CharField(max_length=160, default="")
    requested_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now, help_text="It is not begun before.")
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["state", "due_at"], name="archive_request_state")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}: {self.state}"

    @property
    def live(self) -> bool:
        """Not ended yet."""
        return self.state in (RequestState.REQUESTED, RequestState.RUNNING)

    @property
    def percent(self) -> int | None:
        """How far it is; None where that is not known."""
        progress: dict[str, Any] = self.progress or {}
        total = progress.get("total") or 0
        return min(100, 100 * progress.get("done", 0) // total) if total else None


class TranscriptSource(models.Model):
    """A folder of transcripts on a node. Removed ones stay as a row, so that nothing adds them again."""

    node = models.CharField(max_length=40)
    path = models.CharField(max_length=1000)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="transcript_sources"
    )
    enabled = models.BooleanField(default=True)
    added_by = models.CharField(max_length=160, default="")
    added_at = models.DateTimeField(default=timezone.now)
    removed_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True, help_text="When its node last told of it.")
    problem = models.TextField(blank=True, default="", help_text="Why its node cannot read it.")

    class Meta:
        ordering = ["node", "path"]
        constraints = [models.UniqueConstraint(fields=["node", "path"], name="transcript_source_once")]

    def __str__(self) -> str:
        return f"{self.node}:{self.path}"
