"""Self-tests of the sandbox, one row each."""

from __future__ import annotations

import secrets
from collections import Counter

from django.conf import settings
from django.db import models
from django.utils import timezone

from metrics_app.models import Node


def selftest_uid_make() -> str:
    """Return 16 random hex digits: the name of a self-test in addresses."""
    return secrets.token_hex(8)


class SelfTestState(models.TextChoices):
    RUNNING = "running", "Running"
    HELD = "held", "The wall held"
    BROKEN = "broken", "Something got through"
    FAILED = "failed", "Not finished"


class SelfTest(models.Model):
    """One attack on the sandbox of a node: `rows` are those of sandbox_app/selftest/suite.py."""

    uid = models.CharField(max_length=16, unique=True, default=selftest_uid_make, editable=False)
    node = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="+")
    node_name = models.CharField(max_length=40)
    state = models.CharField(max_length=8, choices=SelfTestState.choices, default=SelfTestState.RUNNING)
    rows = models.JSONField(default=list)
    total = models.PositiveSmallIntegerField(default=0)
    leaked = models.PositiveIntegerField(
        null=True, blank=True, help_text="Containers left behind, as the node says."
    )
    reason = models.TextField(blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    moved_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name = "self-test"

    def __str__(self) -> str:
        return f"self-test of {self.node_name}"

    @property
    def counts(self) -> Counter[str]:
        """How many rows have each verdict."""
        return Counter(str(row.get("verdict")) for row in self.rows)
