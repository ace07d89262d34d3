"""What nodes found out before a model was laid over them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from models_app.uids import uid_make


class Preflight(models.Model):
    """What several nodes found out before a model was laid over them, and the verdict."""

    uid = models.CharField(max_length=16, unique=True, default=uid_make, editable=False)
    definition = models.ForeignKey(
        "models_app.ModelDefinition", null=True, on_delete=models.SET_NULL, related_name="preflights"
    )
    definition_slug = models.CharField(max_length=80, db_index=True)
    nodes = models.JSONField(default=list, help_text="Names by rank.")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    answers = models.JSONField(default=dict, help_text="What each node answered, by name.")
    checks = models.JSONField(default=list)
    passed = models.BooleanField(null=True, help_text="Empty while nodes are asked.")

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"preflight of {self.definition_slug} on {', '.join(self.nodes)}"
