"""Exports that somebody asked for: rows that say what, how far, and where the file is."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import models
from django.utils import timezone

from transcripts_app.export.selection import Format, What

KEPT = timedelta(days=1)
SILENT_AFTER = timedelta(hours=1)  # a giant session tells nothing for long


class ExportState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


LIVE = (ExportState.WAITING, ExportState.RUNNING)


def uid_new() -> str:
    return secrets.token_hex(8)


def expires_then() -> datetime:
    return timezone.now() + KEPT


class TranscriptExport(models.Model):
    """One export by page or API. It holds what its owner may see; the file goes after a day."""

    uid = models.CharField(max_length=16, unique=True, default=uid_new)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    what = models.CharField(max_length=8, choices=What.choices)
    key = models.CharField(max_length=16, blank=True)
    query = models.CharField(max_length=500, blank=True)
    label = models.CharField(max_length=200)
    format = models.CharField(max_length=10, choices=Format.choices)
    profile = models.JSONField(null=True, blank=True)  # models_redaction.frozen; None: nothing is masked
    state = models.CharField(max_length=10, choices=ExportState.choices, default=ExportState.WAITING)
    is_cancelled = models.BooleanField(default=False)  # asked for; the process ends itself
    done = models.IntegerField(default=0)  # sessions
    total = models.IntegerField(default=0)
    masked = models.IntegerField(default=0)
    size_bytes = models.BigIntegerField(default=0)
    reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    told_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(default=expires_then)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.label} as {self.format}"

    @property
    def live(self) -> bool:
        return self.state in LIVE

    @property
    def percent(self) -> int:
        return round(100 * self.done / self.total) if self.total else 0

    @property
    def path(self) -> Path:
        """Where the file is, or will be."""
        return Path(settings.DATA_DIR) / "exports" / f"{self.uid}.zip"

    @property
    def file_name(self) -> str:
        return f"transcripts-{self.created_at:%Y%m%d}-{self.format}-{self.uid[:6]}.zip"

    @property
    def profile_name(self) -> str:
        return str(self.profile["name"]) if self.profile else ""
