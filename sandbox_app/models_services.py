"""Services that SparkWeb runs on nodes, one row each."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from metrics_app.models import Node


class ServiceName(models.TextChoices):
    SEARXNG = "searxng", "SearXNG"


class ServiceState(models.TextChoices):
    """What the node says of it; Docker's own words, and ours while it is being changed."""

    UNKNOWN = "", "Not told yet"
    STARTING = "starting", "Starting"
    PULLING = "pulling", "Pulling its image"
    RUNNING = "running", "Running"
    RESTARTING = "restarting", "Restarting"
    EXITED = "exited", "Exited"
    PAUSED = "paused", "Paused"
    STOPPING = "stopping", "Stopping"
    STOPPED = "stopped", "Stopped"
    FAILED = "failed", "Failed"


class ServiceHealth(models.TextChoices):
    UNKNOWN = "unknown", "Not asked"
    OK = "ok", "Well"
    FAILING = "failing", "Answers with an error"
    SILENT = "silent", "Does not answer"


class ManagedService(models.Model):
    """Somebody's wish that a service runs on a node, or does not, and what is seen of it."""

    name = models.CharField(max_length=20, choices=ServiceName.choices)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="+")
    run = models.BooleanField(default=True, help_text="It shall run.")
    generation = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=12, choices=ServiceState.choices, blank=True, default="")
    health = models.CharField(max_length=8, choices=ServiceHealth.choices, default=ServiceHealth.UNKNOWN)
    message = models.CharField(max_length=500, blank=True, help_text="Why it is not as it shall be.")
    image = models.CharField(max_length=300, blank=True)
    seen_generation = models.PositiveIntegerField(default=0)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    changed_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When the node was told last.")

    class Meta:
        ordering = ["name", "node__name"]
        constraints = [models.UniqueConstraint(fields=["name", "node"], name="one_service_per_name_and_node")]

    def __str__(self) -> str:
        return f"{self.get_name_display()} on {self.node}"

    @property
    def is_done(self) -> bool:
        """The node has taken the last wish, and it is as wished."""
        wanted = ServiceState.RUNNING if self.run else ServiceState.STOPPED
        return self.seen_generation == self.generation and self.state == wanted
