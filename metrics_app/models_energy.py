"""What was drawn and made, by day."""

from __future__ import annotations

from django.db import models


class EnergyDay(models.Model):
    """What the GPUs of a node drew on one day for one model, and what that model made."""

    day = models.DateField(help_text="In SPARKWEB_TIME_ZONE.")
    node_name = models.CharField(max_length=40)
    model = models.CharField(max_length=80, blank=True, help_text="Empty: what no model held.")
    joules = models.FloatField(default=0)
    seconds = models.FloatField(default=0, help_text="Of readings.")
    prompt_tokens = models.FloatField(default=0)
    generation_tokens = models.FloatField(default=0)
    estimated = models.BooleanField(default=False, help_text="Several models shared a GPU.")

    class Meta:
        ordering = ["-day", "node_name", "model"]
        constraints = [
            models.UniqueConstraint(fields=["day", "node_name", "model"], name="one_energy_row_a_day")
        ]

    def __str__(self) -> str:
        return f"{self.node_name} {self.model or 'rest'} {self.day}"
