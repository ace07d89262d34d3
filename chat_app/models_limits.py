"""How much of models a person or an API key may use."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from sparkweb.accounts.models import ApiKey

MOST = 10**12


def _number(words: str) -> models.PositiveBigIntegerField:
    return models.PositiveBigIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(MOST)], help_text=words
    )


class UsageLimit(models.Model):
    """Limits of one person or one key; a key's requests count for both. Empty: no limit."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="usage_limit"
    )
    key = models.OneToOneField(
        ApiKey, null=True, blank=True, on_delete=models.CASCADE, related_name="usage_limit"
    )
    model_names = models.JSONField(default=list, blank=True, help_text="Names of definitions; all if empty.")
    requests_per_minute = _number("Requests within 60 seconds.")
    requests_per_day = _number("Requests within 24 hours.")
    tokens_per_minute = _number("Tokens, read and written, within 60 seconds.")
    tokens_per_day = _number("Tokens, read and written, within 24 hours.")
    parallel = _number("Requests at once.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=True) ^ Q(key__isnull=True), name="usage_limit_of_one"
            )
        ]

    def __str__(self) -> str:
        return f"limits of {self.user or self.key}"

    def clean(self) -> None:
        """Refuse what belongs to nobody or to both."""
        if (self.user_id is None) == (self.key_id is None):
            raise ValidationError("Choose a person or a key, one of them.")
