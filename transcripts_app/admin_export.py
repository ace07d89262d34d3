"""Exports and masking in the admin panel: shown, never changed there."""

from __future__ import annotations

from django.contrib import admin

from sparkweb.admin_base import ReadOnlyAdmin
from transcripts_app.models_export import TranscriptExport
from transcripts_app.models_redaction import ProjectMask, RedactionProfile


@admin.register(TranscriptExport)
class TranscriptExportAdmin(ReadOnlyAdmin):
    list_display = ["uid", "user", "label", "format", "profile_name", "state", "size_bytes", "created_at"]
    list_filter = ["state", "format"]
    search_fields = ["=uid", "user__username", "label"]


@admin.register(RedactionProfile)
class RedactionProfileAdmin(ReadOnlyAdmin):
    list_display = ["name", "about", "rules", "changed_by", "changed_at"]
    list_filter = ["changed_at"]
    search_fields = ["name", "about"]


@admin.register(ProjectMask)
class ProjectMaskAdmin(ReadOnlyAdmin):
    list_display = ["project_key", "profile", "changed_by", "changed_at"]
    list_filter = ["profile"]
    search_fields = ["=project_key", "=profile"]
