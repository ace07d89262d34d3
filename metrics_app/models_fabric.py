"""Tests of the links between nodes, and what came of them."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone


def uid_make() -> str:
    return secrets.token_hex(8)


class FabricTestState(models.TextChoices):
    """Where a test stands."""

    RUNNING = "running", "Running"
    DONE = "done", "Done"


class FabricTest(models.Model):
    """One test of the link between two nodes: its steps (metrics_app/fabric/plan.py), then a verdict."""

    uid = models.CharField(max_length=16, unique=True, default=uid_make, editable=False)
    first_node = models.CharField(max_length=40, help_text="It sends.")
    second_node = models.CharField(max_length=40, help_text="It receives.")
    state = models.CharField(
        max_length=8, choices=FabricTestState.choices, default=FabricTestState.RUNNING, db_index=True
    )
    scheduled = models.BooleanField(default=False)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    force_reason = models.CharField(
        max_length=300, blank=True, help_text="Why it was run though a model served over the link."
    )
    port = models.PositiveIntegerField(help_text="Of the first rail; the second takes the next.")
    seconds = models.PositiveSmallIntegerField(help_text="For each measurement.")
    streams = models.PositiveSmallIntegerField()
    step = models.PositiveSmallIntegerField(default=0)
    step_at = models.DateTimeField(default=timezone.now)
    steps = models.JSONField(default=list)
    tone = models.CharField(max_length=4, blank=True, help_text="good, warn or bad.")
    cause = models.CharField(max_length=24, blank=True)
    sentence = models.TextField(blank=True)
    gbits = models.FloatField(null=True, help_text="The most that was moved, Gbit/s.")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.first_node} to {self.second_node}"

    def get_absolute_url(self) -> str:
        return reverse("fabric_test", args=[self.uid])

    @property
    def names(self) -> tuple[str, str]:
        """The sender's name, then the receiver's."""
        return self.first_node, self.second_node

    @property
    def subject(self) -> str:
        """The link, whoever sends."""
        return "–".join(sorted(self.names))

    @property
    def step_name(self) -> str:
        """What is under way; nothing once it is over."""
        return str(self.steps[self.step]["name"]) if self.step < len(self.steps) else ""
