"""Users, keys and audit entries as the API shows them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from sparkweb.accounts.models import ApiKey, AuditEntry, Role, Scope, User


class UserSerializer(serializers.ModelSerializer[User]):
    """A user; the password is written, never read."""

    password = serializers.CharField(write_only=True, required=False, min_length=8, trim_whitespace=False)
    role = serializers.ChoiceField(choices=Role.choices, default=Role.VIEWER)

    class Meta:
        model = User
        fields = ["id", "username", "first_name", "last_name", "email", "role", "is_active",
                  "must_change_password", "last_login", "date_joined", "password"]  # fmt: skip
        read_only_fields = ["id", "must_change_password", "last_login", "date_joined"]


class ApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    """A key, without its text: that is shown once, when it is made."""

    user = serializers.CharField(source="user.username", read_only=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices), read_only=True)
    is_usable = serializers.BooleanField(read_only=True)

    class Meta:
        model = ApiKey
        fields = ["id", "user", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at",
                  "revoked_at", "is_usable"]  # fmt: skip
        read_only_fields = fields


class ApiKeyWrite(serializers.Serializer[Any]):
    """What a new key shall be. `user` (admins only) makes it for someone else."""

    name = serializers.CharField(max_length=80, required=False, default="", allow_blank=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices), allow_empty=False)
    days = serializers.IntegerField(
        min_value=1, max_value=3650, required=False, allow_null=True, default=None
    )
    user = serializers.CharField(required=False, help_text="User name; yourself if left out.")


class ApiKeyMade(ApiKeySerializer):
    """A new key with its text, shown this once."""

    key = serializers.CharField(read_only=True)

    class Meta(ApiKeySerializer.Meta):
        fields = [*ApiKeySerializer.Meta.fields, "key"]
        read_only_fields = fields


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    class Meta:
        model = AuditEntry
        fields = ["id", "at", "actor_label", "via", "address", "action", "target", "detail"]
        read_only_fields = fields


class WhoAmISerializer(serializers.Serializer[Any]):
    """Who calls, and what the call may do."""

    username = serializers.CharField()
    role = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField(), allow_null=True)
