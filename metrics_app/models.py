"""Nodes: the machines that an owner has."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone


class NodeStatus(models.TextChoices):
    """How fresh a node's reports are, by control's clock."""

    NEVER = "never", "Never seen"
    ONLINE = "online", "Online"
    STALE = "stale", "Stale"
    OFFLINE = "offline", "Offline"


class SampleChunk(models.Model):
    """The figures of one node, tier and period, packed (metrics_app/history/packing.py)."""

    node_name = models.CharField(max_length=40)
    tier = models.PositiveSmallIntegerField()
    start = models.BigIntegerField(help_text="Seconds since the epoch.")
    end = models.BigIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["node_name", "tier", "start"], name="one_chunk_a_period")
        ]
        indexes = [models.Index(fields=["tier", "end"])]

    def __str__(self) -> str:
        return f"{self.node_name}, tier {self.tier}, from {self.start}"


class NodeEventKind(models.TextChoices):
    """What happens to a machine that charts should show."""

    ONLINE = "online", "Online"
    OFFLINE = "offline", "Offline"
    BOOTED = "booted", "Booted"
    DRIVER = "driver", "Driver changed"
    AGENT = "agent", "Agent changed"
    RESET = "reset", "Went down without warning"
    XID = "xid", "Xid error of a GPU"
    NO_MEMORY = "no_memory", "The driver had no memory"
    OOM_KILL = "oom_kill", "The kernel killed for memory"
    VERDICT = "verdict", "Verdict"


class NodeEvent(models.Model):
    """One moment that explains what figures did."""

    node_name = models.CharField(max_length=40)
    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=12, choices=NodeEventKind.choices)
    message = models.CharField(max_length=300)

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["node_name", "at"])]

    def __str__(self) -> str:
        return f"{self.node_name}: {self.message}"


class FlightRecord(models.Model):
    """What a node reported in the seconds before it went down without warning."""

    node_name = models.CharField(max_length=40)
    host_boot = models.CharField(max_length=40, help_text="The boot that ended.")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)
    data = models.BinaryField(help_text="Reports (metrics_app/flight_file.py).")

    class Meta:
        ordering = ["-last_at"]
        constraints = [models.UniqueConstraint(fields=["node_name", "host_boot"], name="one_flight_a_boot")]

    def __str__(self) -> str:
        return f"{self.node_name}, {self.last_at:%Y-%m-%d %H:%M:%S}"

    def get_absolute_url(self) -> str:
        return reverse("flight", args=[self.node_name, self.pk])


class Node(models.Model):
    """One machine with an agent."""

    name = models.CharField(
        max_length=40,
        unique=True,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9-]*$", "Lower-case letters, digits and hyphens.")],
        help_text="The agent's SPARKWEB_NODE. It cannot be changed later.",
    )
    label = models.CharField(max_length=80, blank=True, help_text="Name shown on pages.")
    role = models.CharField(
        max_length=80, blank=True, help_text="For example: primary, Kubernetes control plane."
    )
    lan_address = models.GenericIPAddressField(null=True, blank=True, verbose_name="LAN address")
    fabric_address = models.GenericIPAddressField(
        null=True, blank=True, help_text="Address on the 200GbE link."
    )
    fabric_twin_address = models.GenericIPAddressField(
        null=True,
        blank=True,
        help_text="Address of the second rail: the other half of the same port, like enP2p1s0f1np1.",
    )
    fabric_interface = models.CharField(max_length=32, blank=True, help_text="For example enp1s0f1np1.")
    labels = models.JSONField(default=dict, blank=True)
    status = models.CharField(
        max_length=8, choices=NodeStatus.choices, default=NodeStatus.NEVER, editable=False
    )
    status_changed_at = models.DateTimeField(null=True, editable=False)
    last_seen_at = models.DateTimeField(null=True, editable=False)
    agent_version = models.CharField(max_length=40, blank=True, editable=False)
    host_boot = models.CharField(max_length=40, blank=True, editable=False)
    unified_memory = models.BooleanField(null=True, editable=False)
    capabilities = models.JSONField(default=dict, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.label or self.name

    def get_absolute_url(self) -> str:
        return reverse("node", args=[self.name])


from metrics_app.models_alerts import Alert, AlertChannel, AlertRule, Silence  # noqa: E402, F401
from metrics_app.models_energy import EnergyDay  # noqa: E402, F401
from metrics_app.models_fabric import FabricTest  # noqa: E402, F401
