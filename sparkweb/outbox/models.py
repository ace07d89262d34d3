"""What is to be told to somebody outside: one row a notice, kept until it is told or given up."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone


def uid_make() -> str:
    """Return 32 random hex digits: what a receiver knows a notice by, however often it arrives."""
    return uuid.uuid4().hex


class NoticeState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"
    DROPPED = "dropped", "Dropped"


class Notice(models.Model):
    """One message through one channel to one recipient; `recipient` is the channel's own name for it."""

    uid = models.CharField(max_length=32, unique=True, default=uid_make, editable=False)
    channel = models.CharField(max_length=32)
    recipient = models.CharField(max_length=64)
    subject = models.CharField(max_length=200, help_text="What it is about, for the log.")
    payload = models.JSONField(default=dict)
    state = models.CharField(max_length=12, choices=NoticeState.choices, default=NoticeState.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    last_result = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["state", "next_at"]),
            models.Index(fields=["channel", "recipient", "state"]),
        ]

    def __str__(self) -> str:
        return f"{self.channel}: {self.subject}"
