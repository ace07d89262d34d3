"""Who is told about launches by HTTP."""

from __future__ import annotations

import secrets

from django.core.validators import MaxLengthValidator, RegexValidator, URLValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone

NO_NUL = RegexValidator("\x00", "must not contain the character NUL", inverse_match=True)


def salt_make() -> str:
    """Return 32 random hex digits; with the installation's key they make a webhook's secret."""
    return secrets.token_hex(16)


class Webhook(models.Model):
    """An address that is told when launches change. Empty filters mean everything."""

    uid = models.CharField(max_length=32, unique=True, default=salt_make, editable=False)
    name = models.CharField(max_length=80, validators=[NO_NUL])
    url = models.CharField(
        max_length=500,
        validators=[URLValidator(schemes=["http", "https"]), MaxLengthValidator(500), NO_NUL],
        help_text="http:// or https://. Redirects are not followed.",
    )
    events = models.JSONField(default=list, blank=True, help_text="States of a launch; all of them if empty.")
    definitions = models.ManyToManyField(
        "models_app.ModelDefinition", blank=True, related_name="webhooks", help_text="All models if empty."
    )
    enabled = models.BooleanField(default=True)
    salt = models.CharField(max_length=32, default=salt_make, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("webhook", args=[self.uid])
