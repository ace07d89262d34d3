"""Archives of transcripts that people upload."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models
from django.utils import timezone

from transcripts_app.models_requests import ArchiveRequest


class TranscriptUpload(models.Model):
    """One uploaded file: received in pieces, then read by the archive process on request."""

    uid = models.CharField(max_length=16, unique=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="transcript_uploads")
    name = models.CharField(max_length=200)
    size_bytes = models.BigIntegerField()
    created_at = models.DateTimeField(default=timezone.now)
    request = models.OneToOneField(ArchiveRequest, models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> Path:
        """Where its bytes lie: by a name of ours."""
        return uploads_root() / self.uid

    @property
    def part(self) -> Path:
        return self.folder / "part"

    @property
    def received(self) -> int:
        """How many bytes are here."""
        try:
            return self.part.stat().st_size
        except OSError:
            return 0

    @property
    def state(self) -> str:
        """receiving, then that of its request; gone when that was forgotten."""
        if self.request is not None:
            return self.request.state
        return "receiving" if self.folder.exists() or not self.size_bytes else "gone"


def uploads_root() -> Path:
    """The folder of uploads that were not read yet."""
    return Path(settings.DATA_DIR) / "transcript-uploads"
