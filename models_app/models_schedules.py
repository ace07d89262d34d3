"""Which definitions run on a node at which times of the week, and the changes that came of it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone

from metrics_app.models import Node
from models_app.schedule_clock import Window, days_text

NO_NUL = RegexValidator("\x00", "must not contain the character NUL", inverse_match=True)


class Mode(models.TextChoices):
    EXCLUSIVE = "exclusive", "Only these; the rest stops"
    ADDITIVE = "additive", "These too; the rest stays"


class Schedule(models.Model):
    """A set of definitions that runs on a node on certain days between two times of its wall clock."""

    name = models.CharField(max_length=80, unique=True, validators=[NO_NUL])
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="schedules")
    days = models.JSONField(default=list, help_text="0 is Monday, 6 Sunday.")
    starts_at = models.TimeField()
    ends_at = models.TimeField(help_text="Not after the start: on the next day.")
    definitions = models.ManyToManyField("models_app.ModelDefinition", related_name="schedules")
    mode = models.CharField(max_length=10, choices=Mode.choices, default=Mode.EXCLUSIVE)
    drain_minutes = models.PositiveIntegerField(
        default=5,
        validators=[MaxValueValidator(240)],
        help_text="How long requests may take to end before a model is stopped all the same.",
    )
    enabled = models.BooleanField(default=True)
    revision = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["node__name", "starts_at", "name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("schedule", args=[self.pk])

    def clean(self) -> None:
        days: Any = self.days
        if not isinstance(days, list) or not days or any(type(d) is not int or not 0 <= d <= 6 for d in days):
            raise ValidationError({"days": "Choose at least one day of the week, 0 (Monday) to 6 (Sunday)."})
        self.days = sorted(set(days))

    @property
    def window(self) -> Window:
        return Window(frozenset(self.days), self.starts_at, self.ends_at)

    @property
    def when(self) -> str:
        """Its window in words."""
        return f"{days_text(self.days)}, {self.starts_at:%H:%M} to {self.ends_at:%H:%M}"


class Cause(models.TextChoices):
    SCHEDULE = "schedule", "A schedule"
    BOOT = "boot", "A boot"


class Turn(models.Model):
    """What a node was to change at one moment, step by step; each step is taken once.

    A step is `{"do": "stop" or "start", "definition", "launch", "schedule", "state", "message"}` with
    `state` waiting, asked, done or failed. `active` names the windows that held from then on.
    """

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="turns")
    cause = models.CharField(max_length=10, choices=Cause.choices)
    title = models.CharField(max_length=200)
    active = models.JSONField(default=list)
    steps = models.JSONField(default=list)
    drain_minutes = models.PositiveIntegerField(default=0)
    began_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["node", "cause", "-id"])]

    def __str__(self) -> str:
        return f"{self.node.name}: {self.title}"


class NodeBoot(models.Model):
    """The last boot of a node whose models were started; the first one that is seen starts none."""

    node = models.OneToOneField(Node, on_delete=models.CASCADE, related_name="boot_seen")
    host_boot = models.CharField(max_length=40)
    seen_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.node.name}: {self.host_boot[:8]}"
