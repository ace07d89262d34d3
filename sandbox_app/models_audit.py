"""The record of the sandbox that is written once: its entries, and where it ends."""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone


class AuditKind(models.TextChoices):
    STARTED = "started", "Started"
    ENDED = "ended", "Ended"
    REFUSED = "refused", "Refused"
    CHECKPOINT = "checkpoint", "Checkpoint"
    ACCEPTED = "accepted", "Accepted"


class AuditRecord(models.Model):
    """One entry of the chain: written once; the database refuses to change or delete it.

    `mac` is the keyed hash over all other fields, the previous entry's `mac` among them; the key
    is a file outside the database (audit_chain.py). A checkpoint stands for what retention pruned
    before it: all entries up to `covers`.
    """

    number = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField(db_index=True)
    kind = models.CharField(max_length=10, choices=AuditKind.choices)
    run_uid = models.CharField(max_length=16, blank=True, db_index=True)
    tool_name = models.CharField(max_length=64, blank=True)
    user_label = models.CharField(max_length=160, blank=True)
    outcome = models.CharField(max_length=10, blank=True)
    covers = models.BigIntegerField(null=True, blank=True)
    body = models.TextField(help_text="Canonical JSON of what is recorded.")
    previous = models.CharField(max_length=64, blank=True)
    mac = models.CharField(max_length=64)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.CheckConstraint(
                condition=Q(covers=None) | Q(covers__lt=F("number")), name="audit_checkpoint_covers_the_past"
            )
        ]
        indexes = [
            models.Index(fields=["covers"], condition=Q(covers__isnull=False), name="audit_checkpoints"),
            models.Index(fields=["kind", "-number"], name="audit_by_kind"),
            models.Index(fields=["tool_name", "-number"], name="audit_by_tool"),
            models.Index(fields=["user_label", "-number"], name="audit_by_user"),
            models.Index(fields=["outcome", "-number"], name="audit_by_outcome"),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.kind} {self.run_uid}".rstrip()

    def get_absolute_url(self) -> str:
        return f"/tools/audit/{self.number}/"

    @property
    def content(self) -> dict[str, Any]:
        """What is recorded, read; {} for what is no JSON object (somebody changed it)."""
        try:
            content = json.loads(self.body)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


class AuditHead(models.Model):
    """The one row that says where the chain ends; appending locks it."""

    id: Any = models.PositiveSmallIntegerField(primary_key=True, default=1)
    number = models.BigIntegerField(default=0)
    mac = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name_plural = "audit head"

    def __str__(self) -> str:
        return f"head at {self.number}"


class CheckState(models.TextChoices):
    WAITING = "waiting", "Waits"
    RUNNING = "running", "Running"
    GOOD = "good", "The chain holds"
    BAD = "bad", "The chain does not hold"
    FAILED = "failed", "Did not end"


class AuditCheck(models.Model):
    """One verification of the chain, as it runs and as it ended. Only the chain itself is proof."""

    state = models.CharField(max_length=8, choices=CheckState.choices, default=CheckState.WAITING)
    requested_by = models.CharField(max_length=160)
    requested_at = models.DateTimeField(default=timezone.now)
    told_at = models.DateTimeField(default=timezone.now, help_text="When it was last heard of.")
    ended_at = models.DateTimeField(null=True, blank=True)
    rows = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    verdict = models.JSONField(default=dict, blank=True)
    reason = models.CharField(max_length=300, blank=True, help_text="Why it did not end.")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"check {self.pk}: {self.state}"

    @property
    def live(self) -> bool:
        """It has not ended."""
        return self.state in (CheckState.WAITING, CheckState.RUNNING)

    @property
    def percent(self) -> int:
        """How much of it is done, 0 to 100."""
        return min(100, round(100 * self.rows / self.total)) if self.total else 0

    @property
    def sentence(self) -> str:
        """What it found, or why it found nothing."""
        return str(self.verdict.get("sentence") or self.reason)
