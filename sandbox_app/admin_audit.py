"""The tool audit in the admin panel: shown, never changed."""

from __future__ import annotations

from django.contrib import admin

from sandbox_app.models_audit import AuditCheck, AuditHead, AuditRecord
from sparkweb.admin_base import ReadOnlyAdmin


@admin.register(AuditRecord)
class AuditRecordAdmin(ReadOnlyAdmin):
    list_display = ["number", "at", "kind", "tool_name", "user_label", "outcome", "run_uid"]
    list_filter = ["kind", "outcome"]
    search_fields = ["=run_uid", "=tool_name", "user_label"]


@admin.register(AuditHead)
class AuditHeadAdmin(ReadOnlyAdmin):
    list_display = ["number", "mac"]
    list_filter = ["number"]
    search_fields = ["=mac"]


@admin.register(AuditCheck)
class AuditCheckAdmin(ReadOnlyAdmin):
    list_display = ["id", "state", "requested_by", "requested_at", "rows", "ended_at"]
    list_filter = ["state"]
    search_fields = ["requested_by", "reason"]
