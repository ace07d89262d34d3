"""Users and their roles, API keys, node keys, and the audit of administrative actions."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models
from django.utils import timezone


class Role(models.TextChoices):
    """What a user may do; each role includes those before it."""

    VIEWER = "viewer", "Viewer: pages and figures"
    OPERATOR = "operator", "Operator: also start and stop"
    ADMIN = "admin", "Admin: also definitions, nodes and users"


RANK = {Role.VIEWER: 1, Role.OPERATOR: 2, Role.ADMIN: 3}


class Scope(models.TextChoices):
    """What an API key may do, never more than its owner's role allows."""

    USE = "use", "Use models through /v1"
    READ = "read", "Read"
    OPERATE = "operate", "Start and stop"
    ADMIN = "admin", "Administer"


SCOPE_RANK = {Scope.USE: 0, Scope.READ: 1, Scope.OPERATE: 2, Scope.ADMIN: 3}


class SparkUserManager(UserManager["User"]):
    """Makes superusers admins, for they are."""

    def create_superuser(self, username, email=None, password=None, **extra):  # type: ignore[no-untyped-def]
        return super().create_superuser(username, email, password, **{"role": Role.ADMIN, **extra})


class User(AbstractUser):
    """A person. The role decides; Django's own flags follow from it on save."""

    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)
    must_change_password = models.BooleanField(
        default=False, help_text="Send to the password page until a new one is set."
    )

    objects: ClassVar[SparkUserManager] = SparkUserManager()

    def save(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        self.is_staff = self.is_superuser = self.role == Role.ADMIN
        super().save(*args, **kwargs)

    def has_role(self, role: str) -> bool:
        """Say whether this user has `role` or a higher one."""
        return self.is_active and RANK[Role(self.role)] >= RANK[Role(role)]


class ApiKey(models.Model):
    """A key for programs. Only its hash is kept; the prefix is shown to recognise it."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80, blank=True)
    prefix = models.CharField(max_length=16, editable=False)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name or 'API key'} ({self.prefix}…)"

    @staticmethod
    def hash_of(key: str) -> str:
        """Return the SHA-256 of a key as hex: keys carry 256 bits, so no salt is needed."""
        return hashlib.sha256(key.encode()).hexdigest()

    @property
    def is_usable(self) -> bool:
        """Neither revoked nor expired, and its owner still active."""
        fresh = self.expires_at is None or self.expires_at > timezone.now()
        return self.revoked_at is None and fresh and self.user.is_active


class NodeKey(models.Model):
    """The public half (Ed25519, base64) of the key that a node signs with."""

    node_name = models.CharField(max_length=40, unique=True)
    public_key = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["node_name"]

    def __str__(self) -> str:
        return self.node_name


class AuditEntry(models.Model):
    """Who did what to what, from where, by which means. Written once, never changed."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    actor = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    actor_label = models.CharField(max_length=160)
    via = models.CharField(max_length=16, help_text="page, api, admin, command or system")
    address = models.GenericIPAddressField(null=True)
    action = models.CharField(max_length=64, db_index=True)
    target = models.CharField(max_length=200, blank=True)
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["-at", "-pk"]
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.actor_label}: {self.action} {self.target}"
