"""What was changed of definitions: one row for each change, written once."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class ChangeKind(models.TextChoices):
    CREATED = "created", "Defined"
    EDITED = "edited", "Changed"
    IMPORTED = "imported", "Imported"
    REVERTED = "reverted", "Reverted"
    DELETED = "deleted", "Deleted"


class DefinitionChange(models.Model):
    """Who made of one picture of a definition another. `before` is null at its birth, `after` at its end."""

    definition = models.ForeignKey(
        "models_app.ModelDefinition", null=True, on_delete=models.SET_NULL, related_name="changes"
    )
    definition_slug = models.CharField(max_length=80, db_index=True)
    at = models.DateTimeField(default=timezone.now, db_index=True)
    kind = models.CharField(max_length=8, choices=ChangeKind.choices)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    actor_label = models.CharField(max_length=160)
    via = models.CharField(max_length=16, help_text="page, api, admin, command or system")
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.definition_slug} {self.get_kind_display().lower()} by {self.actor_label}"
