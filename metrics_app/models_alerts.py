"""Alert rules, alerts, silences and the channels by which owners are told."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Severity(models.TextChoices):
    INFO = "info", "Info"
    WARNING = "warning", "Warning"
    CRITICAL = "critical", "Critical"


SEVERITY_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class RuleKind(models.TextChoices):
    """What a rule asks."""

    ABOVE = "above", "Above a value"
    BELOW = "below", "Below a value"
    RISING = "rising", "Rising faster than"
    ABSENT = "absent", "Not told any more"
    EVENT = "event", "Something happened"


DAY_SECONDS = 86_400


class AlertRule(models.Model):
    """When owners want to know. A rule on a metric watches each of its series by itself."""

    name = models.CharField(max_length=120, unique=True)
    shipped = models.CharField(max_length=40, blank=True, editable=False, help_text="Came with SparkWeb.")
    kind = models.CharField(max_length=8, choices=RuleKind.choices, default=RuleKind.ABOVE)
    metric = models.CharField(max_length=60, help_text="A metric of history, or an event's name.")
    subject = models.CharField(
        max_length=120, blank=True, help_text="Which: a name, * for any part. Empty: all."
    )
    node_name = models.CharField(max_length=40, blank=True, help_text="Empty: every node.")
    value = models.FloatField(null=True, blank=True, help_text="In the metric's unit; rising: per second.")
    clear_value = models.FloatField(
        null=True, blank=True, help_text="Over only at this value. Empty: the same."
    )
    for_seconds = models.PositiveIntegerField(default=60, validators=[MaxValueValidator(DAY_SECONDS)])
    hold_seconds = models.PositiveIntegerField(
        default=60,
        validators=[MinValueValidator(5), MaxValueValidator(DAY_SECONDS)],
        help_text="Clear for so long.",
    )
    window_seconds = models.PositiveIntegerField(
        default=60, validators=[MinValueValidator(10), MaxValueValidator(3_600)], help_text="For rising."
    )
    severity = models.CharField(max_length=8, choices=Severity.choices, default=Severity.WARNING)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class AlertState(models.TextChoices):
    FIRING = "firing", "Firing"
    RESOLVED = "resolved", "Resolved"


class Alert(models.Model):
    """One time that a rule fired, for one series of one node."""

    rule = models.ForeignKey(AlertRule, null=True, on_delete=models.SET_NULL, related_name="alerts")
    rule_name = models.CharField(max_length=120)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    node_name = models.CharField(max_length=40)
    series = models.CharField(max_length=160)
    state = models.CharField(max_length=8, choices=AlertState.choices, default=AlertState.FIRING)
    message = models.CharField(max_length=300)
    value = models.FloatField(null=True, blank=True)
    fired_at = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    told = models.BooleanField(default=False, help_text="Channels were told that it fires.")
    url = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-fired_at", "-pk"]
        indexes = [
            models.Index(fields=["state", "-fired_at"]),
            models.Index(fields=["node_name", "fired_at"]),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "node_name", "series"], condition=Q(state="firing"), name="one_firing_alert"
            )
        ]

    def __str__(self) -> str:
        return f"{self.rule_name} on {self.node_name}"


class Silence(models.Model):
    """For a while nobody is told: of one rule or all, on one node or all."""

    rule = models.ForeignKey(
        AlertRule, null=True, blank=True, on_delete=models.CASCADE, related_name="silences"
    )
    node_name = models.CharField(max_length=40, blank=True, help_text="Empty: every node.")
    reason = models.CharField(max_length=200)
    starts_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["-ends_at"]

    def __str__(self) -> str:
        return f"{self.rule or 'every rule'} on {self.node_name or 'every node'}"


class AlertChannel(models.Model):
    """Where owners are told: an address of Apprise, kept sealed."""

    name = models.CharField(max_length=80, unique=True)
    sealed_url = models.TextField(editable=False)
    kind = models.CharField(max_length=40, editable=False, help_text="The scheme of the address.")
    least_severity = models.CharField(max_length=8, choices=Severity.choices, default=Severity.WARNING)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class RulesShipped(models.Model):
    """That a rule which comes with SparkWeb was made once: whoever deletes it gets it back no more."""

    code = models.CharField(max_length=40, unique=True)

    def __str__(self) -> str:
        return self.code
