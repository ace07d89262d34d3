"""Runs and what they left in the admin panel: shown, never changed. What runs stays sealed."""

from __future__ import annotations

from django.contrib import admin

from sandbox_app.models import Artifact, ToolRun
from sparkweb.admin_base import ReadOnlyAdmin


@admin.register(ToolRun)
class ToolRunAdmin(ReadOnlyAdmin):
    list_display = ["uid", "tool_name", "user_label", "via", "node_name", "state", "outcome", "created_at"]
    list_filter = ["state", "outcome", "via", "tool_name"]
    search_fields = ["=uid", "tool_name", "user_label", "reason"]
    exclude = ["sealed_arguments"]


@admin.register(Artifact)
class ArtifactAdmin(ReadOnlyAdmin):
    list_display = ["uid", "run", "kind", "name", "media_type", "size_bytes", "created_at"]
    list_filter = ["kind", "media_type"]
    list_select_related = ["run"]
    search_fields = ["=uid", "=run__uid", "name", "=sha256"]
