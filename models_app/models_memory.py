"""What nodes found of models in their caches: one row for each model and node."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class NodeWeights(models.Model):
    """A node's newest answer about one model (models_app/node/weights_look.py)."""

    node = models.ForeignKey("metrics_app.Node", on_delete=models.CASCADE, related_name="weights")
    engine = models.CharField(max_length=16)
    model_id = models.CharField(max_length=300)
    file = models.CharField(max_length=300, blank=True)
    status = models.CharField(max_length=8)
    weights_bytes = models.BigIntegerField(null=True, blank=True)
    answer = models.JSONField(default=dict)
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["node", "model_id"]
        verbose_name_plural = "weights on nodes"
        constraints = [
            models.UniqueConstraint(
                fields=["node", "engine", "model_id", "file"], name="one_answer_per_node_and_model"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model_id} on {self.node}"
