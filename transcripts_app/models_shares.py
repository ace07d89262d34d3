"""Links that show one session to whoever has them."""

from __future__ import annotations

import hashlib

from django.conf import settings
from django.db import models
from django.utils import timezone


class ShareLink(models.Model):
    """One link: only its hash is kept. `mask` is the redaction profile as it was when it was made."""

    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=8, editable=False)
    session_key = models.CharField(max_length=16, db_index=True)
    mask = models.JSONField(default=dict)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="share_links")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    opened = models.PositiveIntegerField(default=0)
    opened_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.prefix}… to {self.session_key}"

    @staticmethod
    def hash_of(token: str) -> str:
        """The SHA-256 of a token, hex: it carries 256 bits, so no salt is needed."""
        return hashlib.sha256(token.encode()).hexdigest()

    @property
    def is_live(self) -> bool:
        """Neither expired nor revoked."""
        return self.revoked_at is None and self.expires_at > timezone.now()
