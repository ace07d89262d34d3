"""The ledger: what was asked of models, by whom, and what it took. No prompt and no answer is kept here."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from sparkweb.accounts.models import ApiKey


class UsageOutcome(models.TextChoices):
    OK = "ok", "Answered"
    REFUSED = "refused", "Refused"
    ERROR = "error", "Failed"
    CANCELLED = "cancelled", "Client left"
    CUT = "cut", "Engine broke off"


class UsageRecord(models.Model):
    """One request to a model. Tokens are null where nobody said, estimated where we counted."""

    uid = models.CharField(max_length=32, unique=True)
    at = models.DateTimeField(default=timezone.now, db_index=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="usage"
    )
    user_label = models.CharField(max_length=150)
    key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="usage")
    key_label = models.CharField(max_length=100, blank=True)
    model = models.CharField(max_length=80, db_index=True, help_text="The definition's name, as asked for.")
    launch_uid = models.CharField(max_length=16, blank=True)
    node_name = models.CharField(max_length=40, blank=True)
    endpoint = models.CharField(max_length=40)
    streamed = models.BooleanField(default=False)
    status = models.PositiveSmallIntegerField(help_text="HTTP status that the client got.")
    outcome = models.CharField(max_length=12, choices=UsageOutcome.choices)
    error = models.CharField(max_length=60, blank=True, help_text="The error's code.")
    input_tokens = models.PositiveBigIntegerField(null=True)
    output_tokens = models.PositiveBigIntegerField(null=True)
    cached_tokens = models.PositiveBigIntegerField(null=True)
    is_estimated = models.BooleanField(default=False)
    first_ms = models.FloatField(null=True, help_text="Until the first byte of the answer.")
    duration_ms = models.FloatField()

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["user", "at"]), models.Index(fields=["model", "at"])]

    def __str__(self) -> str:
        return f"{self.user_label}: {self.model} {self.endpoint}"


from chat_app.models_limits import UsageLimit  # noqa: E402, F401 - Django looks for tables here
