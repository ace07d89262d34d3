"""What people put beside sessions: tags, stars, notes. By key, for the archive is another database."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

NOTE_MOST = 10_000


class SessionTag(models.Model):
    """A word on a session, seen by all who see the session."""

    session_key = models.CharField(max_length=16, db_index=True)
    name = models.CharField(max_length=40, db_index=True)
    added_label = models.CharField(max_length=160)
    added_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["session_key", "name"], name="session_tag_once")]

    def __str__(self) -> str:
        return f"{self.session_key}: {self.name}"


class SessionStar(models.Model):
    """A session, or a message of it (`record_uid`, hex), that a person marked for themselves."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="session_stars")
    session_key = models.CharField(max_length=16, db_index=True)
    record_uid = models.CharField(max_length=32, blank=True, default="")
    added_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "session_key", "record_uid"], name="session_star_once")
        ]

    def __str__(self) -> str:
        return f"{self.session_key} of {self.user_id}"


class SessionNote(models.Model):
    """What somebody wrote beside a session, or a message of it; seen by all who see the session."""

    session_key = models.CharField(max_length=16, db_index=True)
    record_uid = models.CharField(max_length=32, blank=True, default="")
    text = models.TextField()
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="session_notes"
    )
    author_label = models.CharField(max_length=160)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.session_key}: {self.text[:40]}"
