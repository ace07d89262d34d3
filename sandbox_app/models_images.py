"""Builds of the image that tools run in, one row each."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from metrics_app.models import Node


def build_uid_make() -> str:
    """Return 16 random hex digits: the name of a build in commands."""
    return secrets.token_hex(8)


class BuildState(models.TextChoices):
    REQUESTED = "requested", "Requested"
    RUNNING = "running", "Running"
    CANCELLING = "cancelling", "Cancelling"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class ImageBuild(models.Model):
    """Someone's wish that a node builds the sandbox image, and how it went."""

    uid = models.CharField(max_length=16, unique=True, default=build_uid_make, editable=False)
    node = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="+")
    node_name = models.CharField(max_length=40)
    arguments = models.JSONField(default=dict, help_text="BASE, DATA and EXTRA of the Dockerfile.")
    network = models.CharField(
        max_length=8, default="default", help_text="Where its steps are: default or host."
    )
    state = models.CharField(max_length=10, choices=BuildState.choices, default=BuildState.REQUESTED)
    generation = models.PositiveIntegerField(default=1)
    live = models.BooleanField(default=True, help_text="Not yet ended.")
    step = models.PositiveSmallIntegerField(default=0)
    steps = models.PositiveSmallIntegerField(default=0)
    message = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)
    log = models.TextField(blank=True, help_text="Its last lines.")
    digest = models.CharField(max_length=80, blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When the node was told last.")
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["node_name"], condition=Q(live=True), name="one_live_image_build_per_node"
            )
        ]

    def __str__(self) -> str:
        return f"image for {self.node_name}"
